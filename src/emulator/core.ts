import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import * as layout from './core/layout.ts';
import { decodeTable } from './decode.ts';
import { installSysregs } from './sysregs.ts';
import { wasm, type WasmMemory, type WasmModule } from './wasm.ts';

/** What the core asks of the machine around it. Addresses are physical, below 2^48: exact numbers. */
export interface Bus {
  /** A load of 1, 2 or 4 bytes; undefined where nothing answers, which is an external abort. */
  read(address: number, size: number): number | undefined;
  /** A store of 1, 2 or 4 bytes; false where nothing answers. */
  write(address: number, size: number, value: number): boolean | void;
  /** The virtual timer's interrupt, PPI 11 of the GIC, changed its level. */
  timerLine(level: boolean): void;
  /**
   * A system register of a GICv3's CPU interface, named op0[0]:op1:CRn:CRm:op2. Of what is written
   * the lower 32 bits are given, which is all that one CPU needs.
   */
  readSystem?(register: number): number | undefined;
  writeSystem?(register: number, value: number): void;
}

/** Bytes of one WebAssembly page. */
const PAGE = 0x1_0000;
/** RAM ends below 4 GiB of linear memory. */
export const RAM_SIZE_MAX = 0xf000_0000;

/** Where the built core may lie: beside this file in the package, or in the tree it is built in. */
const PLACES = ['./core.wasm', '../../build/emulator/core.wasm'] as const;

let compiled: Promise<WasmModule> | undefined;

/** The core's code, compiled once; rejects when `npm run build` has not made it. */
export async function coreModule(): Promise<WasmModule> {
  compiled ??= compile();
  return compiled;
}

async function compile(): Promise<WasmModule> {
  let failure: unknown;
  for (const place of PLACES) {
    try {
      const bytes = await readFile(fileURLToPath(new URL(place, import.meta.url)));
      return await wasm.compile(bytes);
    } catch (error) {
      failure ??= error;
    }
  }
  compiled = undefined;
  throw failure;
}

/** The timer's deadline when there is none. */
const NEVER = (1n << 64n) - 1n;

interface Exports {
  initialise(): void;
  restored(): void;
  run(budget: number): number;
  skipToDeadline(): number;
  timerDeadline(): bigint;
  codeAt(pc: bigint): number;
}

export interface CoreOptions {
  readonly module: WasmModule;
  /** First physical address of RAM, a multiple of 4 KiB. */
  readonly ramBase: bigint;
  /** Bytes of RAM, a multiple of 64 KiB, at most {@link RAM_SIZE_MAX}. */
  readonly ramSize: number;
  /** Whether the CPU has floating point and Advanced SIMD; default false. */
  readonly fp?: boolean;
  /** Registers of a GICv3's CPU interface: `Bus.readSystem` and `writeSystem` answer for them. */
  readonly gicRegisters?: readonly number[];
}

/** One AArch64 CPU and its RAM. */
export class Core {
  /** The guest's RAM; the same bytes for as long as the core lives. */
  readonly ram: Uint8Array;
  readonly ramBase: bigint;
  /** State and tables, at the places layout.ts names. */
  readonly state: DataView;
  #bus: Bus | undefined;
  readonly #exports: Exports;
  readonly #memory: WasmMemory;
  readonly #whole: DataView;

