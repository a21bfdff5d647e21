import { readdirSync, readFileSync } from 'node:fs';
import { FormatError } from '../../src/bytes/index.ts';
import {
  findAcpiTables,
  layOutTables,
  linuxView,
  readIort,
  readMadt,
  readMcfg,
  readRsdp,
  readViot,
  writeIortRaw,
  writeMadt,
  writeMcfg,
  writeRsdp,
  writeViotRaw,
  type AcpiBlob,
  type AcpiProblem,
} from '../../src/acpi/index.ts';
import { SAMPLES, sampleNamedComponent } from '../support/acpi-samples.ts';

/** What a run saw; a run in which nothing could be read, or all, tests nothing. */
export interface AcpiFuzzCount {
  /** Read without any problem, and written again byte for byte. */
  readonly clean: number;
  /** Read, with problems. */
  readonly flawed: number;
  readonly refused: number;
  /** How often each code was thrown or listed. */
  readonly codes: ReadonlyMap<string, number>;
}

interface Reading {
  readonly problems: readonly AcpiProblem[];
  /** The same table, written from what was read. */
  readonly again: () => Uint8Array;
}

/** xorshift32: the same bytes from the same seed, everywhere. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x2545_f491) >>> 0 || 1;
  }

  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % Math.max(1, limit);
  }
}

const READERS: readonly (readonly [string, (bytes: Uint8Array) => Reading])[] = [
  [
    'VIOT',
    (bytes) => {
      const { nodes, header, problems, ...viot } = readViot(bytes);
      linuxView({ nodes, header, problems, ...viot });
      return { problems, again: () => writeViotRaw({ nodes, ids: header }) };
    },
  ],
  [
    'IORT',
    (bytes) => {
      const { nodes, header, problems } = readIort(bytes);
      return { problems, again: () => writeIortRaw({ nodes, ids: header }) };
    },
  ],
  [
    'APIC',
    (bytes) => {
      const madt = readMadt(bytes);
      const again = (): Uint8Array => writeMadt(madt, madt.header, madt.header.revision);
      return { problems: madt.problems, again };
    },
  ],
  [
    'MCFG',
    (bytes) => {
      const { allocations, header, problems } = readMcfg(bytes);
      return { problems, again: () => writeMcfg(allocations, header) };
    },
  ],
  [
    'RSD ',
    (bytes) => {
      const rsdp = readRsdp(bytes);
      return { problems: rsdp.problems, again: () => writeRsdp(rsdp) };
    },
  ],
];

function corpus(): readonly Uint8Array[] {
  const golden = ['viot', 'iort'].flatMap((kind) => {
    const folder = new URL(`../golden/acpi/${kind}/`, import.meta.url);
    const names = readdirSync(folder).filter((name) => name.endsWith('.aml'));
    return names.map((name) => Uint8Array.from(readFileSync(new URL(name, folder))));
  });
  const rsdp = writeRsdp({ oemId: 'FUZZ', rsdtAddress: 4096, xsdtAddress: 1n << 40n });
  const ours = Object.values(SAMPLES).map((make) => make());
  return [...golden, ...ours, sampleNamedComponent(), rsdp];
}

/** Numbers at which lengths, counts and offsets change their meaning. */
const EDGES = [0, 1, 3, 4, 15, 16, 20, 24, 36, 47, 48, 49, 64, 127, 128, 255] as const;

/** One to four changes; half of the results get a right checksum again, to get past that check. */
export function mutateTable(
  table: Uint8Array,
  random: { below(limit: number): number },
): Uint8Array {
  let out = table.slice();
  for (let round = random.below(5); round > 0 && out.length > 0; round--) {
    const at = random.below(out.length);
    const kind = random.below(8);
    if (kind < 2) out[at] = random.below(256);
    else if (kind < 4) out[at] = EDGES[random.below(EDGES.length)] ?? 0;
    else if (kind === 4) out.fill(0xff, at, at + 1 + random.below(4));
    else if (kind === 5) out = out.slice(0, at);
    else if (kind === 6) out.copyWithin(at, random.below(out.length), random.below(out.length));
    else out = Uint8Array.from([...out, ...out.subarray(at)]);
  }
  if (out.length > 36 && random.below(2) === 0) {
    if (random.below(2) === 0) new DataView(out.buffer).setUint32(4, out.length, true);
    out[9] = 0;
    out[9] = -out.reduce((sum, byte) => sum + byte, 0) & 0xff;
  }
  return out;
}

