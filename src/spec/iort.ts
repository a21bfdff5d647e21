import { struct, type Struct } from '../bytes/index.ts';

// I/O Remapping Table: Arm DEN 0049E.f, little-endian and packed. Names as in ACPICA's
// actbl2.h, in camelCase.

export const IORT_SIGNATURE = 'IORT';
/** Revision of the table in E.b and later; QEMU writes it. */
export const IORT_REVISION = 3;
export const IORT_NODE_OFFSET = 48;

export const ACPI_IORT_NODE_ITS_GROUP = 0;
export const ACPI_IORT_NODE_NAMED_COMPONENT = 1;
export const ACPI_IORT_NODE_PCI_ROOT_COMPLEX = 2;
export const ACPI_IORT_NODE_SMMU = 3;
export const ACPI_IORT_NODE_SMMU_V3 = 4;
export const ACPI_IORT_NODE_PMCG = 5;
export const ACPI_IORT_NODE_RMR = 6;

/** Flag of an ID mapping: `inputBase` and `idCount` are ignored, `outputBase` is the one ID. */
export const ACPI_IORT_ID_SINGLE_MAPPING = 1;
/** Memory access property, first 4 bytes: the device is fully coherent. */
export const ACPI_IORT_NODE_COHERENT = 1;
/** Memory access flags (the last byte): coherent path to memory, device attributes are right. */
export const ACPI_IORT_MF_COHERENCY = 1;
export const ACPI_IORT_MF_ATTRIBUTES = 2;

const TABLE = { nodeCount: 'u32', nodeOffset: 'u32', reserved: 'u32' } as const;
/** What follows the 36 bytes of the table header. */
export const ACPI_IORT_FIELDS: Struct<typeof TABLE> = struct('iort', 12, TABLE);

const NODE = {
  type: 'u8',
  length: 'u16',
  revision: 'u8',
  identifier: 'u32',
  mappingCount: 'u32',
  mappingOffset: 'u32',
} as const;
export const ACPI_IORT_NODE: Struct<typeof NODE> = struct('iort node', 16, NODE);

const ID_MAPPING = {
  inputBase: 'u32',
  idCount: 'u32',
  outputBase: 'u32',
  outputReference: 'u32',
  flags: 'u32',
} as const;
/** `idCount` is the number of IDs minus one. */
export const ACPI_IORT_ID_MAPPING: Struct<typeof ID_MAPPING> = struct('iort id', 20, ID_MAPPING);

const NAMED_COMPONENT = { nodeFlags: 'u32', memoryProperties: 'u64', addressLimit: 'u8' } as const;
/** The path follows, ended by a NUL. */
export const ACPI_IORT_NAMED_COMPONENT: Struct<typeof NAMED_COMPONENT> = struct(
  'iort named component',
  13,
  NAMED_COMPONENT,
);

const ROOT_COMPLEX = {
  memoryProperties: 'u64',
  atsAttribute: 'u32',
  segment: 'u32',
  addressLimit: 'u8',
  pasidCapabilities: 'u16',
  reserved: 'u8',
} as const;
export const ACPI_IORT_ROOT_COMPLEX: Struct<typeof ROOT_COMPLEX> = struct(
  'iort root complex',
  20,
  ROOT_COMPLEX,
);

const SMMU_V3 = {
  base: 'u64',
  flags: 'u32',
  reserved: 'u32',
  vatos: 'u64',
  model: 'u32',
  eventGsiv: 'u32',
  priGsiv: 'u32',
  gerrGsiv: 'u32',
  syncGsiv: 'u32',
  proximityDomain: 'u32',
  deviceIdMapping: 'u32',
} as const;
export const ACPI_IORT_SMMU_V3: Struct<typeof SMMU_V3> = struct('iort SMMUv3', 52, SMMU_V3);

const RMR = { flags: 'u32', rmrCount: 'u32', rmrOffset: 'u32' } as const;
export const ACPI_IORT_RMR: Struct<typeof RMR> = struct('iort RMR', 12, RMR);

const RMR_DESC = { base: 'u64', length: 'u64', reserved: 'u32' } as const;
export const ACPI_IORT_RMR_DESC: Struct<typeof RMR_DESC> = struct('iort RMR range', 20, RMR_DESC);
