import { DHCPACK, DHCPDISCOVER, DHCPOFFER, DHCPREQUEST } from '../../spec/dhcp.ts';
import { ETH_FRAME_LEN } from '../../spec/ethernet.ts';
import {
  VIRTIO_NET_CONFIG,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_HDR,
  VIRTIO_NET_RECEIVEQ,
  VIRTIO_NET_TRANSMITQ,
} from '../../spec/virtio-net.ts';
import { featureBits, type BufferSegment, type DriverQueue } from '../../virtio/index.ts';
import type { BoundDriver } from '../device.ts';
import type { VirtioBinding } from '../virtio/binding.ts';
import {
  arpRequest,
  BROADCAST,
  dhcpRequest,
  pingRequest,
  receive,
  type Address,
  type Received,
} from './frames.ts';

const FEATURES = featureBits(VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS);
const RECEIVE_BUFFERS = 32;
const BUFFER_BYTES = VIRTIO_NET_HDR.size + ETH_FRAME_LEN;
/** Frames that nobody took yet; older ones are lost. */
const INBOX_MAX = 256;
/** Identifier of our echo requests. */
const PING_ID = 0x5654;

/** What a test of the NIC came to. */
export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly error?: string;
}

/** A virtio-net that a driver is bound to, with as much of a network stack as a test needs. */
export class NetDriver implements BoundDriver {
  readonly name = 'virtio_net';
  readonly mac: Uint8Array;
  /** Frames sent and received since it was bound. */
  sent = 0;
  received = 0;
  readonly #binding: VirtioBinding;
  readonly #rx: DriverQueue;
  readonly #tx: DriverQueue;
  readonly #buffers = new Map<number, { gpa: bigint; mapped: BufferSegment[] }>();
  readonly #inbox: Received[] = [];
  #transmitted = new Set<number>();
  #xid = 0x1000_0000;

  static bind(binding: VirtioBinding): NetDriver | undefined {
    if (!binding.negotiate(FEATURES)) return undefined;
    const held: { driver?: NetDriver } = {};
    const [rx, tx] =
      binding.open([
        { used: () => held.driver?.receive() },
        { used: () => held.driver?.transmitted() },
      ]) ?? [];
    if (rx === undefined || tx === undefined) {
      binding.fail();
      return undefined;
    }
    held.driver = new NetDriver(binding, rx, tx);
    return held.driver;
  }

  private constructor(binding: VirtioBinding, rx: DriverQueue, tx: DriverQueue) {
    this.#binding = binding;
    this.#rx = rx;
    this.#tx = tx;
    const { mac } = VIRTIO_NET_CONFIG.offsets;
    this.mac = Uint8Array.from({ length: 6 }, (_, i) => binding.transport.readConfig(mac + i, 1));
    rx.enableInterrupts(true);
    tx.enableInterrupts(true);
    binding.ready();
    for (let i = 0; i < RECEIVE_BUFFERS; i++) this.#offer(binding.kernel.ram.pages(BUFFER_BYTES));
    binding.kick(VIRTIO_NET_RECEIVEQ);
  }

