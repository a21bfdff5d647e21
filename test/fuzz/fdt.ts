import { readdirSync, readFileSync } from 'node:fs';
import { FormatError } from '../../src/bytes/index.ts';
import {
  FdtTreeError,
  mergeFdt,
  printDts,
  readFdt,
  walk,
  writeFdt,
  type FdtBlob,
  type FdtNode,
} from '../../src/fdt/index.ts';
import { sampleBlob } from '../support/fdt-blob.ts';

/** What a run saw; a run in which nothing could be read, or all, tests nothing. */
export interface FuzzCount {
  readonly read: number;
  readonly refused: number;
  /** How often each code was thrown or warned of. */
  readonly codes: ReadonlyMap<string, number>;
}

/** A small generator with 32 bits of state (a Weyl sequence, mixed): the same from a seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % Math.max(1, limit);
  }

  pick<T>(from: readonly [T, ...T[]]): T {
    return from[this.below(from.length)] ?? from[0];
  }
}

/** Values that mean something in a blob: tokens, small sizes, limits of types, text. */
const WORDS: readonly [number, ...number[]] = [
  0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 40, 0x6e00_0000, 0x6e00, 0x7fff_ffff, 0x8000_0000,
  0xffff_fffc, 0xffff_ffff, 0xd00d_feed,
];

const GOLDEN = new URL('../golden/fdt/', import.meta.url);

function corpus(): readonly [Uint8Array, ...Uint8Array[]] {
  const files = readdirSync(GOLDEN).filter((file) => file.endsWith('.dtb'));
  const trees = files.map((file) => new Uint8Array(readFileSync(new URL(file, GOLDEN))));
  return [sampleBlob().bytes, ...trees];
}

/** One to four changes, half of them in the header and the first tokens. */
export function mutateBlob(blob: Uint8Array, dice: Dice): Uint8Array {
  let out = blob.slice();
  for (let round = dice.below(4); round >= 0; round--) {
    const data = new DataView(out.buffer);
    // Half of all damage goes to the first 256 bytes: the header and the first tokens.
    const reach = dice.below(2) === 0 ? Math.min(256, out.length) : out.length;
    const at = dice.below(reach);
    const word = at & ~3;
    const kind = dice.below(9);
    if (out.length < 8 || word + 4 > out.length) return out;
    if (kind === 0) out[at] = (out[at] ?? 0) ^ (1 << dice.below(8));
    else if (kind === 1) out[at] = dice.u32() & 0xff;
    else if (kind <= 3) data.setUint32(word, dice.pick(WORDS));
    else if (kind === 4) data.setUint32(word, data.getUint32(word) + dice.below(9) - 4);
    else if (kind === 5) out = out.slice(0, dice.below(out.length));
    else if (kind === 6) out.copyWithin(at, dice.below(out.length), dice.below(out.length));
    else if (kind === 7) data.setUint32(word, dice.u32());
    else out = new Uint8Array(Buffer.concat([out, noise(dice)]));
  }
  return out;
}

/** A sound header and strings with a structure block of random, mostly meaningful words. */
function tokens(dice: Dice): Uint8Array {
  const inside: number[] = [];
  let open = 1;
  for (let count = dice.below(40); count > 0; count--) {
    const kind = dice.below(8);
    if (kind < 2) inside.push(1, 0x6100_0000 + (dice.below(4) << 24));
    else if (kind < 4) inside.push(2);
    else if (kind < 6) inside.push(3, 4, dice.below(24), dice.pick(WORDS));
    else if (kind === 6) inside.push(4);
    else if (dice.below(8) === 0) inside.push(dice.pick(WORDS));
    open += kind < 2 ? 1 : kind < 4 ? -1 : 0;
  }
  const close = Array.from({ length: Math.max(0, open) }, () => 2);
  const before = dice.below(16) === 0 ? [4] : [];
  return sampleBlob().withStructure([...before, 1, 0, ...inside, ...close, 9]);
}

