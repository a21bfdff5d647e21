import { struct, type Struct } from '../bytes/index.ts';

// Multiple APIC Description Table: ACPI 6.5, 5.2.12. Little-endian, packed; every entry starts
// with its type and its length.

export const ACPI_MADT_REVISION = 6;
/** MADT flags: the machine also has two 8259s. */
export const ACPI_MADT_PCAT_COMPAT = 1;

export const ACPI_MADT_TYPE_LOCAL_APIC = 0;
export const ACPI_MADT_TYPE_IO_APIC = 1;
export const ACPI_MADT_TYPE_INTERRUPT_OVERRIDE = 2;
export const ACPI_MADT_TYPE_GENERIC_INTERRUPT = 0x0b;
export const ACPI_MADT_TYPE_GENERIC_DISTRIBUTOR = 0x0c;
export const ACPI_MADT_TYPE_GENERIC_MSI_FRAME = 0x0d;
export const ACPI_MADT_TYPE_GENERIC_REDISTRIBUTOR = 0x0e;
export const ACPI_MADT_TYPE_GENERIC_TRANSLATOR = 0x0f;

/** Local APIC and GICC flags: the CPU can be used. */
export const ACPI_MADT_ENABLED = 1;
/** MSI frame flags: the SPI numbers here count, not those in MSI_TYPER. */
export const ACPI_MADT_OVERRIDE_SPI_VALUES = 1;

const FIELDS = { localInterruptControllerAddress: 'u32', flags: 'u32' } as const;
export const ACPI_MADT_FIELDS: Struct<typeof FIELDS> = struct('madt', 8, FIELDS);

const HEAD = { type: 'u8', length: 'u8' } as const;
export const ACPI_MADT_HEADER: Struct<typeof HEAD> = struct('madt entry', 2, HEAD);

const LAPIC = { acpiProcessorUid: 'u8', apicId: 'u8', flags: 'u32' } as const;
export const ACPI_MADT_LOCAL_APIC: Struct<typeof LAPIC> = struct('madt local APIC', 6, LAPIC);

const IOAPIC = { ioApicId: 'u8', reserved: 'u8', address: 'u32', gsiBase: 'u32' } as const;
export const ACPI_MADT_IO_APIC: Struct<typeof IOAPIC> = struct('madt I/O APIC', 10, IOAPIC);

const OVERRIDE = { bus: 'u8', source: 'u8', gsi: 'u32', flags: 'u16' } as const;
export const ACPI_MADT_INTERRUPT_OVERRIDE: Struct<typeof OVERRIDE> = struct(
  'madt override',
  8,
  OVERRIDE,
);

const GICC = {
  reserved: 'u16',
  cpuInterfaceNumber: 'u32',
  acpiProcessorUid: 'u32',
  flags: 'u32',
  parkingProtocolVersion: 'u32',
  performanceGsiv: 'u32',
  parkedAddress: 'u64',
  physicalBase: 'u64',
  gicvBase: 'u64',
  gichBase: 'u64',
  vgicMaintenanceGsiv: 'u32',
  gicrBase: 'u64',
  mpidr: 'u64',
  efficiencyClass: 'u8',
  reserved2: 'u8',
  speOverflowGsiv: 'u16',
  trbeGsiv: 'u16',
} as const;
export const ACPI_MADT_GENERIC_INTERRUPT: Struct<typeof GICC> = struct('madt GICC', 80, GICC);

const GICD = {
  reserved: 'u16',
  gicId: 'u32',
  base: 'u64',
  vectorBase: 'u32',
  version: 'u8',
  reserved2: ['bytes', 3],
} as const;
export const ACPI_MADT_GENERIC_DISTRIBUTOR: Struct<typeof GICD> = struct('madt GICD', 22, GICD);

const MSI_FRAME = {
  reserved: 'u16',
  frameId: 'u32',
  base: 'u64',
  flags: 'u32',
  spiCount: 'u16',
  spiBase: 'u16',
} as const;
export const ACPI_MADT_GENERIC_MSI_FRAME: Struct<typeof MSI_FRAME> = struct(
  'madt MSI frame',
  22,
  MSI_FRAME,
);

const GICR = { reserved: 'u16', base: 'u64', length: 'u32' } as const;
export const ACPI_MADT_GENERIC_REDISTRIBUTOR: Struct<typeof GICR> = struct('madt GICR', 14, GICR);

const ITS = { reserved: 'u16', translationId: 'u32', base: 'u64', reserved2: 'u32' } as const;
export const ACPI_MADT_GENERIC_TRANSLATOR: Struct<typeof ITS> = struct('madt ITS', 18, ITS);
