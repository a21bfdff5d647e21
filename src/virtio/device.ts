import type { Plain } from '../bytes/index.ts';
import type { DeviceQueue } from './device-queue.ts';
import type { QueueError } from './queue-error.ts';

/** State of a device as plain data: numbers, strings, bigints, arrays, objects and byte arrays. */
export type PlainState = Plain;

/** What a device type provides. It knows neither transport nor memory layout. */
export interface VirtioDevice {
  /** VIRTIO_ID_… */
  readonly deviceId: number;
  /** Bits of the device type that are offered. Those of queues and transport are added elsewhere. */
  readonly features: bigint;
  /** Largest size of each queue. */
  readonly queueSizes: readonly number[];
  /**
   * Queues whose drivers wait in a loop for each answer, and whose rings are read without an IOMMU:
   * a server may watch them, see `VirtioCore.watch`.
   */
  readonly watched?: readonly number[];
  /**
   * The device configuration as it is now, little-endian. The device may change it, and calls
   * `host.configChanged()` then.
   */
  readonly config: Uint8Array;

  /** Called once, before anything else. */
  attach(host: VirtioHost): void;
  /**
   * The driver wrote the configuration: `size` (1, 2 or 4) bytes at `offset`, inside `config`.
   * Writes to what a driver may not write are the device's to ignore.
   */
  configWrite(offset: number, size: number, value: number): void;
  /** Whether the device can work with this choice of features; default yes. */
  accepts?(features: bigint): boolean;
  /** DRIVER_OK: queues can be used from now on. */
  start?(): void;
  /** The driver has perhaps added buffers to the queue. */
  kick(queue: number): void;
  /** The queue was reset alone (VIRTIO_F_RING_RESET): chains still held are void. */
  queueReset?(queue: number): void;
  /** The device was reset: forget the driver, all chains are void. */
  reset(): void;
  /** The machine was reset; follows `reset`. For state that outlives a device reset (D4). */
  systemReset?(): void;
  snapshot?(): PlainState;
  /** Follows `attach`; queues are restored already, `host.queue(i).taken()` gives held chains. */
  restore?(state: PlainState): void;
}

/** What a device may ask of whatever it is plugged into. */
export interface VirtioHost {
  /** Negotiated features; 0n before FEATURES_OK. */
  readonly features: bigint;
  /** DRIVER_OK is set, FAILED and DEVICE_NEEDS_RESET are not. */
  readonly live: boolean;
  hasFeature(bit: number): boolean;
  /** An enabled queue of a live device, else undefined. Not to be kept over a reset. */
  queue(index: number): DeviceQueue | undefined;
  /** Interrupts the driver for what was pushed, if it wants that. */
  signal(queue: number): void;
  /** `config` has changed: counts the generation and interrupts the driver. */
  configChanged(): void;
  /** The device cannot go on: DEVICE_NEEDS_RESET and a configuration interrupt. */
  needsReset(why: string | QueueError): void;
  /** Asks for another `kick` of the queue later: how a device bounds its work per kick. */
  kickLater(queue: number): void;
}

/** Where interrupts of a device go: a transport. */
export interface InterruptSink {
  config(): void;
  queue(index: number): void;
}
