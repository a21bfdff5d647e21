import { struct, type Struct } from '../bytes/index.ts';

// Tables of ACPI 6.5, little-endian and packed. Field names are those of the specification.

/** ACPI 6.5, 5.2.6 "System Description Table Header": the first 36 bytes of every table. */
export const ACPI_TABLE_HEADER: Struct<{
  readonly signature: readonly ['bytes', 4];
  readonly length: 'u32';
  readonly revision: 'u8';
  readonly checksum: 'u8';
  readonly oemId: readonly ['bytes', 6];
  readonly oemTableId: readonly ['bytes', 8];
  readonly oemRevision: 'u32';
  readonly creatorId: readonly ['bytes', 4];
  readonly creatorRevision: 'u32';
}> = struct('acpi header', 36, {
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
