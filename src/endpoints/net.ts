import { structBytes } from '../bytes/index.ts';
import { ETH_DATA_LEN, ETH_HEADER } from '../spec/ethernet.ts';
import {
  VIRTIO_NET_CONFIG,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_HDR,
  VIRTIO_NET_RECEIVEQ,
  VIRTIO_NET_S_LINK_UP,
  VIRTIO_NET_TRANSMITQ,
} from '../spec/virtio-net.ts';
import { VIRTIO_ID_NET } from '../spec/virtio.ts';
import {
  featureBits,
  type Chain,
  type DeviceQueue,
  type PlainState,
  type VirtioDevice,
  type VirtioHost,
} from '../virtio/index.ts';

/** The other end of a network device's cable. */
export interface NetLink {
  /**
   * A frame from the guest, without check sequence. It may answer at once through `deliver`.
   * The bytes are its own to keep.
   */
  transmit(frame: Uint8Array, deliver: (frame: Uint8Array) => void): void;
  snapshot?(): PlainState;
  restore?(state: PlainState): void;
}

/** A frame on the cable, for captures. */
export type NetTap = (frame: Uint8Array, from: 'guest' | 'peer') => void;

export interface NetOptions {
  readonly mac: Uint8Array;
  readonly link: NetLink;
  /** Descriptors of each queue; default 256. */
  readonly queueSize?: number;
  /** Offers VIRTIO_NET_F_MTU with this; default not offered. */
  readonly mtu?: number;
  /** Offers VIRTIO_NET_F_MRG_RXBUF; default true. */
  readonly mergeable?: boolean;
  readonly tap?: NetTap;
}

const FRAMES_PER_KICK = 256;
/** Longest frame that is taken from a guest: no more was offered. */
const FRAME_MAX = 65550;
/** Frames and bytes that wait for buffers of the guest; what comes then is lost, as on a real cable. */
const BACKLOG_FRAMES = 4096;
const BACKLOG_BYTES = 4 * 2 ** 20;

interface NetState {
  readonly backlog: readonly Uint8Array[];
  readonly dropped: number;
  readonly link: PlainState;
  readonly [key: string]: PlainState;
}

/** VIRTIO 1.3, "Network Device": one receive and one transmit queue, no offloads. */
export class VirtioNet implements VirtioDevice {
  readonly deviceId = VIRTIO_ID_NET;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  /** Frames that had no room or no buffer. */
  dropped = 0;
  readonly #link: NetLink;
  readonly #tap: NetTap | undefined;
  #host: VirtioHost | undefined;
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  /** Receive buffers that are popped but too few for the frame at hand. */
  #held: Chain[] = [];

  constructor(options: NetOptions) {
    const { mac, mtu, queueSize = 256, mergeable = true } = options;
    this.#link = options.link;
    this.#tap = options.tap;
    this.queueSizes = [queueSize, queueSize];
    this.features = featureBits(
      VIRTIO_NET_F_MAC,
      VIRTIO_NET_F_STATUS,
      ...(mergeable ? [VIRTIO_NET_F_MRG_RXBUF] : []),
      ...(mtu === undefined ? [] : [VIRTIO_NET_F_MTU]),
    );
    this.config = structBytes(VIRTIO_NET_CONFIG, 'le', {
      mac,
      status: VIRTIO_NET_S_LINK_UP,
      max_virtqueue_pairs: 1,
      mtu: mtu ?? ETH_DATA_LEN,
    });
  }

  attach(host: VirtioHost): void {
    this.#host = host;
  }

  configWrite(): void {}

  /** Plugs the cable in, or out: frames are lost then. */
  setLink(up: boolean): void {
    const at = VIRTIO_NET_CONFIG.offsets.status;
    if ((this.config[at] !== 0) === up) return;
    this.config[at] = up ? VIRTIO_NET_S_LINK_UP : 0;
    this.#host?.configChanged();
  }

  get linkUp(): boolean {
    return this.config[VIRTIO_NET_CONFIG.offsets.status] !== 0;
  }

  /** A frame for the guest. It waits when there is no buffer, and is lost when too many wait. */
  readonly deliver = (frame: Uint8Array): void => {
    const full =
      this.#backlog.length >= BACKLOG_FRAMES || this.#backlogBytes + frame.length > BACKLOG_BYTES;
    if (full || !this.linkUp || this.#host?.live !== true) {
      this.dropped++;
      return;
    }
    this.#tap?.(frame, 'peer');
    this.#backlog.push(frame);
    this.#backlogBytes += frame.length;
    this.#receive();
  };

