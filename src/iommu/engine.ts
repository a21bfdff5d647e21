import {
  VIRTIO_IOMMU_REQ_HEAD,
  VIRTIO_IOMMU_REQ_TAIL,
  VIRTIO_IOMMU_S_OK,
} from '../spec/virtio-iommu.ts';
import { Request, type RequestContext, type RequestType } from './request.ts';
import type { Relay } from './relay.ts';
import type { IommuState } from './state.ts';

const HEAD_SIZE = VIRTIO_IOMMU_REQ_HEAD.size;
const TAIL_SIZE = VIRTIO_IOMMU_REQ_TAIL.size;
/** `struct virtio_iommu_req_head.type` is one byte. */
const TYPES = 256;

interface Slot extends RequestContext {
  readonly type: RequestType;
  readonly replySize: number;
}

/**
 * Requests without queues: bytes in, verdict and bytes out. Decode, decide, apply; nothing changes
 * before the verdict. How the bytes were spread over descriptors is not seen here.
 */
export class RequestEngine {
  /** The device-readable part goes here; `bytes.length` is the most that any type needs. */
  readonly bytes: Uint8Array;
  /** After `execute`: the device-writable part is `reply[replyAt ..]`. */
  readonly reply: Uint8Array;
  replyAt = 0;
  /** After `execute`: the status byte; meaningless when nothing is written. */
  status = 0;

  readonly #state: IommuState;
  readonly #data: DataView;
  readonly #request = new Request();
  readonly #slots: (Slot | undefined)[] = Array.from({ length: TYPES });
  readonly #tailAt: number;

  /** @throws RangeError when two types have the same number */
  constructor(state: IommuState, relay: Relay, types: readonly RequestType[]) {
    this.#state = state;
    this.bytes = new Uint8Array(Math.max(HEAD_SIZE, ...types.map(({ size }) => size)));
    this.#data = new DataView(this.bytes.buffer);
    const sized = types.map((type) => ({
      type,
      replySize: type.isKnown(state) ? type.replySize(state) : 0,
    }));
    this.#tailAt = Math.max(0, ...sized.map(({ replySize }) => replySize));
    this.reply = new Uint8Array(this.#tailAt + TAIL_SIZE);
    for (const { type, replySize } of sized) {
      if (this.#slots[type.type]) throw new RangeError(`two request types ${type.type}`);
      const reply = this.reply.subarray(this.#tailAt - replySize, this.#tailAt);
      this.#slots[type.type] = { type, replySize, state, relay, reply };
    }
  }

  /**
   * Executes the request in `bytes`.
   *
   * @param readable bytes of the device-readable part
   * @param writable bytes of the device-writable part
   * @returns the used length; 0 when the buffer is to go back unwritten
   */
  execute(readable: number, writable: number): number {
    const slot = readable < HEAD_SIZE ? undefined : this.#slots[this.bytes[0] as number];
    if (
      slot === undefined ||
      readable < slot.type.size ||
      writable < TAIL_SIZE ||
      !slot.type.isKnown(this.#state)
    ) {
      this.#state.counters.unanswered++;
      return 0;
    }
    const request = this.#request;
    const { type, replySize } = slot;
    if (type.counter !== undefined) this.#state.counters[type.counter]++;
    if (replySize > 0) slot.reply.fill(0);
    type.decode(this.#data, request);
    request.room = writable - TAIL_SIZE;
    let status = this.#state.refuse?.(type, request) ?? type.decide(slot, request);
    if (status === VIRTIO_IOMMU_S_OK) status = type.apply(slot, request);
    if (status !== VIRTIO_IOMMU_S_OK) this.#state.counters.refused++;
    this.status = status;
    this.reply[this.#tailAt] = status;
    // All that the format has, or all there is: the tail ends the writable part.
    const used = Math.min(writable, replySize + TAIL_SIZE);
    this.replyAt = this.reply.length - used;
    return used;
  }

  /** After a restore: the request that had been executed and not answered. */
  resume(saved: { request: Uint8Array; reply: Uint8Array; status: number; used: number }): void {
    this.bytes.set(saved.request.subarray(0, this.bytes.length));
    this.reply.set(saved.reply.subarray(0, this.reply.length));
    this.status = saved.status;
    this.replyAt = this.reply.length - saved.used;
    const slot = this.#slots[this.bytes[0] as number];
    slot?.type.decode(this.#data, this.#request);
  }

  /** Tells listeners of the request just executed; `used` is its used length. */
  tell(readable: number, used: number): void {
    const { stream } = this.#state;
    if (!stream.wants('request')) return;
    const type = readable < HEAD_SIZE ? -1 : (this.bytes[0] as number);
    const slot = this.#slots[type];
    if (slot === undefined || used === 0) {
      const name = slot?.type.name ?? 'unknown';
      stream.emit({ kind: 'request', name, type, fields: {}, used });
      return;
    }
    const fields = slot.type.show(this.#request);
    stream.emit({
      kind: 'request',
      name: slot.type.name,
      type,
      fields,
      status: this.status,
      used,
    });
  }
}
