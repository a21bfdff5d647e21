import type { CounterName } from './counters.ts';
import type { IommuState } from './state.ts';
import type { Relay } from './relay.ts';
import type { RequestFields } from './stream.ts';

/** A request's fields in one shape for all types: one object is used again for every request. */
export class Request {
  domain = 0;
  endpoint = 0;
  flags = 0;
  /** Whether a `reserved` field that the device must look at is not zero. */
  reserved = false;
  startHi = 0;
  startLo = 0;
  endHi = 0;
  endLo = 0;
  physHi = 0;
  physLo = 0;
  /** Bytes for properties in the device-writable part: what is there before the tail. */
  room = 0;
}

/** What a request may touch. */
export interface RequestContext {
  readonly state: IommuState;
  readonly relay: Relay;
  /** Zeroed bytes of the reply before the tail; as many as `replySize` says. */
  readonly reply: Uint8Array;
}

/**
 * One request type (VIRTIO 1.3, "Device operations"), as data: a type that is to be added needs one
 * of these in the table and nothing else.
 */
export interface RequestType {
  readonly type: number;
  readonly name: string;
  /** What counts requests of the type. */
  readonly counter?: CounterName;
  /** Bytes of the device-readable part, head included; a shorter one is not parsed. */
  readonly size: number;
  /** Whether this device knows the type at all; if not, the buffer goes back unwritten. */
  isKnown(state: IommuState): boolean;
  /** Bytes of the reply before the tail. */
  replySize(state: IommuState): number;
  /** Reads the fields. Little-endian; `size` bytes are there. */
  decode(from: DataView, into: Request): void;
  /** The verdict, a VIRTIO_IOMMU_S_*. Changes nothing. */
  decide(context: RequestContext, request: Request): number;
  /** Does what was found good. A host may still refuse: then nothing has changed. */
  apply(context: RequestContext, request: Request): number;
  /** Fields for people. */
  show(request: Request): RequestFields;
}

/** Whether any byte is set. */
export function anySet(from: DataView, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (from.getUint8(i) !== 0) return true;
  return false;
}
