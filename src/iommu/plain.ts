import { FormatError } from '../bytes/index.ts';
import type { PlainState } from '../virtio/index.ts';

/** Reading of plain data that may be anything: every mistake is a FormatError `iommu/snapshot`. */
export type PlainRecord = Readonly<Record<string, PlainState>>;

export function recordOf(value: PlainState, what: string): PlainRecord {
  if (typeof value !== 'object' || value === null) throw wrong(what);
  if (Array.isArray(value) || value instanceof Uint8Array) throw wrong(what);
  return value as PlainRecord;
}

/** A number that is an integer of 0 or more. */
export function numberAt(from: PlainRecord, key: string): number {
  const value = from[key];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(key);
  return value;
}

export function flagAt(from: PlainRecord, key: string): boolean {
  const value = from[key];
  if (typeof value !== 'boolean') throw wrong(key);
  return value;
}

export function bytesAt(from: PlainRecord, key: string): Uint8Array {
  const value = from[key];
  if (!(value instanceof Uint8Array)) throw wrong(key);
  return value;
}

export function itemsAt(from: PlainRecord, key: string): PlainRecord[] {
  const value = from[key];
  if (!Array.isArray(value)) throw wrong(key);
  return value.map((item: PlainState) => recordOf(item, key));
}

function wrong(what: string): FormatError {
  return new FormatError('iommu/snapshot', 0, `vIOMMU snapshot: ${what}`);
}
