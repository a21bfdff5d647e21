export { FormatError } from './errors.ts';
export { ByteView, type Endian } from './view.ts';
export { ByteSink } from './sink.ts';
export { decodePlain, encodePlain, type Plain } from './plain.ts';
export { struct, structBytes, type Struct, type StructValue, type FieldKind } from './struct.ts';
export {
  contains,
  covers,
  intersection,
  overlaps,
  showRange,
  sizeOf,
  type Range,
} from './range.ts';
export { hex } from './hex.ts';
export { makeDirectories } from './directories.ts';
export { checksumByte, sum8 } from './checksum.ts';