  kick(index: number): void {
    if (index === VIRTIO_NET_TRANSMITQ) this.#transmit();
    else this.#receive();
  }

  queueReset(index: number): void {
    if (index === VIRTIO_NET_RECEIVEQ) this.#held = [];
  }

  reset(): void {
    this.#held = [];
    this.#backlog = [];
    this.#backlogBytes = 0;
  }

  systemReset(): void {
    this.dropped = 0;
    this.config[VIRTIO_NET_CONFIG.offsets.status] = VIRTIO_NET_S_LINK_UP;
  }

  snapshot(): PlainState {
    const state: NetState = {
      backlog: this.#backlog.map((frame) => frame.slice()),
      dropped: this.dropped,
      link: this.#link.snapshot?.(),
    };
    return state;
  }

  restore(state: PlainState): void {
    const { backlog, dropped, link } = state as NetState;
    this.#backlog = backlog.map((frame) => frame.slice());
    this.#backlogBytes = backlog.reduce((sum, frame) => sum + frame.length, 0);
    this.dropped = dropped;
    this.#held = this.#host?.queue(VIRTIO_NET_RECEIVEQ)?.taken() ?? [];
    this.#link.restore?.(link);
  }

  #transmit(): void {
    const queue = this.#host?.queue(VIRTIO_NET_TRANSMITQ);
    if (queue === undefined) return;
    let done = 0;
    for (; done < FRAMES_PER_KICK; done++) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const frame = takeFrame(chain);
      // The buffer goes back first: the answer may take long, and must not look at it.
      queue.push(chain, 0);
      if (frame === undefined || !this.linkUp) this.dropped++;
      else {
        this.#tap?.(frame, 'guest');
        this.#link.transmit(frame, this.deliver);
      }
    }
    this.#host?.signal(VIRTIO_NET_TRANSMITQ);
    if (done === FRAMES_PER_KICK) this.#host?.kickLater(VIRTIO_NET_TRANSMITQ);
  }

  /** Gives waiting frames to the guest while it has buffers. */
  #receive(): void {
    const queue = this.#host?.queue(VIRTIO_NET_RECEIVEQ);
    if (queue === undefined) return;
    let given = false;
    for (;;) {
      const frame = this.#backlog[0];
      if (frame === undefined || !this.#gather(queue, frame.length + VIRTIO_NET_HDR.size)) break;
      this.#backlog.shift();
      this.#backlogBytes -= frame.length;
      this.#give(queue, frame);
      given = true;
    }
    if (given) this.#host?.signal(VIRTIO_NET_RECEIVEQ);
  }

  /** Pops buffers until the frame fits, or one when buffers are not mergeable. */
  #gather(queue: DeviceQueue, length: number): boolean {
    const merge = this.#host?.hasFeature(VIRTIO_NET_F_MRG_RXBUF) === true;
    let room = this.#held.reduce((sum, chain) => sum + chain.writableLength, 0);
    while (merge ? room < length : this.#held.length === 0) {
      const chain = queue.pop();
      if (chain === undefined) return false;
      this.#held.push(chain);
      room += chain.writableLength;
    }
    return true;
  }

  #give(queue: DeviceQueue, frame: Uint8Array): void {
    const chains = this.#held;
    this.#held = [];
    const packet = new Uint8Array(VIRTIO_NET_HDR.size + frame.length);
    packet.set(structBytes(VIRTIO_NET_HDR, 'le', { num_buffers: chains.length }));
    packet.set(frame, VIRTIO_NET_HDR.size);
    const room = chains.reduce((sum, chain) => sum + chain.writableLength, 0);
    let lost = room < packet.length;
    let at = 0;
    for (const chain of chains) {
      const count = Math.min(chain.writableLength, packet.length - at);
      const done = lost ? 0 : chain.writer.write(packet, at, count);
      if (done < count) lost = true;
      // A buffer that could not be filled goes back as empty: the driver drops a packet that short.
      queue.push(chain, lost ? 0 : count);
      at += count;
    }
    if (lost) this.dropped++;
  }
}

/** The frame in a transmit buffer; undefined when it is none, or cannot be read. */
function takeFrame({ reader }: Chain): Uint8Array | undefined {
  const length = reader.length - VIRTIO_NET_HDR.size;
  if (length < ETH_HEADER.size || length > FRAME_MAX) return undefined;
  reader.skip(VIRTIO_NET_HDR.size);
  const frame = new Uint8Array(length);
  return reader.read(frame) === length ? frame : undefined;
}
