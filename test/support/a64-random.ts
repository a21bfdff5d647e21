/**
 * Random A64 programs for the differential test of the core: blocks of instructions on registers of
 * random values, each followed by a dump of all that it may have changed.
 *
 * A program is one image that runs at {@link BASE}, under qemu-aarch64 as well as on the core.
 * Registers: x25 and x26 are address and index of memory accesses, x27 the middle of the scratch
 * area, x28 the place of the next dump; the rest is random.
 */

/** Where the image is loaded; it is also where the emulator's RAM starts. */
export const BASE = 0x4000_0000;
/** x0 to x24, x29, x30, SP, NZCV; 8 bytes each. */
const SCALARS = 29;
const VECTORS = 64;
/** FPSR.QC: whether anything was saturated. */
const STATUS = 1;
export const SCRATCH_SIZE = 0x2000;

export type Kind = 'integer' | 'memory' | 'float' | 'vector';

export interface RandomProgram {
  readonly image: Uint8Array;
  /** Offset in the image where dumps start, and their length; scratch memory follows them. */
  readonly output: number;
  readonly outputSize: number;
  /** Random instructions in it. */
  readonly count: number;
  /** The words, by block, for whoever must find a difference. */
  readonly blocks: readonly (readonly number[])[];
  readonly dumpSize: number;
}

/** SplitMix32-like: small, seeded, good enough. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x85eb_ca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2_ae35);
    return (z ^ (z >>> 16)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** Often something with edges: small, all ones, one bit, a float. */
  u64(): bigint {
    const wide = (BigInt(this.u32()) << 32n) | BigInt(this.u32());
    switch (this.below(8)) {
      case 0:
        return BigInt(this.below(16));
      case 1:
        return BigInt.asUintN(64, -BigInt(this.below(16)));
      case 2:
        return 1n << BigInt(this.below(64));
      case 3:
        return (1n << BigInt(this.below(64))) - 1n;
      case 4:
        return BigInt(this.u32());
      default:
        return wide;
    }
  }

  /** Bit patterns of numbers: near one another, special, subnormal. */
  float(): bigint {
    const special = [
      0n,
      0x8000_0000_0000_0000n,
      0x7ff0_0000_0000_0000n,
      0xfff0_0000_0000_0000n,
      0x7ff8_0000_0000_1234n,
      0x7ff4_0000_0000_0001n,
      0x7f80_0000_ff80_0000n,
      0x7fa0_0001_7fc0_0002n,
      1n,
      0x0010_0000_0000_0000n,
      0x7fef_ffff_ffff_ffffn,
    ];
    const data = new DataView(new ArrayBuffer(8));
    switch (this.below(4)) {
      case 0:
        return this.pick(special);
      case 1:
        data.setFloat64(0, (this.u32() - 0x8000_0000) / 2 ** this.below(40));
        break;
      case 2:
        data.setFloat32(0, (this.u32() - 0x8000_0000) / 2 ** this.below(40));
        data.setFloat32(4, (this.u32() - 0x8000_0000) / 2 ** this.below(40));
        break;
      default:
        return this.u64();
    }
    return data.getBigUint64(0);
  }
}

const ADDRESS = 25;
const INDEX = 26;
const MIDDLE = 27;
const DUMP = 28;

class Assembler {
  readonly words: number[] = [];

  emit(...words: readonly number[]): void {
    for (const word of words) this.words.push(word >>> 0);
  }

  /** MOVZ and three MOVK. */
  constant(register: number, value: bigint): void {
    for (let hw = 0; hw < 4; hw++) {
      const imm = Number((value >> BigInt(16 * hw)) & 0xffffn);
      this.emit((hw === 0 ? 0xd280_0000 : 0xf280_0000) | (hw << 21) | (imm << 5) | register);
    }
  }
}

function general(random: Random, zero: boolean): number {
  const n = random.below(zero ? 28 : 27);
  return n < 25 ? n : n === 25 ? 29 : n === 26 ? 30 : 31;
}

/** An encoding: fixed bits, and where random registers and bits go. */
interface Form {
  readonly bits: number;
  readonly free: number;
  readonly registers: readonly number[];
}

function form(pattern: string, ...registers: readonly number[]): Form {
  const text = pattern.replace(/ /gu, '');
  let bits = 0;
  let free = 0;
  for (let n = 0; n < 32; n++) {
    bits = bits * 2 + (text[n] === '1' ? 1 : 0);
    free = free * 2 + (text[n] === 'x' ? 1 : 0);
  }
  return { bits: bits >>> 0, free: free >>> 0, registers };
}

