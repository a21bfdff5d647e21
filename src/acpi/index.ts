export type { AcpiProblem, AcpiSeverity } from './problem.ts';
export {
  DEFAULT_IDS,
  readTableHeader,
  writeTable,
  type HeaderOverrides,
  type TableHeader,
  type TableIds,
} from './header.ts';
export {
  viotNodeSize,
  writeViotRaw,
  type RawViot,
  type RawViotNode,
  type ViotNodeContent,
} from './viot-raw.ts';
export { ViotBuilder, ViotIommu, type ViotPciRangeInput } from './viot.ts';
export { readViot, type Viot, type ViotNode } from './viot-reader.ts';
export {
  linuxMmioLookup,
  linuxPciLookup,
  linuxView,
  type LinuxIommu,
  type LinuxLookup,
  type LinuxMmioEndpoint,
  type LinuxPciRange,
  type LinuxViotView,
} from './viot-linux.ts';
export {
  writeIortRaw,
  type IortIdMapping,
  type IortMemoryRange,
  type IortNodeContent,
  type RawIort,
  type RawIortNode,
} from './iort-raw.ts';
export {
  IortBuilder,
  IortTarget,
  type IortMapping,
  type IortRootComplexInput,
  type IortSingleMapping,
} from './iort.ts';
export { readIort, type Iort, type IortNode } from './iort-reader.ts';
