import { ACCESS_READ, type DmaSpace } from '../memory/index.ts';
import {
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_DESC,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from '../spec/virtio.ts';
import type { Chain } from './chain.ts';
import { hasFeature } from './features.ts';
import type { QueueError, QueueErrorCode } from './queue-error.ts';

/** Where a driver put a queue: descriptor area, driver area, device area ("Virtqueues"). */
export interface QueueLayout {
  readonly index: number;
  /** Number of descriptors. */
  readonly size: number;
  readonly descHi: number;
  readonly descLo: number;
  readonly driverHi: number;
  readonly driverLo: number;
  readonly deviceHi: number;
  readonly deviceLo: number;
}

/** Descriptors of an indirect table. Drivers stay below; without a bound a guest sizes our lists. */
export const INDIRECT_MAX = 1024;

/** Bytes of a descriptor, split and packed. */
export const DESC_SIZE: number = VIRTQ_DESC.size;

/** How both formats read descriptors and indirect tables, and how a queue breaks. */
export abstract class DescriptorReader {
  readonly layout: QueueLayout;
  readonly size: number;
  /** What broke the queue, if something did. */
  error: QueueError | undefined;

  protected readonly dma: DmaSpace;
  // The descriptor read last, each field read once: what the driver changes later is not seen.
  protected descHi = 0;
  protected descLo = 0;
  protected descLength = 0;
  /** flags (split) or ID (packed). */
  protected descAt12 = 0;
  /** next (split) or flags (packed). */
  protected descAt14 = 0;
  readonly #indirect: boolean;
  readonly #onBroken: (error: QueueError) => void;
  readonly #split = new DataView(new ArrayBuffer(DESC_SIZE));

  constructor(
    layout: QueueLayout,
    features: bigint,
    dma: DmaSpace,
    onBroken: (error: QueueError) => void,
  ) {
    this.layout = layout;
    this.size = layout.size;
    this.dma = dma;
    this.#onBroken = onBroken;
    this.#indirect = hasFeature(features, VIRTIO_RING_F_INDIRECT_DESC);
  }

  /** Breaks the queue; false, for the caller to return. */
  protected fail(code: QueueErrorCode, message: string, address?: bigint): false {
    const error = { code, queue: this.layout.index, message };
    this.error = address === undefined ? error : { ...error, address };
    this.#onBroken(this.error);
    return false;
  }

  protected unreachable(what: string): false {
    return this.fail('ring-unreachable', what, this.dma.fault().address);
  }

  /** Reads a descriptor to the `desc…` fields. */
  protected readDescriptor(hi: number, lo: number): boolean {
    const { dma } = this;
    if (!dma.resolve(hi, lo, DESC_SIZE, ACCESS_READ)) return false;
    let { data } = dma.piece;
    let at = dma.pieceAt;
    if (dma.pieceLength < DESC_SIZE) {
      // It straddles two pieces of memory: put it together first.
      data = this.#split;
      at = 0;
      if (dma.read(hi, lo, new Uint8Array(data.buffer)) < DESC_SIZE) return false;
    }
    this.descLo = data.getUint32(at, true);
    this.descHi = data.getUint32(at + 4, true);
    this.descLength = data.getUint32(at + 8, true);
    this.descAt12 = data.getUint16(at + 12, true);
    this.descAt14 = data.getUint16(at + 14, true);
    return true;
  }

  /** Adds the segment of the descriptor read last. */
  protected addSegment(chain: Chain, flags: number): boolean {
    const writable = (flags & VIRTQ_DESC_F_WRITE) !== 0;
    if (!writable && chain.writableCount > 0) {
      return this.fail('chain-order', `chain ${chain.id}: a readable descriptor after a writable`);
    }
    const length = this.descLength;
    if (chain.readableLength + chain.writableLength + length > 0xffff_ffff) {
      return this.fail('chain-bytes', `chain ${chain.id}: more than 2^32 - 1 bytes`);
    }
    chain.append(this.descHi, this.descLo, length, writable);
    return true;
  }

  /**
   * Checks the reference to an indirect table read last; answers its number of entries, 0 when it is
   * wrong. WRITE is ignored, as a device must.
   */
  protected indirectEntries(chain: Chain, flags: number): number {
    const length = this.descLength;
    if (!this.#indirect) this.fail('indirect-not-negotiated', `chain ${chain.id}`);
    else if ((flags & VIRTQ_DESC_F_NEXT) !== 0) {
      this.fail('indirect-with-next', `chain ${chain.id}: flags ${flags}`);
    } else if (length === 0 || length % DESC_SIZE !== 0 || length > INDIRECT_MAX * DESC_SIZE) {
      this.fail('indirect-length', `chain ${chain.id}: a table of ${length} bytes`);
    } else return length / DESC_SIZE;
    return 0;
  }

  /** Copies entry `index` of an indirect table to the `desc…` fields. */
  protected readIndirect(chain: Chain, hi: number, lo: number, index: number): boolean {
    if (this.readDescriptor(hi, lo + index * DESC_SIZE)) return true;
    const { address } = this.dma.fault();
    return this.fail('indirect-unreachable', `chain ${chain.id}: entry ${index}`, address);
  }

  /** Whether the entry of a table refers to another table, which breaks the queue. */
  protected nested(chain: Chain, flags: number): boolean {
    if ((flags & VIRTQ_DESC_F_INDIRECT) === 0) return false;
    this.fail('indirect-nested', `chain ${chain.id}: a table inside a table`);
    return true;
  }
}