/** d, n, m, a: places of register fields; x bits are random. Unallocated ones are filtered below. */
const INTEGER: readonly Form[] = [
  form('xxx100010x xxxxxxxxxxxx nnnnn ddddd', 5, 0),
  form('xxx100100x xxxxxx xxxxxx nnnnn ddddd', 5, 0),
  form('xxx100101xx xxxxxxxxxxxxxxxx ddddd', 0),
  form('xxx100110x xxxxxx xxxxxx nnnnn ddddd', 5, 0),
  form('x00100111x0 mmmmm xxxxxx nnnnn ddddd', 16, 5, 0),
  form('xxx01010xxx mmmmm xxxxxx nnnnn ddddd', 16, 5, 0),
  form('xxx01011xx0 mmmmm xxxxxx nnnnn ddddd', 16, 5, 0),
  form('xxx01011001 mmmmm xxxxxx nnnnn ddddd', 16, 5, 0),
  form('xxx11010000 mmmmm 000000 nnnnn ddddd', 16, 5, 0),
  form('xx111010010 mmmmm xxxx00 nnnnn 0xxxx', 16, 5),
  form('xx111010010 xxxxx xxxx10 nnnnn 0xxxx', 5),
  form('xx011010100 mmmmm xxxx0x nnnnn ddddd', 16, 5, 0),
  form('x0011010110 mmmmm 00001x nnnnn ddddd', 16, 5, 0),
  form('x0011010110 mmmmm 0010xx nnnnn ddddd', 16, 5, 0),
  form('x101101011000000 00010x nnnnn ddddd', 5, 0),
  form('x101101011000000 00000x nnnnn ddddd', 5, 0),
  form('1101101011000000 00001x nnnnn ddddd', 5, 0),
  form('x0011011000 mmmmm xaaaaa nnnnn ddddd', 16, 10, 5, 0),
  form('10011011x01 mmmmm xaaaaa nnnnn ddddd', 16, 10, 5, 0),
  form('10011011x10 mmmmm 011111 nnnnn ddddd', 16, 5, 0),
  form('xxx10000 xxxxxxxxxxxxxxxxxxx ddddd', 0),
];

const FLOAT: readonly Form[] = [
  form('00011110 0x1 mmmmm 0xxx10 nnnnn ddddd', 16, 5, 0),
  form('00011110 0x1 mmmmm 100010 nnnnn ddddd', 16, 5, 0),
  form('00011110 0x1 0000xx 10000 nnnnn ddddd', 5, 0),
  form('00011110 001 000101 10000 nnnnn ddddd', 5, 0),
  form('00011110 0x1 000111 10000 nnnnn ddddd', 5, 0),
  form('00011110 111 00010x 10000 nnnnn ddddd', 5, 0),
  form('00011110 011 000100 10000 nnnnn ddddd', 5, 0),
  form('00011110 0x1 001xxx 10000 nnnnn ddddd', 5, 0),
  form('00011110 0x1 mmmmm 001000 nnnnn x0000', 16, 5),
  form('00011110 0x1 mmmmm 001000 nnnnn x1000', 16, 5),
  form('00011110 0x1 mmmmm xxxx01 nnnnn xxxxx', 16, 5),
  form('00011110 0x1 mmmmm xxxx11 nnnnn ddddd', 16, 5, 0),
  form('00011110 0x1 xxxxxxxx 10000000 ddddd'),
  form('00011111 0xx mmmmm xaaaaa nnnnn ddddd', 16, 10, 5, 0),
  form('x0011110 0x1 xx 00x 000000 nnnnn ddddd', 5, 0),
  form('x0011110 0x1 00 01x 000000 nnnnn ddddd', 5, 0),
  form('x0011110 0x1 00 10x 000000 nnnnn ddddd', 5, 0),
  form('00011110 001 00 11x 000000 nnnnn ddddd', 5, 0),
  form('10011110 011 00 11x 000000 nnnnn ddddd', 5, 0),
  form('10011110 101 01 11x 000000 nnnnn ddddd', 5, 0),
  form('x0011110 0x0 00 01x 1xxxxx nnnnn ddddd', 5, 0),
  form('x0011110 0x0 11 00x 1xxxxx nnnnn ddddd', 5, 0),
  // Estimates and steps, scalar and vector; FMULX; FCVTL, FCVTN, FCVTXN.
  form('01x11110 1x1 00001 110110 nnnnn ddddd', 5, 0),
  form('01011110 1x1 00001 111110 nnnnn ddddd', 5, 0),
  form('0xx01110 1x1 00001 110x10 nnnnn ddddd', 5, 0),
  form('0x001110 xx1 mmmmm 111111 nnnnn ddddd', 16, 5, 0),
  form('01011110 xx1 mmmmm 111111 nnnnn ddddd', 16, 5, 0),
  form('0x001110 0x1 mmmmm 110111 nnnnn ddddd', 16, 5, 0),
  form('0x001110 0x1 00001 011x10 nnnnn ddddd', 5, 0),
  form('0x101110 011 00001 011010 nnnnn ddddd', 5, 0),
];

