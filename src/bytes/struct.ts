import { ByteSink } from './sink.ts';
import { ByteView, type Endian } from './view.ts';

/** How a field is stored: an integer of that many bits, or `[bytes]` of fixed length. */
export type FieldKind = 'u8' | 'u16' | 'u32' | 'u64' | readonly ['bytes', number];

type FieldValue<K extends FieldKind> = K extends 'u64'
  ? bigint
  : K extends 'u8' | 'u16' | 'u32'
    ? number
    : Uint8Array;

/** The values of a struct whose fields are `F`. */
export type StructValue<F extends Record<string, FieldKind>> = {
  -readonly [N in keyof F]: FieldValue<F[N]>;
};

/** A packed struct as a table: offsets are computed, the size is stated and checked. */
export interface Struct<F extends Record<string, FieldKind>> {
  readonly name: string;
  readonly size: number;
  readonly offsets: { readonly [N in keyof F]: number };
  /** Reads the struct at `offset`; a short input throws `FormatError`. */
  read(view: ByteView, offset: number): StructValue<F>;
  /** Appends the struct; absent fields are zero. */
  write(sink: ByteSink, values: Partial<StructValue<F>>): void;
}

const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;

function sizeOf(kind: FieldKind): number {
  return typeof kind === 'string' ? SIZES[kind] : kind[1];
}

/**
 * Declares a packed struct in the order of its fields.
 *
 * `size` is what the specification states; a table that adds up to anything else is our own
 * mistake and throws when the module loads.
 */
export function struct<const F extends Record<string, FieldKind>>(
  name: string,
  size: number,
  fields: F,
): Struct<F> {
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [field, kind] of Object.entries(fields)) {
    offsets[field] = at;
    at += sizeOf(kind);
  }
  if (at !== size)
    throw new RangeError(`${name}: fields add up to ${at}, the specification says ${size}`);
  return {
    name,
    size,
    offsets: offsets as Struct<F>['offsets'],
    read(view, offset) {
      view.need(offset, size, name);
      const out: Record<string, unknown> = {};
      for (const [field, kind] of Object.entries(fields)) {
        const where = offset + (offsets[field] ?? 0);
        out[field] =
          typeof kind === 'string' ? view[kind](where) : view.slice(where, kind[1]).slice();
      }
      return out as StructValue<F>;
    },
    write(sink, values) {
      const given = values as Record<string, number | bigint | Uint8Array | undefined>;
      for (const [field, kind] of Object.entries(fields))
        writeField(sink, kind, given[field], `${name}.${field}`);
    },
  };
}

function writeField(
  sink: ByteSink,
  kind: FieldKind,
  value: number | bigint | Uint8Array | undefined,
  what: string,
): void {
  if (typeof kind !== 'string') {
    const bytes = value === undefined ? new Uint8Array(kind[1]) : (value as Uint8Array);
    if (bytes.length !== kind[1])
      throw new RangeError(`${what}: ${bytes.length} bytes, must be ${kind[1]}`);
    sink.raw(bytes);
  } else if (kind === 'u64') {
    const wide = (value as bigint | undefined) ?? 0n;
    if (BigInt.asUintN(64, wide) !== wide)
      throw new RangeError(`${what}: ${wide} does not fit u64`);
    sink.u64(wide);
  } else {
    const narrow = Number(value ?? 0);
    const limit = 2 ** (8 * SIZES[kind]);
    if (!Number.isInteger(narrow) || narrow < 0 || narrow >= limit) {
      throw new RangeError(`${what}: ${narrow} does not fit ${kind}`);
    }
    sink[kind](narrow);
  }
}

/** The bytes of one struct alone. */
export function structBytes<F extends Record<string, FieldKind>>(
  layout: Struct<F>,
  endian: Endian,
  values: Partial<StructValue<F>>,
): Uint8Array {
  const sink = new ByteSink(endian, layout.size);
  layout.write(sink, values);
  return sink.bytes();
}
