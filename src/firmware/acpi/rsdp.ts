import {
  findAcpiTables,
  layOutTables,
  readTableHeader,
  type AcpiBlob,
  type MemoryImage,
} from '../../acpi/index.ts';
import { ACPI_SIG_DSDT } from '../../spec/acpi.ts';

/**
 * A second root for a machine's tables: an RSDP and an XSDT that list the tables which the
 * machine's own firmware made, but with `ours` in the place of those of the same signature.
 *
 * Loaded at `base` (a page outside the guest's RAM map) and named by the kernel parameter
 * `acpi_rsdp=`, it gives a stock kernel our VIOT beside QEMU's other tables.
 * @throws FormatError when there are no tables in `memory`, RangeError when `base` is no page.
 */
export function replaceTables(
  memory: readonly MemoryImage[],
  base: bigint,
  ours: readonly Uint8Array[],
): AcpiBlob {
  const signatures = new Set(ours.map((table) => readTableHeader(table).signature));
  const existing = findAcpiTables(memory)
    .tables.filter(({ signature }) => signature !== ACPI_SIG_DSDT && !signatures.has(signature))
    .map(({ address }) => address);
  return layOutTables(base, ours, { existing });
}