const VECTOR: readonly Form[] = [
  form('0xx01110 xx1 mmmmm xxxxx1 nnnnn ddddd', 16, 5, 0),
  form('01x11110 xx1 mmmmm xxxxx1 nnnnn ddddd', 16, 5, 0),
  form('0xx01110 xx1 mmmmm xxxx00 nnnnn ddddd', 16, 5, 0),
  form('0xx01110 xx1 0000x xxxx10 nnnnn ddddd', 5, 0),
  form('01x11110 xx1 0000x xxxx10 nnnnn ddddd', 5, 0),
  form('0xx01110 xx1 1000x xxxx10 nnnnn ddddd', 5, 0),
  form('01x11110 xx1 1000x xxxx10 nnnnn ddddd', 5, 0),
  form('0xx01110 000 xxxxx 0xxxx1 nnnnn ddddd', 5, 0),
  form('01011110 000 xxxxx 000001 nnnnn ddddd', 5, 0),
  form('0x001110 000 mmmmm 0xxx00 nnnnn ddddd', 16, 5, 0),
  form('0x001110 xx0 mmmmm 0xxx10 nnnnn ddddd', 16, 5, 0),
  form('0x101110 000 mmmmm 0xxxx0 nnnnn ddddd', 16, 5, 0),
  form('0xx01111 00000 xxx xxxx01 xxxxx ddddd', 0),
  form('0xx01111 0xxxx xxx xxxxx1 nnnnn ddddd', 5, 0),
  form('01x11111 01xxx xxx xxxxx1 nnnnn ddddd', 5, 0),
  form('0xx01111 xxx mmmmm xxxxx0 nnnnn ddddd', 16, 5, 0),
];

/** Whether the core has the instruction: what it lacks would stop it. */
export type Known = (word: number) => boolean;

function instance(random: Random, shape: Form): number {
  let word = shape.bits | (random.u32() & shape.free);
  for (const at of shape.registers) word |= general(random, true) << at;
  return word >>> 0;
}

/** Loads and stores by address mode; x25 holds the address, x26 a small index. */
function memoryAccess(random: Random): number[] {
  const vector = random.below(4) === 0;
  const align = random.below(3) === 0 ? random.below(256) : random.below(32) * 16;
  // ADD x25, x27, #align and MOVZ x26, #index.
  const setUp = [
    0x9100_0000 | (align << 10) | (MIDDLE << 5) | ADDRESS,
    0xd280_0000 | (random.below(16) << 5) | INDEX,
  ];
  const v = vector ? 1 << 26 : 0;
  const rt = vector ? random.below(32) : general(random, true);
  const base = (ADDRESS << 5) | rt;
  const size = random.below(4);
  let opc = random.below(4);
  if (!vector && (size === 3 || (size === 2 && opc === 3))) opc &= 1;
  if (vector && size !== 0) opc &= 1;
  const one = (size << 30) | 0x3800_0000 | v | (opc << 22) | base;
  let words: number[];
  switch (random.below(8)) {
    case 0:
      words = [one | (1 << 24) | (random.below(64) << 10)];
      break;
    case 1:
      words = [one | (random.below(512) << 12) | (random.pick([0, 1, 3]) << 10)];
      break;
    case 2: {
      const option = random.pick([2, 3, 6, 7]);
      words = [one | (1 << 21) | (INDEX << 16) | (option << 13) | (random.below(2) << 12) | 0x800];
      break;
    }
    case 3:
    case 4:
      words = [pair(random, v, base, rt)];
      break;
    case 5:
      words = vector ? [structure(random)] : exclusives(random, size);
      break;
    case 6: {
      // LDAR, STLR.
      const at = ADDRESS << 5;
      words = [
        0x9240_0000 | (60 << 16) | (59 << 10) | at | ADDRESS,
        (size << 30) | 0x089f_fc00 | (random.below(2) << 22) | at | general(random, true),
      ];
      break;
    }
    default:
      words = [one | (1 << 24) | (random.below(16) << 10)];
  }
  return [...setUp, ...words];
}

