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
export {
  readMadt,
  writeMadt,
  type GiccEntry,
  type Madt,
  type MadtContent,
  type MadtEntry,
} from './madt.ts';
export { readMcfg, writeMcfg, type Mcfg, type McfgAllocation } from './mcfg.ts';
export {
  memoryRegister,
  writeArmFadt,
  writeFadt,
  writeGtdt,
  writeSpcr,
  type FadtFields,
  type TimerInterrupt,
} from './fixed.ts';
export {
  readRsdp,
  readRsdt,
  readXsdt,
  writeRsdp,
  writeRsdt,
  writeXsdt,
  type RootTable,
  type Rsdp,
  type RsdpContent,
} from './root.ts';
export {
  amlBuffer,
  amlDevice,
  amlEisaId,
  amlInteger,
  amlName,
  amlPackage,
  amlPath,
  amlScope,
  amlString,
  writeDsdt,
  type Aml,
} from './aml.ts';
export { resourceTemplate, type Resource } from './aml-resources.ts';
export {
  HID_PL011,
  HID_PROCESSOR,
  HID_VIRTIO_MMIO,
  pciHostBridge,
  platformDevice,
  processorDevice,
  type PciHostBridge,
  type PciRoute,
  type PlatformDevice,
} from './aml-devices.ts';
export { layOutTables, type AcpiBlob, type PlacedTable } from './layout.ts';
export { findAcpiTables, type AcpiTables, type FoundTable, type MemoryImage } from './scan.ts';
