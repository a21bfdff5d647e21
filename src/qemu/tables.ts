import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { layOutTables, readRsdt, readXsdt } from '../acpi/index.ts';
import { FormatError } from '../bytes/index.ts';
import type { Model } from '../topology/index.ts';
import type { FileName } from './argument.ts';
import { buildCommand, commandArgv, cpuModel } from './command.ts';
import { writeDiskImage } from './disk.ts';
import { QemuError } from './error.ts';
import type { QemuProgram } from './find.ts';
import { startQemu, workDirectory, type QemuProcess } from './process.ts';
import { ACPI_TABLES_ADDRESS, ACPI_TABLES_ROOM, findRootPointer } from './rsdp.ts';

/** A table as QEMU made it and the guest's firmware placed it. */
export interface PlacedTable {
  readonly signature: string;
  /** Guest-physical. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Where PC firmware leaves the RSDP (ACPI 6.5, 5.2.5.1). */
const BIOS_AREA = 0xe0000;
const BIOS_AREA_SIZE = 0x20000;
const TABLE_MAX = 1 << 20;
/** QEMU makes about ten. */
const TABLES_MAX = 64;
const POLL_MS = 100;
const LIMIT_MS = 60_000;

/**
 * QEMU's own ACPI tables for a q35 topology, read from the guest's memory after SeaBIOS placed
 * them: root tables left out, in the order of the RSDT.
 *
 * No kernel is needed. Throws {@link QemuError} `qemu/no-tables` when none appear in a minute, and
 * whatever {@link startQemu} throws.
 */
export async function qemuTables(
  model: Model,
  qemu: QemuProgram,
  signal?: AbortSignal,
): Promise<PlacedTable[]> {
  const { path, remove } = await workDirectory();
  try {
    const command = buildCommand(model, { version: qemu.version, append: '', kernel: false });
    const files = new Map<FileName, string>();
    for (const [index, disk] of command.disks.entries()) {
      const image = join(path, `disk${index}.img`);
      // Contents do not matter to the tables.
      await writeDiskImage({ ...disk, size: 512n }, image);
      files.set(`disk:${disk.endpoint}`, image);
    }
    const running = await startQemu({
      program: qemu.path,
      args: commandArgv(command, { files, accel: 'tcg', cpu: cpuModel(model, 'tcg') }),
      timeLimit: LIMIT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      return await readTables(running, path);
    } finally {
      await running.stop();
    }
  } finally {
    remove();
  }
}

/** Bytes of guest-physical memory, by way of a file in `directory`. */
export async function guestMemory(
  running: QemuProcess,
  address: bigint,
  size: number,
  directory: string,
): Promise<Uint8Array> {
  const filename = join(directory, 'memory.bin');
  // QMP has no type for 64 bits unsigned; every address here is far below 2^53.
  await running.qmp.execute('pmemsave', { val: Number(address), size, filename });
  return readFile(filename);
}

async function readTables(running: QemuProcess, directory: string): Promise<PlacedTable[]> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    // QEMU's linker script writes the RSDP's checksum last: a valid RSDP means that all is placed.
    const area = await guestMemory(running, BigInt(BIOS_AREA), BIOS_AREA_SIZE, directory);
    const root = findRootPointer(area);
    if (root !== undefined) {
      const table = await readTable(running, root.table, directory);
      const placed: PlacedTable[] = [];
      for (const address of (root.wide ? readXsdt : readRsdt)(table.bytes).addresses.slice(
        0,
        TABLES_MAX,
      )) {
        placed.push(await readTable(running, address, directory));
      }
      return placed;
    }
    if (Date.now() > deadline) {
      throw new QemuError('qemu/no-tables', 'The firmware placed no ACPI tables', running.story);
    }
    await sleep(POLL_MS);
  }
}

async function readTable(
  running: QemuProcess,
  address: bigint,
  directory: string,
): Promise<PlacedTable> {
  const head = Buffer.from(await guestMemory(running, address, 36, directory));
  const length = head.readUInt32LE(4);
  if (length < 36 || length > TABLE_MAX) {
    throw new FormatError('acpi/table-length', 4, `a table of ${length} bytes`);
  }
  return {
    signature: head.toString('latin1', 0, 4),
    address,
    bytes: await guestMemory(running, address, length, directory),
  };
}

/**
 * What to load at `ACPI_TABLES_ADDRESS` so that a guest sees `own` tables (by signature) in place of
 * QEMU's of the same name, and QEMU's others where they are. The FADT leads to DSDT and FACS as
 * before. Throws `RangeError` when they do not fit `ACPI_TABLES_ROOM`.
 */
export function ownTablesBlob(
  placed: readonly PlacedTable[],
  own: ReadonlyMap<string, Uint8Array>,
): Uint8Array {
  // QEMU's VIOT goes even when we have none: the guest is to see what we say, and nothing else.
  const kept = placed.filter((table) => table.signature !== 'VIOT' && !own.has(table.signature));
  const { bytes } = layOutTables(ACPI_TABLES_ADDRESS, [...own.values()], {
    existing: kept.map((table) => table.address),
  });
  if (bytes.length > ACPI_TABLES_ROOM) {
    throw new RangeError(`ACPI tables need ${bytes.length} bytes of ${ACPI_TABLES_ROOM}`);
  }
  return bytes;
}
