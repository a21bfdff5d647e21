import { ByteView, structBytes } from '../bytes/index.ts';
import {
  VIRTIO_BLK_CONFIG,
  VIRTIO_BLK_DISCARD_WRITE_ZEROES,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_ID_BYTES,
  VIRTIO_BLK_REQ,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_SECTOR,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
} from '../spec/virtio-blk.ts';
import { VIRTIO_ID_BLOCK } from '../spec/virtio.ts';
import {
  featureBits,
  type Chain,
  type PlainState,
  type VirtioDevice,
  type VirtioHost,
} from '../virtio/index.ts';
import type { BlockStore } from './store.ts';

/** A request that was answered, for whoever watches. */
export interface BlockEvent {
  /** VIRTIO_BLK_T_…; undefined when not even the head could be read. */
  readonly type: number | undefined;
  readonly sector: number;
  /** Bytes of data. */
  readonly length: number;
  /** VIRTIO_BLK_S_…. */
  readonly status: number;
}

export interface BlockOptions {
  readonly store: BlockStore;
  /** Up to 20 bytes of Latin-1 that GET_ID answers. */
  readonly serial?: string;
  /** Descriptors of the queue; default 128. */
  readonly queueSize?: number;
  readonly onRequest?: (event: BlockEvent) => void;
}

/** Requests of one kick, after which others get their turn. */
const REQUESTS_PER_KICK = 256;
/** Bytes of data of one kick, at least one request: the same page may be named again and again. */
const BYTES_PER_KICK = 64 * 2 ** 20;
/** Bytes of one request: a chain may name the same page a million times. */
const REQUEST_BYTES_MAX = 64 * 2 ** 20;
/** Bytes that are copied at a time, so that views of guest memory stay few. */
const CHUNK = 2 ** 20;
/** Sectors and runs of one DISCARD or WRITE_ZEROES. */
const ZERO_SECTORS_MAX = 2 ** 22;
const ZERO_RUNS_MAX = 16;

/** VIRTIO 1.3, "Block Device". Every request is over when `kick` returns. */
export class VirtioBlock implements VirtioDevice {
  readonly deviceId = VIRTIO_ID_BLOCK;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #store: BlockStore;
  readonly #serial: Uint8Array;
  readonly #sectors: number;
  readonly #head = new Uint8Array(VIRTIO_BLK_REQ.size);
  readonly #headData = new DataView(this.#head.buffer);
  readonly #onRequest: ((event: BlockEvent) => void) | undefined;
  #host: VirtioHost | undefined;

