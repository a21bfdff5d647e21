import { struct, type Struct } from '../bytes/index.ts';

// Tables of ACPI 6.5, little-endian and packed. Field names are those of the specification.

/** ACPI 6.5, 5.2.6 "System Description Table Header": the first 36 bytes of every table. */
export const ACPI_TABLE_HEADER = struct('acpi header', 36, {
  signature: ['bytes', 4],
  length: 'u32',
  revision: 'u8',
  checksum: 'u8',
  oemId: ['bytes', 6],
  oemTableId: ['bytes', 8],
  oemRevision: 'u32',
  creatorId: ['bytes', 4],
  creatorRevision: 'u32',
});

export const ACPI_SIG_RSDP = 'RSD PTR ';
export const ACPI_SIG_XSDT = 'XSDT';
export const ACPI_SIG_RSDT = 'RSDT';
export const ACPI_SIG_MCFG = 'MCFG';
export const ACPI_SIG_MADT = 'APIC';
export const ACPI_SIG_FADT = 'FACP';
export const ACPI_SIG_GTDT = 'GTDT';
export const ACPI_SIG_SPCR = 'SPCR';
export const ACPI_SIG_DSDT = 'DSDT';

/** The part of the RSDP that its first checksum covers. */
export const ACPI_RSDP_CHECKSUM_LENGTH = 20;

const RSDP = {
  signature: ['bytes', 8],
  checksum: 'u8',
  oemId: ['bytes', 6],
  revision: 'u8',
  rsdtAddress: 'u32',
  length: 'u32',
  xsdtAddress: 'u64',
  extendedChecksum: 'u8',
  reserved: ['bytes', 3],
} as const;
/** ACPI 6.5, 5.2.5.3 "Root System Description Pointer (RSDP) Structure", revision 2. */
export const ACPI_RSDP: Struct<typeof RSDP> = struct('rsdp', 36, RSDP);

const MCFG_ENTRY = {
  base: 'u64',
  segment: 'u16',
  startBus: 'u8',
  endBus: 'u8',
  reserved: 'u32',
} as const;
/** PCI Firmware Specification 3.3, 4.1.2 "MCFG Table", one allocation; 8 reserved bytes go first. */
export const ACPI_MCFG_ALLOCATION: Struct<typeof MCFG_ENTRY> = struct('mcfg', 16, MCFG_ENTRY);

const GAS = {
  spaceId: 'u8',
  bitWidth: 'u8',
  bitOffset: 'u8',
  accessWidth: 'u8',
  address: 'u64',
} as const;
/** ACPI 6.5, 5.2.3.2 "Generic Address Structure". */
export const ACPI_GENERIC_ADDRESS: Struct<typeof GAS> = struct('gas', 12, GAS);

