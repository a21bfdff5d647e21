import { readdirSync, readFileSync } from 'node:fs';
import { FormatError } from '../../src/bytes/index.ts';
import {
  buildFirmware,
  describeTree,
  inspect,
  inspectionText,
  toTopologyYaml,
  type Inspection,
} from '../../src/firmware/index.ts';
import {
  checkFacts,
  DEFAULT_KERNEL,
  loadTopology,
  parseTopology,
  type Facts,
} from '../../src/topology/index.ts';
import { mutateTable } from './acpi.ts';
import { Dice, mutateBlob } from './fdt.ts';

/** What a run saw; a run in which nothing could be described, or all, tests nothing. */
export interface FirmwareFuzzCount {
  /** Machines of which all files could be read. */
  readonly described: number;
  readonly refused: number;
  /** How often each code was thrown, and each rule broken. */
  readonly codes: ReadonlyMap<string, number>;
  /** Machines that became a topology which loads, and has a model. */
  readonly again: number;
}

/** The files of one machine. */
type Machine = readonly [Uint8Array, ...Uint8Array[]];

/** Small machines that have, together, everything that the readers know. */
const TOPOLOGIES = [
  'several-endpoints',
  'root-ports',
  'gicv2m',
  'its',
  'two-viommus',
  'device-tree-regions',
  'platform-device',
  'segments',
  'viommu-mmio',
  'q35-pxb',
] as const;

function corpus(): readonly [Machine, ...Machine[]] {
  const machines: Machine[] = [];
  for (const name of TOPOLOGIES) {
    const { model } = loadTopology(`topologies/${name}.yaml`);
    if (model === undefined) throw new Error(`${name} does not load`);
    const { dtb, viot, iort, mcfg } = buildFirmware(model);
    const tables = [viot, iort, mcfg].filter((table) => table !== undefined);
    if (dtb !== undefined) machines.push([dtb]);
    const [first, ...rest] = tables;
    if (first !== undefined) machines.push([first, ...rest]);
  }
  const folder = new URL('../golden/acpi/viot/', import.meta.url);
  for (const file of readdirSync(folder)) {
    if (file.endsWith('.aml'))
      machines.push([Uint8Array.from(readFileSync(new URL(file, folder)))]);
  }
  const [first, ...rest] = machines;
  if (first === undefined) throw new Error('no firmware');
  return [first, ...rest];
}

const FDT = 0xd0;

/** Words that mean something in the cells of a map or a `reg`. */
const CELLS: readonly [number, ...number[]] = [
  0, 1, 2, 3, 8, 0xff, 0x100, 0xffff, 0x1_0000, 0x1_0001, 0xffff_fff8, 0x7fff_ffff, 0xffff_ffff,
];

/** Changes values and keeps the structure, so that what is behind the parser is reached. */
function mutateValues(blob: Uint8Array, dice: Dice): Uint8Array {
  const out = blob.slice();
  const data = new DataView(out.buffer);
  const start = data.getUint32(8);
  const words = data.getUint32(36) >> 2;
  for (let round = dice.below(6); round >= 0; round--) {
    // A property is a token of 3, its length and its name; its value follows.
    let at = start + 4 * dice.below(words);
    while (at + 16 <= start + 4 * words && data.getUint32(at) !== 3) at += 4;
    const length = at + 16 <= start + 4 * words ? data.getUint32(at + 4) : 0;
    if (length === 0 || at + 12 + length > out.length) continue;
    const inside = at + 12 + (dice.below(length) & ~3);
    const kind = dice.below(6);
    if (inside + 4 > out.length) continue;
    if (kind < 3) data.setUint32(inside, dice.pick(CELLS));
    else if (kind === 3) data.setUint32(inside, data.getUint32(inside) + dice.below(5) - 2);
    else if (kind === 4) out[inside] = dice.u32() & 0xff;
    // Another name for the value: `reg` becomes `ranges`.
    else data.setUint32(at + 8, dice.below(data.getUint32(32)));
  }
  return out;
}

function mutate(file: Uint8Array, dice: Dice): Uint8Array {
  if (file[0] !== FDT) return mutateTable(file, dice);
  return dice.below(4) === 0 ? mutateBlob(file, dice) : mutateValues(file, dice);
}

/** Characters that a description of one small machine may have. */
const TEXT_MAX = 1 << 20;

function factsOf(seen: readonly Inspection[]): Facts {
  const facts: Record<string, unknown> = { kernel: DEFAULT_KERNEL, guestPage: 4096n };
  for (const one of seen) {
    if (one.format === 'dtb') facts['tree'] = one.tree;
    if (one.format === 'viot') facts['viot'] = one.viot;
    if (one.format === 'iort') facts['iort'] = one.iort;
    if (one.format === 'mcfg') facts['mcfg'] = one.mcfg;
  }
  return facts as unknown as Facts;
}

/** Everything that is done with firmware; returns whether it is a topology again. */
function useAll(files: Machine, note: (code: string) => void, deep: boolean): boolean {
  const seen = files.map((bytes, at) => inspect(bytes, `file${at}`));
  for (const one of seen) {
    const text = inspectionText(one);
    if (text.length > TEXT_MAX) throw new Error(`${text.length} characters of text`);
  }
  for (const { rule } of checkFacts(factsOf(seen))) note(rule);
  const [first] = files;
  if (deep && first[0] === FDT) describeTree(first, 'file0');
  let yaml: string;
  try {
    yaml = toTopologyYaml(seen, 'fuzz');
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    note(error.code);
    return false;
  }
  if (yaml.length > TEXT_MAX) throw new Error(`${yaml.length} characters of YAML`);
  return deep && parseTopology(yaml, 'fuzz.yaml').model !== undefined;
}

/**
 * Gives `count` machines whose firmware was damaged, as follows from `seed`, to all that reads
 * firmware: `inspect`, its text, its topology, and every rule.
 *
 * Throws, with the files, when anything but a `FormatError` is thrown, and that only by readers, or
 * when a small machine becomes a megabyte of text.
 */
export function fuzzFirmware(
  seed: number,
  count: number,
  tell?: (done: number) => void,
): FirmwareFuzzCount {
  const machines = corpus();
  const codes = new Map<string, number>();
  const note = (code: string): void => void codes.set(code, (codes.get(code) ?? 0) + 1);
  let [refused, again] = [0, 0];
  for (let index = 0; index < count; index++) {
    if (index % 1000 === 0) tell?.(index);
    // Each machine follows from its own number, so that one can be repeated alone.
    const dice = new Dice(Math.imul(seed, 0x0100_0193) ^ index);
    const [first, ...rest] = dice.pick(machines);
    const files: Machine = [mutate(first, dice), ...rest.map((file) => mutate(file, dice))];
    try {
      // Loading a topology takes ten times as long as all else.
      if (useAll(files, note, dice.below(16) === 0)) again++;
    } catch (error) {
      if (error instanceof FormatError) {
        note(error.code);
        refused++;
        continue;
      }
      const bytes = files.map((file) => Buffer.from(file).toString('hex')).join(' ');
      throw new Error(`fuzzFirmware(${seed}, …): input ${index}: ${bytes}`, { cause: error });
    }
  }
  return { described: count - refused, refused, codes, again };
}