function noise(dice: Dice): Uint8Array {
  const out = Uint8Array.from({ length: dice.below(200) }, () => dice.u32() & 0xff);
  if (out.length >= 4) out.set([0xd0, 0x0d, 0xfe, 0xed]);
  return out;
}

function assertThat(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** Whether two trees have the same names, properties and children in the same order. */
export function sameTree(one: FdtNode, other: FdtNode): boolean {
  const [names, others] = [[...one.props], [...other.props]];
  return (
    one.name === other.name &&
    names.length === others.length &&
    one.children.length === other.children.length &&
    names.every(([name], index) => {
      const [a, b] = [one.bytes(name), other.bytes(name)];
      return others[index]?.[0] === name && a !== undefined && b !== undefined && sameBytes(a, b);
    }) &&
    one.children.every((child, index) => {
      const match = other.children[index];
      return match !== undefined && sameTree(child, match);
    })
  );
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

const reserved = (blob: FdtBlob): string =>
  blob.memReserve.map(({ address, size }) => `${address}+${size}`).join();

/** What holds of anything that could be read. */
function checkRead(input: Uint8Array, read: FdtBlob, dice: Dice): void {
  let items = 0;
  let bytes = 0;
  for (const { node } of walk(read.tree)) {
    items += 1 + node.props.size;
    for (const value of node.props.values())
      bytes += value instanceof Uint8Array ? value.length : 0;
  }
  assertThat(items * 12 <= input.length, `${items} items from ${input.length} bytes`);
  assertThat(bytes <= input.length, `${bytes} bytes of values from ${input.length} bytes`);
  assertThat(read.warnings.length <= 1000, `${read.warnings.length} warnings`);

  const again = readFdt(writeFdt(read.tree, { ...read, names: 'lax' }));
  assertThat(sameTree(again.tree, read.tree), 'another tree after writing and reading');
  assertThat(again.bootCpuid === read.bootCpuid, 'another boot_cpuid_phys');
  assertThat(reserved(again) === reserved(read), 'other reservations');
  if (dice.below(8) === 0) {
    assertThat(printDts(read.tree, read).startsWith('/dts-v1/;'), 'no DTS');
    try {
      mergeFdt(read.tree, again.tree);
    } catch (error) {
      if (!(error instanceof FdtTreeError)) throw error;
    }
  }
}

/**
 * Reads `count` damaged and random blobs that follow from `seed`.
 * Throws, with the seed and number that repeat it, when anything but a FormatError is thrown,
 * when what was read is larger than its input allows, or is not the same after writing.
 */
export function fuzzFdt(seed: number, count: number, tell?: (done: number) => void): FuzzCount {
  const blobs = corpus();
  const codes = new Map<string, number>();
  const note = (code: string): void => void codes.set(code, (codes.get(code) ?? 0) + 1);
  let read = 0;
  for (let index = 0; index < count; index++) {
    if (index % 1000 === 0) tell?.(index);
    // Each input follows from its own number, so that one can be repeated alone.
    const dice = new Dice(Math.imul(seed, 0x0100_0193) ^ index);
    const kind = dice.below(8);
    // The small blob most of the time: it is damaged where it matters more often, and faster.
    const blob = dice.below(8) === 0 ? dice.pick(blobs) : blobs[0];
    const input = kind === 0 ? noise(dice) : kind < 4 ? tokens(dice) : mutateBlob(blob, dice);
    try {
      const result = readFdt(input);
      read++;
      for (const { code } of result.warnings) note(code);
      checkRead(input, result, dice);
    } catch (error) {
      if (error instanceof FormatError && error.offset >= 0 && error.offset <= input.length) {
        note(error.code);
        continue;
      }
      const bytes = Buffer.from(input).toString('hex');
      throw new Error(`fuzzFdt(${seed}, …): input ${index}, ${input.length} bytes: ${bytes}`, {
        cause: error,
      });
    }
  }
  return { read, refused: count - read, codes };
}