function pair(random: Random, v: number, base: number, rt: number): number {
  const opc = v ? random.below(3) : random.pick([0, 2, 1]);
  const load = opc === 1 && !v ? 1 : random.below(2);
  let other = general(random, true);
  if (other === rt) other = rt === 3 ? 4 : 3;
  const mode = opc === 1 && !v ? 1 + random.below(3) : random.below(4);
  const bits = (opc << 30) | 0x2800_0000 | v | (mode << 23) | (load << 22);
  return bits | (random.below(128) << 15) | (other << 10) | base;
}

/** LD1 to LD4, ST1 to ST4, single lanes and replication. */
function structure(random: Random): number {
  const load = random.below(2) << 22;
  const post = random.below(2);
  const index = post ? random.pick([31, INDEX]) << 16 : 0;
  const common =
    load | (post << 23) | index | (random.below(2) << 30) | (ADDRESS << 5) | random.below(32);
  if (random.below(2)) {
    const opcode = random.pick([0, 2, 4, 6, 7, 8, 10]);
    return 0x0c00_0000 | common | (opcode << 12) | (random.below(4) << 10);
  }
  return 0x0d00_0000 | common | (random.below(2) << 21) | (random.below(64) << 10);
}

/** LDXR and STXR, with sometimes CLREX or another address between them. */
function exclusives(random: Random, size: number): number[] {
  const at = ADDRESS << 5;
  const clear = 0x9240_0000 | (60 << 16) | (59 << 10) | at | ADDRESS;
  const paired = size >= 2 && random.below(2) === 1;
  const ordered = random.below(2) << 15;
  // Three registers that differ: the status must not be the data.
  const rt = random.below(8);
  const rt2 = paired ? 8 + random.below(8) : 31;
  const status = 16 + random.below(8);
  const bits = (size << 30) | 0x0800_0000 | ordered | (paired ? 1 << 21 : 0) | (rt2 << 10) | at;
  const between = random.below(4) === 0 ? [0xd503_3f5f] : [];
  return [
    clear,
    bits | 0x0040_0000 | (31 << 16) | rt,
    ...between,
    bits | (status << 16) | ((rt + 1) & 7),
  ];
}

function dump(asm: Assembler, vectors: boolean): void {
  const store = (from: number, slot: number): void =>
    asm.emit(0xf900_0000 | (slot << 10) | (DUMP << 5) | from);
  for (let n = 0; n < 25; n++) store(n, n);
  store(29, 25);
  store(30, 26);
  // MOV x25, sp; MRS x26, nzcv
  asm.emit(0x9100_03e0 | ADDRESS);
  store(ADDRESS, 27);
  asm.emit(0xd53b_4200 | INDEX);
  store(INDEX, 28);
  asm.emit(0x9100_0000 | ((SCALARS * 8) << 10) | (DUMP << 5) | DUMP);
  if (!vectors) return;
  // STP q, q, [x28], #32
  for (let n = 0; n < 32; n += 2) asm.emit(0xac81_0000 | ((n + 1) << 10) | (DUMP << 5) | n);
  // MRS x25, fpsr; AND x25, x25, #QC; STR x25, [x28], #8
  asm.emit(0xd53b_4420 | ADDRESS, 0x9265_0000 | (ADDRESS << 5) | ADDRESS);
  asm.emit(0xf800_8400 | (DUMP << 5) | ADDRESS);
}

/**
 * A program of `blocks` blocks of `length` instructions of a kind.
 *
 * @param known filters instructions: those that the core does not have are not tried
 */
