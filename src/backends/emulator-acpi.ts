import { layOutTables } from '../acpi/index.ts';
import { structBytes, type Range } from '../bytes/index.ts';
import { cells, FdtNode, str, u64cells, writeFdt } from '../fdt/index.ts';
import { boardTables } from '../machine/index.ts';
import * as efi from '../spec/efi.ts';
import type { Model } from '../topology/index.ts';
import { fillChosen, type Chosen } from './emulator-tree.ts';

/** Room at the end of RAM: the upper half of the 2 MiB that the device tree gets. */
const ROOM = 1n << 20n;
const PAGE = BigInt(efi.EFI_PAGE_SIZE);
/** Where things are in it. */
const VENDOR = 0x100;
const CONFIGURATION = 0x200;
const MEMORY_MAP = 0x300;
/** The root of a list, empty: the driver of the ITS keeps its tables from a next kernel with it. */
const RESERVATIONS = 0x400;
const TABLES = 0x1000n;

/** UCS-2, with its end. */
const VENDOR_NAME = Buffer.from('viommu-topo\0', 'utf16le');

/** What a kernel finds that was started by UEFI, without a UEFI. */
export interface UefiImage {
  /** Guest-physical address of `bytes`. */
  readonly base: bigint;
  readonly bytes: Uint8Array;
  /** Addresses for /chosen. */
  readonly systemTable: bigint;
  readonly memoryMap: { readonly at: bigint; readonly size: number };
}

/**
 * The system table, a configuration table with the RSDP, a memory map, and all ACPI tables: those
 * of the topology beside those of the machine.
 *
 * @param tables VIOT, IORT, MCFG: what `build` writes
 * @throws RangeError when the tables do not fit into 1 MiB
 */
export function uefiImage(model: Model, tables: Iterable<Uint8Array>, ram: Range): UefiImage {
  const limit = ((ram.end + 1n) / (2n * ROOM)) * (2n * ROOM);
  const base = limit - ROOM;
  const acpi = layOutTables(base + TABLES, [...boardTables(model), ...tables]);
  const bytes = new Uint8Array(Number(ROOM));
  if (Number(TABLES) + acpi.bytes.length > bytes.length) {
    throw new RangeError(`${acpi.bytes.length} bytes of ACPI tables do not fit into 1 MiB`);
  }
  const map = memoryMap(ram, { start: base, end: limit - 1n });
  const systemTable = structBytes(efi.EFI_SYSTEM_TABLE, 'le', {
    signature: efi.EFI_SYSTEM_TABLE_SIGNATURE,
    revision: efi.EFI_2_70_SYSTEM_TABLE_REVISION,
    headerSize: efi.EFI_SYSTEM_TABLE.size,
    firmwareVendor: base + BigInt(VENDOR),
    numberOfTableEntries: 2n,
    configurationTable: base + BigInt(CONFIGURATION),
  });
  bytes.set(systemTable, 0);
  bytes.set(VENDOR_NAME, VENDOR);
  const data = new DataView(bytes.buffer);
  for (const [index, [guid, address]] of [
    [efi.EFI_ACPI_20_TABLE_GUID, acpi.rsdpAddress] as const,
    [efi.LINUX_EFI_MEMRESERVE_TABLE_GUID, base + BigInt(RESERVATIONS)] as const,
  ].entries()) {
    const at = CONFIGURATION + index * efi.EFI_CONFIGURATION_TABLE_SIZE;
    bytes.set(guid, at);
    data.setBigUint64(at + guid.length, address, true);
  }
  bytes.set(map, MEMORY_MAP);
  bytes.set(acpi.bytes, Number(TABLES));
  return {
    base,
    bytes,
    systemTable: base,
    memoryMap: { at: base + BigInt(MEMORY_MAP), size: map.length },
  };
}

function memoryMap(ram: Range, tables: Range): Uint8Array {
  const parts: [number, Range][] = [
    [efi.EFI_CONVENTIONAL_MEMORY, { start: ram.start, end: tables.start - 1n }],
    [efi.EFI_ACPI_RECLAIM_MEMORY, tables],
    [efi.EFI_CONVENTIONAL_MEMORY, { start: tables.end + 1n, end: ram.end }],
  ];
  const descriptors = parts.flatMap(([type, { start, end }]) => {
    const numberOfPages = (end + 1n - start) / PAGE;
    if (numberOfPages <= 0n) return [];
    return [
      structBytes(efi.EFI_MEMORY_DESCRIPTOR, 'le', {
        type,
        physicalStart: start,
        numberOfPages,
        attribute: efi.EFI_MEMORY_WB,
      }),
    ];
  });
  return Buffer.concat(descriptors);
}

/** The tree that UEFI's boot stub makes: nothing but /chosen, so that Linux takes the tables. */
export function stubTree({ systemTable, memoryMap: map }: UefiImage, given: Chosen): Uint8Array {
  const chosen = new FdtNode('chosen', {
    'linux,uefi-system-table': u64cells(systemTable),
    'linux,uefi-mmap-start': u64cells(map.at),
    'linux,uefi-mmap-size': cells(map.size),
    'linux,uefi-mmap-desc-size': cells(efi.EFI_MEMORY_DESCRIPTOR.size),
    'linux,uefi-mmap-desc-ver': cells(efi.EFI_MEMORY_DESCRIPTOR_VERSION),
    // Debian's kernels read this one, too, and believe none of the others without it.
    'linux,uefi-secure-boot': cells(0),
  });
  fillChosen(chosen, given);
  const root = new FdtNode('', {
    '#address-cells': cells(2),
    '#size-cells': cells(2),
    compatible: str('viommu-topo,emulator'),
    model: str('viommu-topo,emulator'),
  });
  root.add(chosen);
  return writeFdt(root);
}
