import { structBytes } from '../bytes/index.ts';
import { ETH_DATA_LEN, ETH_HEADER } from '../spec/ethernet.ts';
import {
  VIRTIO_NET_CONFIG,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
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

import { finished, packetOf } from './net/offload.ts';

/**
 * Takes a frame for the guest. `most`: TCP data of one segment on a wire, when this frame has more
 * than one and would be cut there; else 0 or absent.
 */
export type Deliver = (frame: Uint8Array, most?: number) => void;

/** What goes with a frame of the guest. */
export interface FrameContext {
  /** More frames are at hand. */
  readonly more?: boolean;
  /** The guest takes TCP frames of up to 64 KiB. */
  readonly large?: boolean;
}

/** The other end of a network device's cable. */
export interface NetLink {
  /**
   * It is no wire: TCP frames may have up to 64 KiB, and what it delivers is right. Default false.
   */
  readonly large?: boolean;
  /** Told once, before anything else, how frames are given to the guest at any time. */
  connect?(deliver: Deliver): void;
  /**
   * A frame from the guest, without check sequence. It may answer at once through `deliver`.
   * The bytes are its own to keep.
   */
  transmit(frame: Uint8Array, deliver: Deliver, how?: FrameContext): void;
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
  /**
   * Offers to finish checksums, and where the link takes large frames, TCP segmentation both ways;
   * default true.
   */
  readonly offloads?: boolean;
  readonly tap?: NetTap;
}

const FRAMES_PER_KICK = 256;
/** Bytes of frames that are collected before they go out. */
const BATCH_BYTES = 2 ** 20;
/** Longest frame that is taken from a guest: no more was offered. */
const FRAME_MAX = 65550;
/** Frames and bytes that wait for buffers of the guest; what comes then is lost, as on a real cable. */
const BACKLOG_FRAMES = 4096;
const BACKLOG_BYTES = 4 * 2 ** 20;

/** A frame that waits for buffers of the guest. */
interface Waiting {
  readonly frame: Uint8Array;
  readonly most: number;
  readonly [key: string]: PlainState;
}

interface NetState {
  readonly backlog: readonly Waiting[];
  readonly dropped: number;
  readonly link: PlainState;
  readonly [key: string]: PlainState;
}

/** VIRTIO 1.3, "Network Device": one receive and one transmit queue. */
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
  #backlog: Waiting[] = [];
  #backlogBytes = 0;
  /** Receive buffers that are popped but too few for the frame at hand. */
  #held: Chain[] = [];

  constructor(options: NetOptions) {
    const { mac, mtu, queueSize = 256, mergeable = true, offloads = true } = options;
    this.#link = options.link;
    this.#tap = options.tap;
    this.queueSizes = [queueSize, queueSize];
    this.features = featureBits(
      VIRTIO_NET_F_MAC,
      VIRTIO_NET_F_STATUS,
      ...(mergeable ? [VIRTIO_NET_F_MRG_RXBUF] : []),
      ...(offloads ? [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM] : []),
      ...(offloads && options.link.large === true
        ? [VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4]
        : []),
      ...(mtu === undefined ? [] : [VIRTIO_NET_F_MTU]),
    );
    this.config = structBytes(VIRTIO_NET_CONFIG, 'le', {
      mac,
      status: VIRTIO_NET_S_LINK_UP,
      max_virtqueue_pairs: 1,
      mtu: mtu ?? ETH_DATA_LEN,
    });
    this.#link.connect?.(this.deliver);
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
  readonly deliver: Deliver = (frame, most = 0) => {
    const full =
      this.#backlog.length >= BACKLOG_FRAMES || this.#backlogBytes + frame.length > BACKLOG_BYTES;
    if (full || !this.linkUp || this.#host?.live !== true) {
      this.dropped++;
      return;
    }
    this.#tap?.(frame, 'peer');
    this.#backlog.push({ frame, most });
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
      backlog: this.#backlog.map(({ frame, most }) => ({ frame: frame.slice(), most })),
      dropped: this.dropped,
      link: this.#link.snapshot?.(),
    };
    return state;
  }

  restore(state: PlainState): void {
    const { backlog, dropped, link } = state as NetState;
    this.#backlog = backlog.map(({ frame, most }) => ({ frame: frame.slice(), most }));
    this.#backlogBytes = backlog.reduce((sum, { frame }) => sum + frame.length, 0);
    this.dropped = dropped;
    this.#held = this.#host?.queue(VIRTIO_NET_RECEIVEQ)?.taken() ?? [];
    this.#link.restore?.(link);
  }

  #transmit(): void {
    const queue = this.#host?.queue(VIRTIO_NET_TRANSMITQ);
    if (queue === undefined) return;
    const frames: Uint8Array[] = [];
    let bytes = 0;
    let done = 0;
    for (; done < FRAMES_PER_KICK && bytes < BATCH_BYTES; done++) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const frame = takeFrame(chain);
      // The buffer goes back first: the answer may take long, and must not look at it.
      queue.push(chain, 0);
      if (frame === undefined || !this.linkUp) this.dropped++;
      else {
        frames.push(frame);
        bytes += frame.length;
      }
    }
    const large = this.#host?.hasFeature(VIRTIO_NET_F_GUEST_TSO4) === true;
    for (const [index, frame] of frames.entries()) {
      this.#tap?.(frame, 'guest');
      this.#link.transmit(frame, this.deliver, { more: index < frames.length - 1, large });
    }
    this.#host?.signal(VIRTIO_NET_TRANSMITQ);
    if (done === FRAMES_PER_KICK || bytes >= BATCH_BYTES) {
      this.#host?.kickLater(VIRTIO_NET_TRANSMITQ);
    }
  }

  /** Gives waiting frames to the guest while it has buffers. */
  #receive(): void {
    const queue = this.#host?.queue(VIRTIO_NET_RECEIVEQ);
    if (queue === undefined) return;
    let given = false;
    for (;;) {
      const waiting = this.#backlog[0];
      const size = (waiting?.frame.length ?? 0) + VIRTIO_NET_HDR.size;
      if (waiting === undefined || !this.#gather(queue, size)) break;
      this.#backlog.shift();
      this.#backlogBytes -= waiting.frame.length;
      this.#give(queue, waiting);
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

  #give(queue: DeviceQueue, { frame, most }: Waiting): void {
    const chains = this.#held;
    this.#held = [];
    // What came over a real wire nobody has looked at.
    const checked =
      this.#link.large === true && this.#host?.hasFeature(VIRTIO_NET_F_GUEST_CSUM) === true;
    const packet = packetOf(frame, most, checked, chains.length);
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
  const head = new Uint8Array(VIRTIO_NET_HDR.size);
  const frame = new Uint8Array(length);
  if (reader.read(head) !== head.length || reader.read(frame) !== length) return undefined;
  return finished(head, frame) ? frame : undefined;
}
