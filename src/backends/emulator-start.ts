import { FormatError } from '../bytes/index.ts';
import {
  readSnapshot,
  restoreSnapshot,
  takeSnapshot,
  writeSnapshot,
  type Emulator,
  type SaidLine,
  type Snapshot,
} from '../emulator/index.ts';
import type { Machine } from '../machine/index.ts';
import type { BootInput } from '../scenario/index.ts';
import { snapshotKey, type SnapshotCache } from './snapshot-cache.ts';

/** Bytes of the plan in one answer: a terminal keeps 4096 that nobody has read. */
const PIECE = 2048;

/** A snapshot that cannot be used: the machine that it was put into cannot, either. */
export class UnusableSnapshot extends Error {
  override readonly name: string = 'UnusableSnapshot';
}

export interface StartParts {
  readonly emulator: Emulator;
  readonly machine: Machine;
  readonly input: BootInput;
  readonly cache: SnapshotCache;
  /** What the guest is told to do when it asks. */
  readonly plan: string;
  /** Whether a device has done anything that a verdict would have to know. */
  readonly isTouched: () => boolean;
}

/**
 * A boot that may start at the moment when the init script asks for its plan, if a boot before it
 * has left a snapshot of that moment; else it leaves one.
 *
 * No driver of a device has been loaded by then, and no device has done anything: all that a verdict
 * is about comes later, but for the kernel's own messages, which are kept with the snapshot.
 */
export class BootStart {
  readonly #parts: StartParts;
  readonly #said: SaidLine[] = [];
  #pieces: string[];
  #key = '';
  #begun = false;
  #restored = false;
  #note = 'the guest never asked for its plan: no snapshot';
  #written: Promise<void> | undefined;

  constructor(parts: StartParts) {
    this.#parts = parts;
    this.#pieces = piecesOf(parts.plan);
  }

  /**
   * Before the first instruction. What the guest had said until the snapshot, if there is one; it is
   * to be heard as if it came now.
   *
   * @throws UnusableSnapshot when there is one that is no good; it is removed
   */
  async begin(): Promise<readonly SaidLine[]> {
    const { emulator, machine, input, cache } = this.#parts;
    this.#key = await snapshotKey(input.model, input.seed, emulator.placed.sha256);
    const file = await cache.read(this.#key);
    if (file === undefined) return [];
    let snapshot: Snapshot;
    try {
      snapshot = readSnapshot(file, emulator.core.ram.length);
      restoreSnapshot(emulator, machine, snapshot);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      await cache.remove(this.#key);
      throw new UnusableSnapshot(error.message, { cause: error });
    }
    this.#begun = true;
    this.#restored = true;
    const { retired } = emulator.core;
    this.#note = `started from a snapshot: its first ${retired} instructions, until the init script asked for its plan, and ${snapshot.said.length} lines of its console are of an earlier run of the same machine, in which no device had done anything yet`;
    return snapshot.said;
  }

  /** Whether this boot is the rest of another. */
  get restored(): boolean {
    return this.#restored;
  }

  /** A line of the console, before anybody acts on it. */
  line(text: string, time: number): void {
    if (!this.#begun) this.#said.push([text, time]);
  }

  /** The guest asks for its plan. */
  asked(): void {
    if (this.#begun) {
      this.#answer();
      return;
    }
    this.#begun = true;
    const { emulator, isTouched } = this.#parts;
    if (isTouched()) {
      this.#note = 'no snapshot: a device was used before the init script asked for its plan';
      this.#answer();
      return;
    }
    // The guest is in the middle of an instruction.
    emulator.hold();
    setImmediate(() => {
      try {
        this.#keep();
        this.#answer();
      } finally {
        emulator.release();
      }
    });
  }

  /** When the boot is over: what a verdict has to say of its start. */
  async finish(): Promise<string> {
    await this.#written;
    return this.#note;
  }

  #keep(): void {
    const { emulator, machine, cache } = this.#parts;
    const failed = (error: unknown): void => {
      // A full disk is no reason to lose a verdict.
      const why = error instanceof Error ? error.message : String(error);
      this.#note = `no snapshot could be kept: ${why}`;
    };
    try {
      const snapshot = takeSnapshot(emulator, machine, this.#said);
      const { retired } = emulator.core;
      this.#note = `left a snapshot after ${retired} instructions, when the init script asked for its plan`;
      // The guest goes on meanwhile.
      this.#written = writeSnapshot(snapshot)
        .then((file) => cache.write(this.#key, file))
        .catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #answer(): void {
    const piece = this.#pieces.shift() ?? '';
    const more = this.#pieces.length > 0 ? 'more' : 'end';
    this.#parts.emulator.uart.input(Buffer.from(`${piece}${more}\n`));
  }
}

/** Whole lines, as many as go into one answer. */
function piecesOf(plan: string): string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const line of plan.split('\n').filter((text) => text !== '')) {
    if (piece !== '' && piece.length + line.length >= PIECE) {
      pieces.push(piece);
      piece = '';
    }
    piece += `${line}\n`;
  }
  return piece === '' ? pieces : [...pieces, piece];
}