/** Bytes from nothing, most of them behind a signature that a reader lets pass. */
function noise(random: Random): Uint8Array {
  const out = Uint8Array.from({ length: random.below(400) }, () => random.below(256));
  const [signature = ''] = READERS[random.below(READERS.length)] ?? [];
  if (random.below(4) > 0) out.set(Buffer.from(signature).subarray(0, out.length));
  if (out.length > 8 && random.below(2) === 0) {
    new DataView(out.buffer).setUint32(4, out.length, true);
  }
  return out;
}

/**
 * Gives `count` inputs made from `seed` to the readers of VIOT, IORT, MADT, MCFG and RSDP, and
 * to the search through a memory image.
 *
 * Throws, with the input, when a reader throws anything but `FormatError`, lists more problems
 * than it may, or reads an input without a problem and the writer makes other bytes of it.
 */
export function fuzzAcpi(
  seed: number,
  count: number,
  tell?: (done: number) => void,
): AcpiFuzzCount {
  const random = new Random(seed);
  const tables = corpus();
  const samples = Object.values(SAMPLES).map((make) => make());
  const image = layOutTables(0x4000_0000n, samples);
  const codes = new Map<string, number>();
  const tally = (code: string): unknown => codes.set(code, (codes.get(code) ?? 0) + 1);
  let [clean, flawed, refused] = [0, 0, 0];
  for (let index = 0; index < count; index++) {
    if (index % 1000 === 0) tell?.(index);
    const base = tables[random.below(tables.length)] ?? new Uint8Array();
    const input = random.below(10) === 0 ? noise(random) : mutateTable(base, random);
    const start = Buffer.from(input.subarray(0, 4)).toString('latin1');
    // One in 16 goes to a reader of something else.
    const own = READERS.find(([signature]) => signature === start && random.below(16) > 0);
    const [, read] = own ?? READERS[random.below(READERS.length)] ?? READERS[0] ?? [];
    try {
      const { problems, again } = read?.(input) ?? { problems: [], again: () => input };
      for (const { code } of problems) tally(code);
      if (problems.length > 201) throw new Error(`${problems.length} problems`);
      if (problems.length > 0) flawed++;
      else if (Buffer.compare(again(), input.subarray(0, again().length)) === 0) clean++;
      else throw new Error('read without a problem, but written differently');
    } catch (error) {
      if (!(error instanceof FormatError)) throw failure(seed, index, input, error);
      tally(error.code);
      refused++;
    }
    if (index % 16 === 0) searchImage(random, image, seed, index);
  }
  return { clean, flawed, refused, codes };
}

/** A whole memory image with damage anywhere in it. */
function searchImage(random: Random, blob: AcpiBlob, seed: number, index: number): void {
  const bytes = mutateTable(blob.bytes, random);
  try {
    const known = random.below(2) === 0 ? blob.rsdpAddress : undefined;
    const found = findAcpiTables([{ base: blob.base, bytes }], known);
    if (found.tables.length > 1025) throw new Error('more tables than there may be');
  } catch (error) {
    if (!(error instanceof FormatError)) throw failure(seed, index, bytes, error);
  }
}

function failure(seed: number, index: number, input: Uint8Array, cause: unknown): Error {
  const hex = Buffer.from(input).toString('hex');
  return new Error(`fuzzAcpi(${seed}, …) at input ${index}: ${String(cause)}: ${hex}`, { cause });
}
