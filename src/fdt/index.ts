export { FdtTreeError, type FdtTreeCode } from './error.ts';
export {
  FdtNode,
  findPath,
  joinPath,
  splitName,
  walk,
  type FdtLink,
  type FdtLinked,
  type FdtValue,
  type FdtVisit,
} from './tree.ts';
export {
  cells,
  concat,
  decodeCells,
  decodeString,
  decodeStrings,
  decodeU32,
  decodeU64s,
  empty,
  ref,
  refPath,
  str,
  strlist,
  u64cells,
  type FdtCell,
  type FdtRef,
} from './value.ts';
export { nodeNameProblem, propertyNameProblem, validateTree } from './names.ts';
export {
  findPhandle,
  PhandleAllocator,
  phandleIndex,
  phandleOf,
  resolvePhandles,
  type PhandleOptions,
  type ResolvedTree,
} from './phandle.ts';
export { writeFdt, type MemReserve, type WriteOptions } from './write.ts';
export { type StringSharing } from './strings.ts';
export { readFdt, type FdtBlob, type NodeOffsets, type ReadLimits } from './read.ts';
export { type FdtWarning, type FdtWarningCode } from './warnings.ts';
export { mergeFdt, type FdtRemoval, type MergeOptions } from './merge.ts';
export { printDts } from './dts.ts';
