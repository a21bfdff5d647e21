import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, deflate, inflateSync, type ZlibOptions } from 'node:zlib';

import { ByteSink, ByteView, decodePlain, encodePlain, FormatError } from '../bytes/index.ts';
import type { Machine, MachineState } from '../machine/index.ts';
import * as layout from './core/layout.ts';
import type { CpuSideState } from './contract.ts';
import type { Emulator } from './emulator.ts';
import { changedPages, restorePages, type RamPages } from './pages.ts';
import { SNAPSHOT } from './snapshot-shape.ts';

const pack: (bytes: Uint8Array, options: ZlibOptions) => Promise<Uint8Array> = promisify(deflate);

const VERSION = 1;
/** VTSNAP, the version of the file, a hash of what follows, the length of what is compressed. */
const MAGIC = 'VTSNAP01';
const HASH_BYTES = 32;
const HEADER = MAGIC.length + HASH_BYTES + 8;
/** What a snapshot may have beside the RAM: states of devices. */
const BESIDE_RAM_MAX = 64 * 1024 * 1024;
/** Of instructions and nanoseconds: centuries. */
const COUNT_MAX = 1n << 63n;
/** zlib wants no smaller pieces. */
const MIN_CHUNK = 1024;
/** What of the CPU's state tells which machine it is of, and cannot be anything else. */
const FIXED = [
  [layout.RAM_SIZE, 4],
  [layout.RAM_BASE, 8],
  [layout.FEATURES, 4],
] as const;

/** A line of the console, and when it came, in seconds of the guest's time. */
export type SaidLine = readonly [line: string, time: number];

/** A whole machine between two instructions, as plain data. */
export interface Snapshot {
  readonly version: number;
  /** Bytes. */
  readonly ramSize: number;
  /** Of what the boot had put into RAM: kernel, initramfs, firmware. They are not in `pages`. */
  readonly placedSha256: string;
  readonly cpuSide: CpuSideState;
  readonly pages: RamPages;
  /** What the guest had said, for whoever reads its console from the beginning. */
  readonly said: readonly SaidLine[];
  /** Endpoints that are there, by topology id. */
  readonly plugged: readonly string[];
  /** All devices on the bus; without RAM. */
  readonly machine: MachineState;
}

/**
 * Everything: CPU, RAM, interrupt controllers, UART, devices; between two instructions, so when
 * `run` does not run, or is held.
 *
 * The machine goes on as one that was restored from it would: devices ask again for translations
 * that they kept, and tell of it.
 */
export function takeSnapshot(
  emulator: Emulator,
  machine: Machine,
  said: readonly SaidLine[] = [],
): Snapshot {
  machine.memory.forget();
  return {
    version: VERSION,
    ramSize: emulator.core.ram.length,
    placedSha256: emulator.placed.sha256,
    cpuSide: emulator.saveCpuSide(),
    pages: changedPages(emulator.core.ram, emulator.placed.pieces),
    said: said.slice(),
    plugged: endpointsOf(machine),
    machine: machine.snapshot({ ram: false }),
  };
}

/**
 * Into a machine of the same topology whose kernel, initramfs and firmware were loaded as then. One
 * that has not run yet must hold nothing else.
 *
 * @throws FormatError `snapshot/…` when it is of another machine, or no machine's: this one can only
 * be thrown away then
 */
export function restoreSnapshot(emulator: Emulator, machine: Machine, snapshot: Snapshot): void {
  const { core } = emulator;
  if (snapshot.version !== VERSION) throw other(`version ${snapshot.version}`);
  if (snapshot.ramSize !== core.ram.length) throw other(`RAM of ${snapshot.ramSize} bytes`);
  if (snapshot.placedSha256 !== emulator.placed.sha256) {
    throw other('another kernel, initramfs or firmware');
  }
  checkCpuSide(emulator, snapshot.cpuSide);
  restorePages(core.ram, emulator.placed.pieces, snapshot.pages, core.retired === 0n);
  try {
    plugAs(machine, snapshot.plugged);
    machine.restore(snapshot.machine);
    emulator.restoreCpuSide(snapshot.cpuSide);
  } catch (error) {
    // Devices take their states as they are: one that has another form breaks in their hands.
    if (error instanceof TypeError || error instanceof RangeError) throw other(error.message);
    throw error;
  }
  machine.memory.forget();
}