export function randomProgram(
  seed: number,
  kind: Kind,
  blocks: number,
  length: number,
  known: Known,
): RandomProgram {
  const random = new Random(seed);
  const asm = new Assembler();
  const vectors = kind !== 'integer';
  const dumpSize = 8 * SCALARS + (vectors ? 8 * (VECTORS + STATUS) : 0);
  const forms = kind === 'float' ? FLOAT : kind === 'vector' ? VECTOR : INTEGER;
  const all: number[][] = [];
  const start = 0x1000;
  let count = 0;
  // Filled in below, when it is known where they are.
  asm.constant(MIDDLE, 0n);
  asm.constant(DUMP, 0n);
  for (let block = 0; block < blocks; block++) {
    if (block % 4 === 0) scramble(random, asm, kind);
    const words: number[] = [];
    while (words.length < length) {
      const next =
        kind === 'memory' ? memoryAccess(random) : [instance(random, random.pick(forms)) >>> 0];
      if (!next.every((word) => known(word >>> 0))) continue;
      words.push(...next.map((word) => word >>> 0));
    }
    count += words.length;
    asm.emit(...words);
    all.push(words);
    dump(asm, vectors);
  }
  const outputSize = blocks * dumpSize + SCRATCH_SIZE;
  const codeSize = (asm.words.length + 16) * 4;
  const output = start + Math.ceil(codeSize / 4096) * 4096;
  finish(asm, output, outputSize);
  patch(asm, output, blocks * dumpSize);
  const image = new Uint8Array(output + outputSize);
  const data = new DataView(image.buffer);
  asm.words.forEach((word, index) => data.setUint32(start + 4 * index, word, true));
  for (let at = output + blocks * dumpSize; at < image.length; at += 4)
    data.setUint32(at, random.u32());
  return { image, output, outputSize, count, blocks: all, dumpSize };
}

/** New random values for registers, and flags. */
function scramble(random: Random, asm: Assembler, kind: Kind): void {
  const floats = kind === 'float';
  for (let n = 0; n < 31; n++) {
    if (n >= ADDRESS && n <= DUMP) continue;
    asm.constant(n, floats && n % 2 ? random.float() : random.u64());
  }
  // MSR nzcv, x0; MOV sp, x24
  asm.emit(0xd51b_4200, 0x9100_031f);
  if (kind === 'integer') return;
  // MSR fpsr, xzr
  asm.emit(0xd51b_443f);
  for (let n = 0; n < 32; n++) {
    asm.constant(ADDRESS, floats ? random.float() : random.u64());
    asm.constant(INDEX, random.below(2) ? random.float() : random.u64());
    // FMOV d, x25; INS v.d[1], x26
    asm.emit(0x9e67_0000 | (ADDRESS << 5) | n, 0x4e18_1c00 | (INDEX << 5) | n);
  }
}

/** write(1, output, size); exit(0). */
function finish(asm: Assembler, output: number, size: number): void {
  asm.constant(0, 1n);
  asm.constant(1, BigInt(BASE + output));
  asm.constant(2, BigInt(size));
  asm.emit(0xd280_0808, 0xd400_0001, 0xd280_0000, 0xd280_0ba8, 0xd400_0001);
}

function patch(asm: Assembler, output: number, dumps: number): void {
  const fixed = new Assembler();
  fixed.constant(MIDDLE, BigInt(BASE + output + dumps + SCRATCH_SIZE / 2));
  fixed.constant(DUMP, BigInt(BASE + output));
  fixed.words.forEach((word, index) => (asm.words[index] = word));
}

/** The image with what makes it a static ELF program for Linux, in its first page. */
export function elfOf(image: Uint8Array): Uint8Array {
  const elf = image.slice();
  const data = new DataView(elf.buffer);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  // ET_EXEC, EM_AARCH64, version, entry, one program header of 56 bytes after the 64 of this.
  data.setUint16(16, 2, true);
  data.setUint16(18, 183, true);
  data.setUint32(20, 1, true);
  data.setBigUint64(24, BigInt(BASE + ENTRY), true);
  data.setBigUint64(32, 64n, true);
  data.setUint16(52, 64, true);
  data.setUint16(54, 56, true);
  data.setUint16(56, 1, true);
  // PT_LOAD, readable, writable, executable.
  data.setUint32(64, 1, true);
  data.setUint32(68, 7, true);
  data.setBigUint64(80, BigInt(BASE), true);
  data.setBigUint64(88, BigInt(BASE), true);
  data.setBigUint64(96, BigInt(image.length), true);
  data.setBigUint64(104, BigInt(image.length), true);
  data.setBigUint64(112, 0x1000n, true);
  return elf;
}

/** Offset of the first instruction in the image. */
export const ENTRY = 0x1000;
