import { isDeepStrictEqual } from 'node:util';
import {
  DmaEngine,
  Edu,
  MemoryStore,
  VirtioBlock,
  VirtioPciFunction,
} from '../../src/endpoints/index.ts';
import { DirectDma, GuestMemory } from '../../src/memory/index.ts';
import { GicV2m, PciHost, pciePciBridge, RootPort } from '../../src/pci/index.ts';
import { PCI_CLASS_STORAGE_SCSI } from '../../src/spec/pci-config.ts';

/** What a run did; one in which no access found anybody tests nothing. */
export interface PciFuzzCount {
  readonly accesses: number;
  /** Loads that gave something else than ones. */
  readonly answered: number;
  /** Messages that reached the doorbell. */
  readonly messages: number;
  readonly hash: number;
}

class Dice {
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
    return this.u32() % limit;
  }
}

const WINDOW = 0x1000_0000;
const RAM = 0x4000_0000;

interface Machine {
  readonly host: PciHost;
  readonly engine: DmaEngine;
  /** Messages that the doorbell got. */
  readonly rung: { count: number };
}

function machine(): Machine {
  const host = new PciHost({
    segment: 0,
    buses: { start: 0, end: 7 },
    windows: [{ start: BigInt(WINDOW), end: BigInt(WINDOW) + 0x7f_ffffn }],
  });
  const memory = new GuestMemory([{ gpa: BigInt(RAM), bytes: new Uint8Array(0x1_0000) }]);
  const rung = { count: 0 };
  const frame = new GicV2m(0x0802_0000n, { base: 48, count: 64 }, () => void rung.count++);
  const dma = new DirectDma(memory, (hi, lo, value) => hi === 0 && frame.write(lo, value, 0));
  const disk = (): VirtioPciFunction =>
    new VirtioPciFunction(new VirtioBlock({ store: new MemoryStore(new Uint8Array(4096)) }), {
      name: 'disk',
      classCode: PCI_CLASS_STORAGE_SCSI,
      dma,
    });
  const engine = new DmaEngine({ name: 'engine', dma, vectors: 4 });
  host.root.plug(0x08, engine.fn);
  host.root.plug(0x10, disk().fn);
  host.root.plug(0x18, new Edu({ name: 'edu', dma }).fn);
  const port = new RootPort({ name: 'port', dma, hotplug: true });
  port.install(disk().fn);
  host.root.plug(0x20, port);
  const bridge = pciePciBridge({ name: 'bridge', dma });
  bridge.secondary.plug(0x08, new Edu({ name: 'edu2', dma }).fn);
  host.root.plug(0x28, bridge);
  return { host, engine, rung };
}

/** Values that mean something to one register or another. */
const VALUES = [
  0,
  1,
  2,
  3,
  4,
  6,
  7,
  8,
  0xf,
  0xff,
  0x407,
  0x8000,
  0xc000,
  0xffff,
  0x1000,
  0x1010,
  0x1020,
  0x0001_0100,
  0x0002_0200,
  WINDOW,
  WINDOW + 0x2_0000,
  WINDOW + 0x10_0000,
  RAM,
  RAM + 0xff0,
  0x0802_0040,
  80,
  0xffff_ffff,
  0x7fff_ffff,
];

/** Where something is after `boot`: engine, its MSI-X, disks with their structures, edu. */
const PAGES = [
  0, 0, 0x20, 0x21, 0x22, 0x24, 0x24, 0x25, 0x26, 0x27, 0x2c, 0x2c, 0x2f, 0x100, 0x200,
];

/**
 * Makes `count` accesses that follow from `seed` to configuration spaces and memory windows of a host
 * with devices, bridges and a slot. Throws, with what repeats it, when anything throws, when a load is
 * no number of its width, or when a snapshot does not restore to itself.
 */