/** As a file: checked by a hash, and compressed, which a thread of its own does. */
export async function writeSnapshot(snapshot: Snapshot): Promise<Uint8Array> {
  const plain = encodePlain(snapshot);
  const packed = await pack(plain, { level: constants.Z_BEST_SPEED });
  const length = new ByteSink('le').u64(BigInt(plain.length)).bytes();
  const hash = createHash('sha256').update(length).update(packed).digest();
  return new ByteSink('le', HEADER + packed.length)
    .latin1(MAGIC)
    .raw(hash)
    .raw(length)
    .raw(packed)
    .bytes();
}

/**
 * Reads such a file, for a machine with so many bytes of RAM; takes some three times that at most.
 *
 * @throws FormatError `snapshot/…`, `plain/…`
 */
export function readSnapshot(file: Uint8Array, ramSize: number): Snapshot {
  const view = new ByteView(file, 'le', 'snapshot');
  if (view.latin1(0, MAGIC.length, 'magic') !== MAGIC) {
    throw new FormatError('snapshot/magic', 0, 'no snapshot, or one of another version');
  }
  const hash = view.slice(MAGIC.length, HASH_BYTES, 'hash');
  const rest = view.slice(MAGIC.length + HASH_BYTES, file.length - MAGIC.length - HASH_BYTES);
  if (createHash('sha256').update(rest).digest().compare(hash) !== 0) {
    throw new FormatError('snapshot/hash', MAGIC.length, 'the file is damaged');
  }
  const length = view.u64(HEADER - 8, 'length');
  if (length > BigInt(ramSize + BESIDE_RAM_MAX)) {
    throw new FormatError('snapshot/length', HEADER - 8, `${length} bytes are too many`);
  }
  const plain = inflate(file.subarray(HEADER), Number(length));
  const parsed = SNAPSHOT.safeParse(decodePlain(plain));
  if (parsed.success) return parsed.data as Snapshot;
  const [issue] = parsed.error.issues;
  throw other(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

function inflate(packed: Uint8Array, length: number): Uint8Array {
  try {
    // In one piece, which is faster.
    const chunkSize = Math.max(MIN_CHUNK, length);
    const plain = inflateSync(packed, { chunkSize, maxOutputLength: chunkSize });
    if (plain.length === length) return plain;
  } catch {
    // Damaged or longer than it says: told below.
  }
  throw new FormatError('snapshot/packed', HEADER, `not ${length} bytes, compressed`);
}

function checkCpuSide(emulator: Emulator, state: CpuSideState): void {
  const now = emulator.saveCpuSide();
  const piece = ({ cpu }: CpuSideState, at: number, size: number): Uint8Array =>
    cpu.subarray(at - layout.STATE, at - layout.STATE + size);
  for (const [at, size] of FIXED) {
    if (Buffer.compare(piece(state, at, size), piece(now, at, size)) !== 0) throw other('a CPU');
  }
  for (const at of [layout.EL, layout.SPSEL]) {
    if (new DataView(state.cpu.buffer, state.cpu.byteOffset).getUint32(at - layout.STATE, true) > 1)
      throw other('an exception level');
  }
  // Both only grow; nobody runs long enough to come near their end.
  for (const at of [layout.RETIRED, layout.CLOCK]) {
    const bytes = new DataView(state.cpu.buffer, state.cpu.byteOffset);
    if (bytes.getBigUint64(at - layout.STATE, true) >= COUNT_MAX) throw other('a clock');
  }
  if (state.work.next >= COUNT_MAX) throw other('a clock');
  if ('lpis' in state.gic !== 'lpis' in now.gic) throw other('an interrupt controller');
  const names = (all: CpuSideState['its']): string => all.map(([name]) => name).join(' ');
  if (names(state.its) !== names(now.its)) throw other('its ITSs');
}

function endpointsOf(machine: Machine): string[] {
  return machine.units.filter(({ kind }) => kind === 'endpoint').map(({ id }) => id);
}

/** Devices that came or went while the guest ran. */
function plugAs(machine: Machine, plugged: readonly string[]): void {
  const wanted = new Set(plugged);
  for (const id of endpointsOf(machine)) if (!wanted.has(id)) machine.unplug(id);
  for (const endpoint of machine.model.endpoints) {
    if (wanted.has(endpoint.id) && machine.unit(endpoint.id) === undefined) machine.plug(endpoint);
  }
}

function other(what: string): FormatError {
  return new FormatError('snapshot/other', 0, `a snapshot of another machine: ${what}`);
}