  /** Sends a frame and waits until the device has taken it. */
  send(frame: Uint8Array): boolean {
    const { kernel, dma } = this.#binding;
    const length = VIRTIO_NET_HDR.size + frame.length;
    const gpa = kernel.ram.pages(length);
    kernel.ram.write(gpa + BigInt(VIRTIO_NET_HDR.size), frame);
    const mapped = dma.map([{ gpa, length }], 'to-device');
    const id = mapped && this.#tx.add(mapped, []);
    if (mapped === undefined || id === undefined) return false;
    this.#binding.kick(VIRTIO_NET_TRANSMITQ);
    if (!kernel.waitFor(() => this.#transmitted.delete(id))) return false;
    this.sent++;
    dma.unmap(mapped);
    kernel.ram.release(gpa, length);
    return true;
  }

  /** An address by DHCP; undefined when nobody gives one. */
  dhcp(): { readonly address: number; readonly server: number } | undefined {
    const xid = this.#xid++;
    const base = { xid, mac: this.mac };
    if (!this.send(dhcpRequest({ ...base, kind: DHCPDISCOVER }))) return undefined;
    const offer = this.#wait(
      (one) => one.kind === 'dhcp' && one.type === DHCPOFFER && one.xid === xid,
    );
    if (offer?.kind !== 'dhcp') return undefined;
    const { address, server } = offer;
    this.send(dhcpRequest({ ...base, kind: DHCPREQUEST, offer: { address, server } }));
    const ack = this.#wait((one) => one.kind === 'dhcp' && one.type === DHCPACK && one.xid === xid);
    return ack === undefined ? undefined : { address, server };
  }

  /** ARP, then `count` echo requests of `length` bytes each. */
  ping(own: number, target: number, count: number, length: number): PingResult {
    const from: Address = { mac: this.mac, ip: own };
    const before = { sent: this.sent, received: this.received };
    const result = (error?: string): PingResult => ({
      sent: this.sent - before.sent,
      received: this.received - before.received,
      ...(error === undefined ? {} : { error }),
    });
    if (!this.send(arpRequest(from, target))) return result('it does not come back (timeout)');
    const neighbour = this.#wait((one) => one.kind === 'arp' && one.ip === target);
    if (neighbour?.kind !== 'arp') return result('no answer to ARP');
    const to = { mac: neighbour.mac, ip: target };
    for (let sequence = 1; sequence <= count; sequence++) {
      if (!this.send(pingRequest(from, to, { id: PING_ID, sequence }, length))) {
        return result('it does not come back (timeout)');
      }
      const pong = this.#wait(
        (one) => one.kind === 'pong' && one.id === PING_ID && one.sequence === sequence,
      );
      if (pong === undefined) return result('no answer to ping');
    }
    return result();
  }

  remove(): void {
    this.#binding.close();
    const { kernel, dma } = this.#binding;
    for (const { gpa, mapped } of this.#buffers.values()) {
      dma.unmap(mapped);
      kernel.ram.release(gpa, BUFFER_BYTES);
    }
    this.#buffers.clear();
  }

  /** The receive interrupt. */
  receive(): void {
    const { kernel, dma } = this.#binding;
    for (let used = this.#rx.poll(); used !== undefined; used = this.#rx.poll()) {
      const buffer = this.#buffers.get(used.id);
      this.#buffers.delete(used.id);
      if (buffer === undefined) continue;
      dma.unmap(buffer.mapped);
      const bytes = kernel.ram.read(buffer.gpa, Math.min(used.length, BUFFER_BYTES));
      this.#take(bytes.subarray(VIRTIO_NET_HDR.size));
      this.#offer(buffer.gpa);
    }
    this.#binding.kick(VIRTIO_NET_RECEIVEQ);
  }

  /** The transmit interrupt. */
  transmitted(): void {
    for (let used = this.#tx.poll(); used !== undefined; used = this.#tx.poll()) {
      this.#transmitted.add(used.id);
    }
  }

  #take(frame: Uint8Array): void {
    this.received++;
    const isForUs = [this.mac, BROADCAST].some((mac) => mac.every((byte, i) => byte === frame[i]));
    const parsed = isForUs ? receive(frame) : undefined;
    if (parsed === undefined) return;
    if (this.#inbox.length >= INBOX_MAX) this.#inbox.shift();
    this.#inbox.push(parsed);
  }

  #offer(gpa: bigint): void {
    const mapped = this.#binding.dma.map([{ gpa, length: BUFFER_BYTES }], 'from-device');
    const id = mapped && this.#rx.add([], mapped);
    if (mapped !== undefined && id !== undefined) this.#buffers.set(id, { gpa, mapped });
  }

  #wait(wanted: (one: Received) => boolean): Received | undefined {
    const find = (): number => this.#inbox.findIndex(wanted);
    if (!this.#binding.kernel.waitFor(() => find() >= 0)) return undefined;
    return this.#inbox.splice(find(), 1)[0];
  }
}
