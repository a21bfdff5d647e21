import { layOutTables, readTableHeader } from '../acpi/index.ts';
import { FormatError } from '../bytes/index.ts';
import type { GuestFirmware } from '../driver/index.ts';
import type { GuestBlob } from '../guest/index.ts';
import { boardTables, type Machine } from '../machine/index.ts';
import type { FirmwareImages } from '../scenario/index.ts';
import { sha256 } from './firmware-seen.ts';

/** Where firmware lies: bytes from the start of RAM. The guest takes its own pages far above. */
const FIRMWARE_AT = 0x20_0000n;

/** Firmware in a guest's RAM. */
export interface LoadedFirmware {
  /** What the guest is given, out of what there was for it. */
  readonly passed: FirmwareImages;
  /** As the guest is told of it. */
  readonly firmware: GuestFirmware;
  /** The images that were passed, as they lie in RAM: views, not copies. */
  readonly places: ReadonlyMap<string, Uint8Array>;
}

/** An arm64 kernel that is given both takes the tree; x86-64 has no tree. */
export function firmwareKind(
  firmware: FirmwareImages,
  wish: GuestFirmware['kind'] | undefined,
): GuestFirmware['kind'] {
  return wish ?? (firmware.tree === undefined ? 'acpi' : 'device-tree');
}

/** Puts firmware of one kind into RAM: a kernel on a tree looks at no tables, and the other way round. */
export function loadFirmware(
  machine: Machine,
  images: FirmwareImages,
  kind: GuestFirmware['kind'],
): LoadedFirmware {
  const { tree, tables, origin } = images;
  const { memory } = machine.model;
  const base = (memory[0]?.start ?? 0n) + FIRMWARE_AT;
  if (kind === 'device-tree' && tree !== undefined) {
    const blob = put(machine, base, tree);
    return {
      passed: { tree, tables: new Map(), origin },
      firmware: { kind, blob },
      places: new Map([['fdt', blob]]),
    };
  }
  // A table without a header is in no root table.
  const own = [...tables].filter(([, bytes]) => hasHeader(bytes));
  const board = boardTables(machine.model);
  const blob = layOutTables(base, [...board, ...own.map(([, bytes]) => bytes)]);
  const bytes = put(machine, base, blob.bytes);
  const places = new Map<string, Uint8Array>();
  for (const [index, [name]] of own.entries()) {
    const place = blob.tables[board.length + index];
    if (place === undefined) continue;
    places.set(name, bytes.subarray(place.offset, place.offset + place.length));
  }
  const firmware: GuestFirmware = {
    kind: 'acpi',
    images: [{ base, bytes }],
    rsdp: blob.rsdpAddress,
    memory,
  };
  return { passed: { tables, origin }, firmware, places };
}

/** The guest's own copies, as they are in its memory now. */
export function firmwareBlobs({ places }: LoadedFirmware): Map<string, GuestBlob> {
  return new Map(
    Array.from(places, ([name, view]) => {
      const bytes = view.slice();
      return [name, { name, size: bytes.length, sha256: sha256(bytes), bytes }];
    }),
  );
}

/** @throws RangeError when RAM has no room for it: a topology of too little memory */
function put(machine: Machine, base: bigint, bytes: Uint8Array): Uint8Array {
  const window = machine.memory
    .windows()
    .find(({ gpa, bytes: ram }) => gpa <= base && base < gpa + BigInt(ram.length));
  const at = Number(base - (window?.gpa ?? 0n));
  if (window === undefined || at + bytes.length > window.bytes.length) {
    throw new RangeError(`${bytes.length} bytes of firmware do not fit into RAM`);
  }
  window.bytes.set(bytes, at);
  return window.bytes.subarray(at, at + bytes.length);
}

function hasHeader(bytes: Uint8Array): boolean {
  try {
    readTableHeader(bytes);
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}
