import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';

import type { Fields } from './fields.ts';
import type { GuestBlob } from './report-types.ts';

/** Linux takes no device tree above 2 MiB; a table that unpacks to more is no table. */
const BLOB_MAX = 4 * 1024 * 1024;
/** The init script sends at most 110 pieces of each, of at most 800 characters. */
const CHUNKS_MAX = 128;
const BLOBS_MAX = 256;

interface Pending {
  readonly blob: GuestBlob;
  readonly pieces: string[];
  readonly wanted: number;
}

/** Puts firmware bytes together that come in pieces: gzip, base64, a line each. */
export class BlobBuilder {
  readonly #blobs = new Map<string, GuestBlob>();
  readonly #complaints: string[] = [];
  #pending: Pending | undefined;

  get blobs(): ReadonlyMap<string, GuestBlob> {
    return this.#blobs;
  }

  get complaints(): readonly string[] {
    return this.#complaints;
  }

  /** A `blob` line, which says what follows. */
  begin(fields: Fields): void {
    const blob = {
      name: fields.text('name'),
      size: fields.count('size'),
      sha256: fields.text('sha256'),
    };
    this.#pending = undefined;
    if (this.#blobs.size >= BLOBS_MAX && !this.#blobs.has(blob.name)) return;
    this.#blobs.set(blob.name, blob);
    const wanted = fields.count('chunks');
    if (wanted > 0 && wanted <= CHUNKS_MAX) this.#pending = { blob, pieces: [], wanted };
  }

  /** A `chunk` line; pieces come in order, or the bytes are given up. */
  chunk(fields: Fields): void {
    const pending = this.#pending;
    if (pending === undefined || pending.blob.name !== fields.text('name')) return;
    if (fields.integer('index') !== pending.pieces.length) {
      this.#complaints.push(`${pending.blob.name}: a piece of its bytes is missing`);
      this.#pending = undefined;
      return;
    }
    pending.pieces.push(fields.text('data'));
    if (pending.pieces.length < pending.wanted) return;
    this.#pending = undefined;
    const bytes = unpack(pending.pieces.join(''));
    const hash = bytes === undefined ? '' : createHash('sha256').update(bytes).digest('hex');
    if (bytes !== undefined && bytes.length === pending.blob.size && hash === pending.blob.sha256)
      this.#blobs.set(pending.blob.name, { ...pending.blob, bytes });
    else this.#complaints.push(`${pending.blob.name}: the bytes are not those of its hash`);
  }
}

function unpack(text: string): Uint8Array | undefined {
  try {
    return gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: BLOB_MAX });
  } catch {
    return undefined;
  }
}
