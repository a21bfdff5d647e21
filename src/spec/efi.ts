// What Linux reads of UEFI when it is told of it in /chosen (UEFI 2.10: 4.3 System Table, 4.6
// Configuration Table, 7.2 GetMemoryMap; Linux drivers/firmware/efi/fdtparams.c).

import { struct } from '../bytes/index.ts';

export const EFI_SYSTEM_TABLE_SIGNATURE = 0x5453_5953_2049_4249n;
export const EFI_2_70_SYSTEM_TABLE_REVISION = (2 << 16) | 70;

export const EFI_SYSTEM_TABLE = struct('EFI_SYSTEM_TABLE', 120, {
  signature: 'u64',
  revision: 'u32',
  headerSize: 'u32',
  crc32: 'u32',
  reserved: 'u32',
  firmwareVendor: 'u64',
  firmwareRevision: 'u32',
  padding: 'u32',
  consoleInHandle: 'u64',
  conIn: 'u64',
  consoleOutHandle: 'u64',
  conOut: 'u64',
  standardErrorHandle: 'u64',
  stdErr: 'u64',
  runtimeServices: 'u64',
  bootServices: 'u64',
  numberOfTableEntries: 'u64',
  configurationTable: 'u64',
});

/** EFI_ACPI_20_TABLE_GUID, 8868e871-e4f1-11d3-bc22-0080c73c8881, as it lies in memory. */
export const EFI_ACPI_20_TABLE_GUID: readonly number[] = [
  0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81,
];
/** LINUX_EFI_MEMRESERVE_TABLE_GUID, 888eb0c6-8ede-4ff5-a8f0-9aee5cb977c2. */
export const LINUX_EFI_MEMRESERVE_TABLE_GUID: readonly number[] = [
  0xc6, 0xb0, 0x8e, 0x88, 0xde, 0x8e, 0xf5, 0x4f, 0xa8, 0xf0, 0x9a, 0xee, 0x5c, 0xb9, 0x77, 0xc2,
];
/** A GUID and a pointer. */
export const EFI_CONFIGURATION_TABLE_SIZE = 24;

export const EFI_MEMORY_DESCRIPTOR = struct('EFI_MEMORY_DESCRIPTOR', 40, {
  type: 'u32',
  padding: 'u32',
  physicalStart: 'u64',
  virtualStart: 'u64',
  numberOfPages: 'u64',
  attribute: 'u64',
});
export const EFI_MEMORY_DESCRIPTOR_VERSION = 1;
export const EFI_CONVENTIONAL_MEMORY = 7;
export const EFI_ACPI_RECLAIM_MEMORY = 9;
/** The memory may be cached, written back. */
export const EFI_MEMORY_WB = 8n;
export const EFI_PAGE_SIZE = 4096;