export function fuzzPci(seed: number, count: number): PciFuzzCount {
  const it = machine();
  const dice = new Dice(seed);
  const { host } = it;
  let answered = 0;
  let hash = 0;
  const load = (what: string, value: number, size: number): void => {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size)) {
      throw new Error(`${what}: ${value} is no value of ${size} bytes`);
    }
    if (value !== 2 ** (8 * size) - 1) answered++;
    hash = (Math.imul(hash, 31) + value) >>> 0;
  };
  // Most guests get this far: bus numbers, decoding and mastering on.
  const boot = (): void => {
    for (const [rid, at, value] of BOOT) host.configWrite(rid, at, 4, value);
    // MSI-X of the DMA engine, and of nobody else.
    for (let vector = 0; vector < 4; vector++) {
      const entry = [0x0802_0040, 0, 80 + vector, 0];
      for (const [i, word] of entry.entries()) {
        host.write(WINDOW + 0x2_0000 + 16 * vector + 4 * i, 4, word);
      }
    }
  };
  boot();
  for (let index = 0; index < count; index++) {
    const size = [1, 2, 4][dice.below(3)] ?? 4;
    const value = dice.below(3) === 0 ? dice.u32() : (VALUES[dice.below(VALUES.length)] ?? 0);
    const kind = dice.below(16);
    try {
      if (kind < 3) {
        const offset = (dice.below(0x30) << 12) | dice.below(dice.below(4) === 0 ? 4096 : 0x110);
        load('ecamRead', host.ecamRead(offset, size), size);
        if (kind > 0) host.ecamWrite(offset, size, value);
      } else if (kind < 6) {
        const offset = ((dice.below(3) << 20) | (dice.below(2) << 15)) + dice.below(0x110);
        load('ecamRead', host.ecamRead(offset, size), size);
        if (dice.below(3) === 0) host.ecamWrite(offset, size, value);
      } else if (kind < 15) {
        const page = dice.below(4) === 0 ? dice.below(0x210) : PAGES[dice.below(PAGES.length)];
        const loose = dice.below(dice.below(4) === 0 ? 0x1000 : 0x40);
        const offset = dice.below(8) === 0 ? loose : loose & ~(size - 1);
        const address = WINDOW + (page ?? 0) * 0x1000 + offset;
        load('read', host.read(address, size), size);
        if (kind > 8) host.write(address, size, value);
      } else if (dice.below(8) === 0) boot();
      else it.engine.step();
      if (index % 4096 === 4095) check(it, dice);
    } catch (error) {
      throw new Error(`fuzzPci(${seed}, ${index + 1})`, { cause: error });
    }
  }
  return { accesses: count, answered, messages: it.rung.count, hash };
}

/** Everything is taken from one machine to another, and is the same there; then pulled and reset. */
function check(it: Machine, dice: Dice): void {
  const state = it.host.snapshot();
  const other = machine();
  other.host.restore(structuredClone(state));
  const again = other.host.snapshot();
  for (const [path, before] of Object.entries(state.functions)) {
    if (!isDeepStrictEqual(before, again.functions[path])) {
      throw new Error(`${path}: another state after a restore`);
    }
  }
  if (dice.below(4) === 0) it.host.reset();
}

/** Requester ID, register, value: six BARs in the window, a bus behind each bridge, all enabled. */
const BOOT: readonly (readonly [number, number, number])[] = [
  // A function level reset first: the engine may wait for a step that never comes.
  [0x08, 0x54, 0x8000],
  [0x08, 0x10, WINDOW],
  [0x08, 0x14, WINDOW + 0x2_0000],
  [0x08, 0x04, 0x6],
  [0x08, 0x40, 0x8000_0000],
  [0x10, 0x14, WINDOW + 0x2_1000],
  [0x10, 0x20, WINDOW + 0x2_4000],
  [0x10, 0x04, 0x6],
  [0x18, 0x10, WINDOW + 0x10_0000],
  [0x18, 0x04, 0x6],
  [0x20, 0x10, WINDOW + 0x2_2000],
  [0x20, 0x18, 0x0001_0100],
  [0x20, 0x20, 0x1000_1000],
  [0x20, 0x04, 0x6],
  [0x28, 0x18, 0x0002_0200],
  [0x28, 0x20, 0x1030_1020],
  [0x28, 0x04, 0x6],
  [0x100, 0x14, WINDOW + 0x2_8000],
  [0x100, 0x20, WINDOW + 0x2_c000],
  [0x100, 0x04, 0x6],
  [0x208, 0x10, WINDOW + 0x20_0000],
  [0x208, 0x04, 0x6],
];
