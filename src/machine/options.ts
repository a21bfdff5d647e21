import type { BlockStore, NetLink, NetTap, RandomSource } from '../endpoints/index.ts';
import type { GuestMemory } from '../memory/index.ts';
import type { Endpoint } from '../topology/index.ts';
import type { InterruptSink } from './interrupts.ts';

/** What a machine gets from outside. Everything has a default that needs nothing. */
export interface MachineOptions {
  /** RAM, where the topology says; default: zeros. Its windows are the machine's own from now on. */
  readonly memory?: GuestMemory;
  /** Told of each interrupt; may be exchanged later through `Machine.onInterrupt`. */
  readonly onInterrupt?: InterruptSink;
  /** Endpoints that are not there at power-on; `Machine.plug` brings them. Default: none. */
  readonly absent?: (endpoint: Endpoint) => boolean;
  /** Contents of a disk of `size` bytes; default: zeros in memory. */
  readonly store?: (endpoint: Endpoint, size: number) => BlockStore;
  /** The other end of a NIC's cable; default: a peer that answers ARP, ICMP and DHCP. */
  readonly link?: (endpoint: Endpoint) => NetLink | undefined;
  /** Sees the frames of a NIC. */
  readonly tap?: (endpoint: Endpoint) => NetTap | undefined;
  /** What virtio-rng gives; default: seeded with 1. */
  readonly random?: (endpoint: Endpoint) => RandomSource;
  /**
   * Whether endpoints behind a vIOMMU offer indirect descriptors, default true. A driver maps each
   * request's table too, which costs it one MAP more than the ring has descriptors to spare.
   */
  readonly indirect?: boolean;
  /** Told when a device waits for `Machine.runPending`. */
  readonly wake?: () => void;
}
