import { crc32 } from 'node:zlib';
import { BytesOut, PatternOut, type OutStream } from './out-stream.ts';

/** Longest first line, and most bytes that are moved. */
const LINE_MAX = 20;
const BYTES_MAX = 2 ** 40;

export interface TransferState {
  readonly line: string;
  /** Bytes that are to come; absent while nobody has said. */
  readonly awaited?: number;
  readonly bytes: number;
  readonly checksum: number;
}

/** `<bytes> <crc32 in hex>` and a newline. */
export function countLine(bytes: number, checksum: number): Uint8Array {
  return Buffer.from(`${bytes} ${checksum.toString(16).padStart(8, '0')}\n`);
}

/** A transfer: its first line says `send COUNT`, and the bytes follow, or `take COUNT`. */
export class Transfer {
  #line: string;
  #awaited: number | undefined;
  #bytes: number;
  #checksum: number;

  constructor(state: TransferState = { line: '', bytes: 0, checksum: 0 }) {
    this.#line = state.line;
    this.#awaited = state.awaited;
    this.#bytes = state.bytes;
    this.#checksum = state.checksum;
  }

  /** The next bytes; what is to be sent before the connection closes, once that is known. */
  take(data: Uint8Array): OutStream | undefined {
    if (this.#awaited !== undefined) return this.#count(data);
    const room = LINE_MAX - this.#line.length;
    const text = Buffer.from(data.subarray(0, room)).toString('latin1');
    const end = text.indexOf('\n');
    this.#line += end < 0 ? text : text.slice(0, end);
    if (end < 0 && text.length < room) return undefined;
    const [, verb, digits = '0'] = /^(send|take) (\d{1,13})$/u.exec(this.#line) ?? [];
    const count = Math.min(Number(digits), BYTES_MAX);
    if (verb !== 'send') return new PatternOut({ at: 0, left: count });
    this.#awaited = count;
    return this.#count(data.subarray(end + 1));
  }

  snapshot(): TransferState {
    const awaited = this.#awaited;
    return {
      line: this.#line,
      ...(awaited === undefined ? {} : { awaited }),
      bytes: this.#bytes,
      checksum: this.#checksum,
    };
  }

  #count(data: Uint8Array): OutStream | undefined {
    const awaited = this.#awaited ?? 0;
    const counted = data.subarray(0, awaited - this.#bytes);
    this.#checksum = crc32(counted, this.#checksum);
    this.#bytes += counted.length;
    if (this.#bytes < awaited) return undefined;
    return new BytesOut({ bytes: countLine(this.#bytes, this.#checksum) });
  }
}