  /** @throws RangeError for RAM that cannot be had */
  constructor(options: CoreOptions) {
    const { ramBase, ramSize } = options;
    if (ramSize <= 0 || ramSize > RAM_SIZE_MAX || ramSize % PAGE !== 0 || ramBase % 4096n !== 0n) {
      throw new RangeError(`RAM of ${ramSize} bytes at ${ramBase}`);
    }
    const pages = (layout.RAM_AT + ramSize) / PAGE;
    this.#memory = new wasm.Memory({ initial: pages, maximum: pages });
    this.ram = new Uint8Array(this.#memory.buffer, layout.RAM_AT, ramSize);
    this.ramBase = ramBase;
    this.#whole = new DataView(this.#memory.buffer);
    this.state = new DataView(this.#memory.buffer, 0, layout.RAM_AT);
    const { exports } = new wasm.Instance(options.module, {
      env: { memory: this.#memory },
      host: {
        busRead: (address: number, size: number) => this.#read(address, size),
        busWrite: (address: number, size: number, value: number) =>
          this.#write(address, size, value),
        sysregRead: (register: number) => this.#bus?.readSystem?.(register) ?? 0,
        sysregWrite: (register: number, value: number) =>
          this.#bus?.writeSystem?.(register, value >>> 0),
        timerLine: (level: number) => this.#bus?.timerLine(level !== 0),
      },
    });
    this.#exports = exports as unknown as Exports;
    this.#initialise(options);
  }

  /** Everything the core does not keep in RAM goes this way. */
  connect(bus: Bus): void {
    this.#bus = bus;
  }

  /**
   * Runs at most `budget` instructions; why it came back: STOP_* of layout.ts. The budget may be
   * passed by the few instructions that a slice ends late.
   */
  run(budget: number): number {
    return this.#exports.run(budget);
  }

  /** WFI: lets time pass until the timer's interrupt; false when it will never come. */
  skipToDeadline(): boolean {
    return this.#exports.skipToDeadline() !== 0;
  }

  /** When the timer's interrupt is due, in virtual time; undefined when it is off. */
  get deadline(): bigint | undefined {
    const due = BigInt.asUintN(64, this.#exports.timerDeadline());
    return due === NEVER ? undefined : due;
  }

  /** Virtual time follows another clock: it goes on to `time`, and never back. */
  passTime(time: bigint): void {
    if (time > this.clock) this.state.setBigUint64(layout.CLOCK, time, true);
  }

  /** The instruction at a virtual address, as the CPU would fetch it now; undefined without one. */
  fetch(address: bigint): number | undefined {
    const at = this.#exports.codeAt(address) >>> 0;
    return at === 0 ? undefined : this.#whole.getUint32(at, true);
  }

  /** x0 to x30; 31 is the stack pointer in use. */
  getX(index: number): bigint {
    return this.state.getBigUint64(layout.REGS + 8 * (index === 31 ? 32 : index), true);
  }

  setX(index: number, value: bigint): void {
    this.state.setBigUint64(layout.REGS + 8 * (index === 31 ? 32 : index), value, true);
  }

  get pc(): bigint {
    return this.state.getBigUint64(layout.PC, true);
  }

  set pc(value: bigint) {
    this.state.setBigUint64(layout.PC, value, true);
  }

  /** 0 or 1. */
  get el(): number {
    return this.state.getUint32(layout.EL, true);
  }

  /** Instructions retired since reset. */
  get retired(): bigint {
    return this.state.getBigUint64(layout.RETIRED, true);
  }

  /** Virtual time in instructions, with those that were slept away. */
  get clock(): bigint {
    return this.state.getBigUint64(layout.CLOCK, true);
  }

  /** The instruction that stopped the machine, after STOP_UNSUPPORTED and STOP_SYSREG. */
  get stopWord(): number {
    return this.state.getUint32(layout.STOP_WORD, true);
  }

  /** Makes `run` come back after the instruction that uses the bus now. */
  set hold(value: boolean) {
    this.#whole.setUint32(layout.HOLD, value ? 1 : 0, true);
  }

  /** The interrupt controller's signal to the CPU. */
  set irq(level: boolean) {
    this.state.setUint32(layout.IRQ_LINE, level ? 1 : 0, true);
  }

  get irq(): boolean {
    return this.state.getUint32(layout.IRQ_LINE, true) !== 0;
  }

  /** All state but RAM. */
  saveState(): Uint8Array {
    return new Uint8Array(
      this.#memory.buffer,
      layout.STATE,
      layout.STATE_END - layout.STATE,
    ).slice();
  }

  /** @throws RangeError when it is not the state of a core like this */
  restoreState(bytes: Uint8Array): void {
    if (bytes.length !== layout.STATE_END - layout.STATE) {
      throw new RangeError(`CPU state of ${bytes.length} bytes`);
    }
    new Uint8Array(this.#memory.buffer).set(bytes, layout.STATE);
    this.#exports.restored();
  }

  /** Lets instructions and virtual time go on counting after a reset. */
  continueFrom(retired: bigint, clock: bigint): void {
    this.state.setBigUint64(layout.RETIRED, retired, true);
    this.state.setBigUint64(layout.CLOCK, clock, true);
  }

  #initialise({ fp = false, gicRegisters }: CoreOptions): void {
    new Uint8Array(this.#memory.buffer).set(decodeTable(), layout.DECODE);
    installSysregs(this.state, { fp, ...(gicRegisters ? { gicRegisters } : {}) });
    this.state.setUint32(layout.RAM_SIZE, this.ram.length, true);
    this.state.setBigUint64(layout.RAM_BASE, this.ramBase, true);
    this.state.setUint32(layout.FEATURES, fp ? layout.FEATURE_FP : 0, true);
    // Reset: EL1 with its own stack pointer, everything masked.
    this.state.setUint32(layout.EL, 1, true);
    this.state.setUint32(layout.SPSEL, 1, true);
    this.state.setUint32(layout.DAIF, 0x3c0, true);
    // N, Z, C, V clear.
    this.state.setBigInt64(layout.FZ, 1n, true);
    this.#exports.initialise();
  }

  #read(address: number, size: number): number {
    const value = this.#bus?.read(address, size);
    if (value === undefined) this.state.setUint32(layout.BUS_ERROR, 1, true);
    return value ?? 0;
  }

  #write(address: number, size: number, value: number): void {
    const answer = this.#bus?.write(address, size, value >>> 0) ?? this.#bus !== undefined;
    if (!answer) this.state.setUint32(layout.BUS_ERROR, 1, true);
  }
}
