import { writeRsdp, writeXsdt } from '../acpi/index.ts';
import { ByteView, sum8 } from '../bytes/index.ts';
import { ACPI_RSDP, ACPI_RSDP_CHECKSUM_LENGTH, ACPI_SIG_RSDP } from '../spec/acpi.ts';

/**
 * Where tables of ours lie in a q35 guest: 128 MiB, above every kernel's first home (16 MiB plus
 * its size) and below the initial RAM disk, which QEMU puts at the top.
 */
export const ACPI_TABLES_ADDRESS = 0x0800_0000n;
/** What `memmap=` keeps Linux away from; the blob must fit. */
export const ACPI_TABLES_ROOM = 0x1_0000;

const SIGNATURE = Buffer.from(ACPI_SIG_RSDP, 'latin1');

/** Guest-physical addresses an RSDP leads to: 32-bit entries of an RSDT, or 64-bit of an XSDT. */
export interface RootPointer {
  readonly table: bigint;
  readonly wide: boolean;
}

/**
 * The RSDP in a copy of the BIOS area (ACPI 6.5, 5.2.5.1): on a 16-byte boundary, checksum right.
 * Undefined when there is none (yet); never throws.
 */
export function findRootPointer(area: Uint8Array): RootPointer | undefined {
  const view = new ByteView(area, 'le', 'rsdp');
  for (let at = 0; at + ACPI_RSDP.size <= area.length; at += 16) {
    if (!SIGNATURE.equals(area.subarray(at, at + SIGNATURE.length))) continue;
    if (sum8(area.subarray(at, at + ACPI_RSDP_CHECKSUM_LENGTH)) !== 0) continue;
    const rsdp = ACPI_RSDP.read(view, at);
    if (rsdp.revision >= 2 && rsdp.xsdtAddress !== 0n) {
      return { table: rsdp.xsdtAddress, wide: true };
    }
    if (rsdp.rsdtAddress !== 0) return { table: BigInt(rsdp.rsdtAddress), wide: false };
  }
  return undefined;
}

/**
 * RSDP, XSDT and tables, to be loaded at `address`.
 *
 * `kept` are addresses of tables that the guest's firmware has placed, in their order; `own` follow
 * them. Throws `RangeError` when it does not fit {@link ACPI_TABLES_ROOM}.
 */
export function rootBlob(
  kept: readonly bigint[],
  own: readonly Uint8Array[],
  address: bigint = ACPI_TABLES_ADDRESS,
): Uint8Array {
  const xsdtAt = 64;
  const entries = kept.length + own.length;
  let next = align(xsdtAt + 36 + 8 * entries);
  const pointers = [...kept];
  for (const table of own) {
    pointers.push(address + BigInt(next));
    next = align(next + table.length);
  }
  if (next > ACPI_TABLES_ROOM) {
    throw new RangeError(`ACPI tables need ${next} bytes, there is room for ${ACPI_TABLES_ROOM}`);
  }
  const blob = new Uint8Array(next);
  blob.set(
    writeRsdp({ oemId: 'VIOMMU', rsdtAddress: 0, xsdtAddress: address + BigInt(xsdtAt) }),
    0,
  );
  blob.set(writeXsdt(pointers), xsdtAt);
  let at = align(xsdtAt + 36 + 8 * entries);
  for (const table of own) {
    blob.set(table, at);
    at = align(at + table.length);
  }
  return blob;
}

function align(offset: number): number {
  return (offset + 15) & ~15;
}