  constructor({ store, serial = '', queueSize = 128, onRequest }: BlockOptions) {
    this.#store = store;
    this.#onRequest = onRequest;
    this.#sectors = Math.floor(store.size / VIRTIO_BLK_SECTOR);
    this.#serial = new Uint8Array(VIRTIO_BLK_ID_BYTES);
    this.#serial.set(Buffer.from(serial, 'latin1').subarray(0, VIRTIO_BLK_ID_BYTES));
    this.queueSizes = [queueSize];
    const zeroes = store.zero === undefined || store.readOnly ? [] : ZERO_FEATURES;
    const ro = store.readOnly ? [VIRTIO_BLK_F_RO] : [];
    this.features = featureBits(
      VIRTIO_BLK_F_SEG_MAX,
      VIRTIO_BLK_F_BLK_SIZE,
      VIRTIO_BLK_F_FLUSH,
      ...ro,
      ...zeroes,
    );
    this.config = structBytes(VIRTIO_BLK_CONFIG, 'le', {
      capacity: BigInt(this.#sectors),
      // Head and status take two descriptors of a chain that fits the queue.
      seg_max: Math.max(1, queueSize - 2),
      blk_size: VIRTIO_BLK_SECTOR,
      num_queues: 1,
      max_discard_sectors: ZERO_SECTORS_MAX,
      max_discard_seg: ZERO_RUNS_MAX,
      discard_sector_alignment: 1,
      max_write_zeroes_sectors: ZERO_SECTORS_MAX,
      max_write_zeroes_seg: ZERO_RUNS_MAX,
      write_zeroes_may_unmap: 1,
    });
  }

  attach(host: VirtioHost): void {
    this.#host = host;
  }

  /** Nothing in the configuration is the driver's. */
  configWrite(): void {}

  kick(index: number): void {
    const queue = this.#host?.queue(index);
    if (queue === undefined) return;
    let done = 0;
    let bytes = 0;
    for (; done < REQUESTS_PER_KICK && bytes < BYTES_PER_KICK; done++) {
      const chain = queue.pop();
      if (chain === undefined) break;
      bytes += chain.readableLength + chain.writableLength;
      queue.push(chain, this.#answer(chain));
    }
    this.#host?.signal(index);
    if (done === REQUESTS_PER_KICK || bytes >= BYTES_PER_KICK) this.#host?.kickLater(index);
  }

  reset(): void {}

  snapshot(): PlainState {
    return this.#store.snapshot?.();
  }

  restore(state: PlainState): void {
    if (state instanceof Uint8Array) this.#store.restore?.(state);
  }

  /** Does what the request says; answers its used length: all of the writable part, or nothing (D64). */
  #answer(chain: Chain): number {
    const { reader, writer } = chain;
    const place = writer.length - 1;
    const whole = reader.read(this.#head) === this.#head.length;
    const type = whole ? this.#headData.getUint32(0, true) : undefined;
    const sector = this.#headData.getUint32(12, true) * 2 ** 32 + this.#headData.getUint32(8, true);
    const length = type === VIRTIO_BLK_T_IN ? Math.max(0, place) : reader.left;
    // Without room for a status there is nobody to tell: the request goes back untouched.
    if (place < 0) return 0;
    const status = type === undefined ? VIRTIO_BLK_S_IOERR : this.#execute(chain, type, sector);
    writer.seek(place);
    const told = writer.writeU8(status);
    this.#onRequest?.({ type, sector: whole ? sector : 0, length, status });
    return told ? writer.length : 0;
  }

  #execute(chain: Chain, type: number, sector: number): number {
    const data = chain.writer.length - 1;
    switch (type) {
      case VIRTIO_BLK_T_IN:
        return this.#transfer(chain, sector, data, false);
      case VIRTIO_BLK_T_OUT:
        if (this.#store.readOnly) return VIRTIO_BLK_S_IOERR;
        return this.#transfer(chain, sector, chain.reader.left, true);
      case VIRTIO_BLK_T_FLUSH:
        return this.#store.flush() ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
      case VIRTIO_BLK_T_GET_ID: {
        const length = Math.min(data, VIRTIO_BLK_ID_BYTES);
        const done = chain.writer.write(this.#serial, 0, length);
        return done === length ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
      }
      case VIRTIO_BLK_T_DISCARD:
      case VIRTIO_BLK_T_WRITE_ZEROES:
        return this.#zero(chain, type);
      default:
        return VIRTIO_BLK_S_UNSUPP;
    }
  }

  #transfer({ reader, writer }: Chain, sector: number, length: number, out: boolean): number {
    const sectors = length / VIRTIO_BLK_SECTOR;
    const fits = Number.isInteger(sectors) && sector + sectors <= this.#sectors;
    if (!fits || length > REQUEST_BYTES_MAX) return VIRTIO_BLK_S_IOERR;
    let offset = sector * VIRTIO_BLK_SECTOR;
    for (let left = length; left > 0;) {
      const count = Math.min(left, CHUNK);
      const pieces = out ? reader.pieces(count) : writer.pieces(count);
      if (pieces === undefined) return VIRTIO_BLK_S_IOERR;
      for (const piece of pieces) {
        const done = out ? this.#store.write(offset, piece) : this.#store.read(offset, piece);
        if (!done) return VIRTIO_BLK_S_IOERR;
        offset += piece.length;
      }
      left -= count;
    }
    return VIRTIO_BLK_S_OK;
  }

  /** DISCARD and WRITE_ZEROES: after both, the sectors read as zeros here. */
  #zero({ reader }: Chain, type: number): number {
    const { size } = VIRTIO_BLK_DISCARD_WRITE_ZEROES;
    const store = this.#store;
    if (store.zero === undefined) return VIRTIO_BLK_S_UNSUPP;
    if (store.readOnly) return VIRTIO_BLK_S_IOERR;
    const runs = reader.left / size;
    if (!Number.isInteger(runs) || runs < 1 || runs > ZERO_RUNS_MAX) return VIRTIO_BLK_S_IOERR;
    const bytes = new Uint8Array(reader.left);
    if (reader.read(bytes) < bytes.length) return VIRTIO_BLK_S_IOERR;
    const view = new ByteView(bytes, 'le', 'blk');
    const all = Array.from({ length: runs }, (_, i) =>
      VIRTIO_BLK_DISCARD_WRITE_ZEROES.read(view, i * size),
    );
    // All are judged before the first is done.
    for (const { sector, num_sectors, flags } of all) {
      const known = type === VIRTIO_BLK_T_DISCARD ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
      if ((flags & ~known) !== 0) return VIRTIO_BLK_S_UNSUPP;
      const inside = sector + BigInt(num_sectors) <= BigInt(this.#sectors);
      if (!inside || num_sectors > ZERO_SECTORS_MAX) return VIRTIO_BLK_S_IOERR;
    }
    const done = all.every(
      ({ sector, num_sectors }) =>
        store.zero?.(Number(sector) * VIRTIO_BLK_SECTOR, num_sectors * VIRTIO_BLK_SECTOR) === true,
    );
    return done ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
  }
}

const ZERO_FEATURES = [VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES];
