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