const FADT = {
  firmwareCtrl: 'u32',
  dsdt: 'u32',
  reserved: 'u8',
  preferredPmProfile: 'u8',
  sciInt: 'u16',
  smiCmd: 'u32',
  acpiEnable: 'u8',
  acpiDisable: 'u8',
  s4BiosReq: 'u8',
  pstateCnt: 'u8',
  pm1aEvtBlk: 'u32',
  pm1bEvtBlk: 'u32',
  pm1aCntBlk: 'u32',
  pm1bCntBlk: 'u32',
  pm2CntBlk: 'u32',
  pmTmrBlk: 'u32',
  gpe0Blk: 'u32',
  gpe1Blk: 'u32',
  pm1EvtLen: 'u8',
  pm1CntLen: 'u8',
  pm2CntLen: 'u8',
  pmTmrLen: 'u8',
  gpe0BlkLen: 'u8',
  gpe1BlkLen: 'u8',
  gpe1Base: 'u8',
  cstCnt: 'u8',
  pLvl2Lat: 'u16',
  pLvl3Lat: 'u16',
  flushSize: 'u16',
  flushStride: 'u16',
  dutyOffset: 'u8',
  dutyWidth: 'u8',
  dayAlrm: 'u8',
  monAlrm: 'u8',
  century: 'u8',
  iapcBootArch: 'u16',
  reserved2: 'u8',
  flags: 'u32',
  resetReg: ['bytes', 12],
  resetValue: 'u8',
  armBootArch: 'u16',
  fadtMinorVersion: 'u8',
  xFirmwareCtrl: 'u64',
  xDsdt: 'u64',
  xPm1aEvtBlk: ['bytes', 12],
  xPm1bEvtBlk: ['bytes', 12],
  xPm1aCntBlk: ['bytes', 12],
  xPm1bCntBlk: ['bytes', 12],
  xPm2CntBlk: ['bytes', 12],
  xPmTmrBlk: ['bytes', 12],
  xGpe0Blk: ['bytes', 12],
  xGpe1Blk: ['bytes', 12],
  sleepControlReg: ['bytes', 12],
  sleepStatusReg: ['bytes', 12],
  hypervisorVendorId: 'u64',
} as const;
/** ACPI 6.5, 5.2.9 "Fixed ACPI Description Table", what follows the header: 276 bytes in all. */
export const ACPI_FADT_FIELDS: Struct<typeof FADT> = struct('fadt', 240, FADT);
export const ACPI_FADT_REVISION = 6;
export const ACPI_FADT_MINOR_VERSION = 5;
/** FADT flags: there is no ACPI hardware, so there is no FACS and no SCI either. */
export const ACPI_FADT_HW_REDUCED = 0x100000;
/** armBootArch: PSCI is there, and it is called by HVC rather than SMC. */
export const ACPI_FADT_PSCI_COMPLIANT = 1;
export const ACPI_FADT_PSCI_USE_HVC = 2;

const GTDT = {
  cntControlBase: 'u64',
  reserved: 'u32',
  secureEl1Gsiv: 'u32',
  secureEl1Flags: 'u32',
  nonSecureEl1Gsiv: 'u32',
  nonSecureEl1Flags: 'u32',
  virtualEl1Gsiv: 'u32',
  virtualEl1Flags: 'u32',
  el2Gsiv: 'u32',
  el2Flags: 'u32',
  cntReadBase: 'u64',
  platformTimerCount: 'u32',
  platformTimerOffset: 'u32',
  virtualEl2Gsiv: 'u32',
  virtualEl2Flags: 'u32',
} as const;
/** ACPI 6.5, 5.2.25 "Generic Timer Description Table", what follows the header. */
export const ACPI_GTDT_FIELDS: Struct<typeof GTDT> = struct('gtdt', 68, GTDT);
export const ACPI_GTDT_REVISION = 3;
/** Timer flags: edge triggered, active low, keeps running when the CPU is off. */
export const ACPI_GTDT_INTERRUPT_MODE = 1;
export const ACPI_GTDT_INTERRUPT_POLARITY = 2;
export const ACPI_GTDT_ALWAYS_ON = 4;

const SPCR = {
  interfaceType: 'u8',
  reserved: ['bytes', 3],
  baseAddress: ['bytes', 12],
  interruptType: 'u8',
  pcInterrupt: 'u8',
  interrupt: 'u32',
  baudRate: 'u8',
  parity: 'u8',
  stopBits: 'u8',
  flowControl: 'u8',
  terminalType: 'u8',
  language: 'u8',
  pciDeviceId: 'u16',
  pciVendorId: 'u16',
  pciBus: 'u8',
  pciDevice: 'u8',
  pciFunction: 'u8',
  pciFlags: 'u32',
  pciSegment: 'u8',
  uartClockFrequency: 'u32',
  preciseBaudRate: 'u32',
  namespaceStringLength: 'u16',
  namespaceStringOffset: 'u16',
} as const;
/** Serial Port Console Redirection Table, revision 4, what follows the header. */
export const ACPI_SPCR_FIELDS: Struct<typeof SPCR> = struct('spcr', 52, SPCR);
export const ACPI_SPCR_REVISION = 4;
export const ACPI_DBG2_16550_COMPATIBLE = 0;
export const ACPI_DBG2_ARM_PL011 = 3;
