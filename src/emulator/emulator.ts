import { setImmediate as nextTurn } from 'node:timers/promises';

import { GuestMemory } from '../memory/index.ts';
import { Brake } from './brake.ts';
import { ConsoleLog } from './console-log.ts';
import { Core, type Bus } from './core.ts';
import * as layout from './core/layout.ts';
import { listing } from './disassemble.ts';
import { Gic } from './gicv2.ts';
import { Gicv3, ICC_REGISTERS } from './gicv3.ts';
import { Its, type ItsState } from './its.ts';
import { place, readImage } from './image.ts';
import type { Outcome, Whereabouts } from './outcome.ts';
import { PlacedRam } from './pages.ts';
import { Pl011 } from './pl011.ts';
import { psciCall } from './psci.ts';
import type {
  BootFiles,
  CpuSideState,
  EmulatorOptions,
  EmulatorState,
  RunOptions,
  Surroundings,
} from './contract.ts';
import type { RealTime } from './real-time.ts';
import { regionBus, type Region } from './regions.ts';
import { sysregName } from './sysregs.ts';
import { VIRT_UART_BASE, VIRT_UART_SPI } from '../spec/virt-board.ts';

/** Where QEMU's `virt` machine has its RAM and its GICv2. */
export const EMULATOR_RAM_BASE = 0x4000_0000n;
export const EMULATOR_GICD_BASE = 0x0800_0000;
export const EMULATOR_GICC_BASE = 0x0801_0000;
/** Where it has the redistributor of a GICv3. */
export const EMULATOR_GICR_BASE = 0x080a_0000;
/** The virtual timer's interrupt: PPI 11. */
const TIMER_INTERRUPT = 27;
/** Instructions between two looks at the event loop: some 50 ms. */
const TURN = 5_000_000;
/** The same in real time, where a timer's interrupt can come no earlier than a turn ends: some 5 ms. */
const REAL_TURN = 500_000;
/** Nanoseconds that a run in real time takes at most. */
const REAL_RUN = 1_000_000_000n;
/** Instructions between two rounds of what devices put off: some 200 µs of the guest's time. */
const WORK_INTERVAL = 200_000n;
/** What a reset puts back; an ITS comes later than the others. */
type DeviceState = Pick<CpuSideState, 'cpu' | 'gic' | 'uart'>;

/** Rounds of a device's work in one sleep; a device that feeds itself must not stop time. */
const SLEEP_ROUNDS_MAX = 1000;

/**
 * A machine with one AArch64 CPU, GICv2, generic timer, PL011 and PSCI.
 *
 * Its `regions` go on the machine's bus; `connect` gives the CPU that bus. Without one, the machine
 * has nothing else. Same inputs at the same instruction counts give the same run, bit for bit.
 */
export class Emulator {
  readonly core: Core;
  readonly memory: GuestMemory;
  readonly gic: Gic;
  readonly #gicv3: Gicv3 | undefined;
  readonly #its = new Map<string, Its>();
  readonly uart: Pl011;
  readonly regions: readonly Region[];
  readonly console: ConsoleLog;
  /** What the boot put into RAM since power-on. */
  readonly placed: PlacedRam;
  /** The CPU, the interrupt controllers and the UART as they were when the machine was made. */
  readonly #powerOn: DeviceState;
  readonly #itsPowerOn = new Map<string, ItsState>();
  #work: (() => boolean) | undefined;
  #nextWork = 0n;
  readonly #brake = new Brake();
  /** A sleep that is not over: rounds of work done, and what the last one said. */
  #sleep: { round: number; more: boolean | undefined } | undefined;
  /** Of a run in real time; and whether it sleeps until a timer or somebody else wakes it. */
  #time: RealTime | undefined;
  #isIdle = false;

  constructor(options: EmulatorOptions) {
    const isV3 = options.gic === 3;
    this.core = new Core({
      ...options,
      ramBase: EMULATOR_RAM_BASE,
      ...(isV3 ? { gicRegisters: ICC_REGISTERS } : {}),
    });
    this.placed = new PlacedRam(this.core.ram);
    this.memory = new GuestMemory([{ gpa: EMULATOR_RAM_BASE, bytes: this.core.ram }]);
    this.console = new ConsoleLog(options.onLine);
    const signal = (level: boolean): void => void (this.core.irq = level);
    this.#gicv3 = isV3 ? new Gicv3(signal, this.memory) : undefined;
    this.gic = this.#gicv3 ?? new Gic(signal);
    this.uart = new Pl011(
      (level) => this.gic.setLine(VIRT_UART_SPI, level),
      (byte) => {
        options.onByte?.(byte);
        this.console.put(byte);
      },
    );
    this.regions = [
      ...this.gic.regions(EMULATOR_GICD_BASE, isV3 ? EMULATOR_GICR_BASE : EMULATOR_GICC_BASE),
      this.uart.region(Number(VIRT_UART_BASE)),
    ];
    this.connect(regionBus(this.regions, () => undefined));
    this.#powerOn = {
      cpu: this.core.saveState(),
      gic: this.#gicv3?.saveV3() ?? this.gic.save(),
      uart: this.uart.save(),
    };
  }

  /**
   * Reset of the machine: CPU, interrupt controllers and UART are as at power-on. RAM stays as it is,
   * and time goes on. Devices on the bus are their machine's to reset; then `load`.
   */
  reset(): void {
    const { retired, clock } = this.core;
    this.placed.clear();
    this.#restoreDevices(this.#powerOn, [...this.#itsPowerOn]);
    this.core.continueFrom(retired, clock);
  }

  /** Puts the CPU on a bus; `regions` must be on it. */
  connect(rest: Surroundings): void {
    const bus: Bus = {
      read: (address, size) => rest.read(address, size),
      write: (address, size, value) => rest.write(address, size, value),
      timerLine: (level) => this.#timer(level),
      readSystem: (register) => this.#gicv3?.readSystem(register),
      writeSystem: (register, value) => void this.#gicv3?.writeSystem(register, value),
    };
    this.core.connect(bus);
    this.#work = rest.work?.bind(rest);
  }

  /**
   * Adds an ITS, named as its doorbell; its registers must go on the bus.
   * @throws RangeError beside a GICv2
   */
  addIts(name: string, base: number): Region {
    if (this.#gicv3 === undefined) throw new RangeError(`${name}: a GICv2 has no ITS`);
    const its = new Its(this.#gicv3, this.memory);
    this.#its.set(name, its);
    this.#itsPowerOn.set(name, its.save());
    return its.region(base);
  }

  /** A device's write to an ITS; false when there is no such ITS, or no such event in it. */
  message(its: string, deviceId: number, eventId: number): boolean {
    return this.#its.get(its)?.translate(deviceId, eventId) ?? false;
  }

  /**
   * Loads a kernel for a boot with a device tree (Linux Documentation/arch/arm64/booting.rst).
   * @throws FormatError `image/…` for a kernel that cannot be booted here
   */
  load(files: BootFiles): void {
    const { core } = this;
    const image = readImage(files.kernel);
    const at = place(core.ram.length, image, files.initrd.length);
    const initrd = core.ramBase + BigInt(at.initrd);
    this.placed.put(at.kernel, image.bytes);
    this.placed.put(at.initrd, files.initrd);
    this.placed.put(at.dtb, files.dtb(initrd, initrd + BigInt(files.initrd.length)));
    core.setX(0, core.ramBase + BigInt(at.dtb));
    core.pc = core.ramBase + BigInt(at.kernel);
  }

  /** Runs until something ends it, and lets the event loop have its turn now and then. */
  async run(options: RunOptions): Promise<Outcome> {
    if (options.realTime !== undefined) return this.#runReal(options, options.realTime);
    let left = options.budget;
    while (left > 0) {
      if (options.signal?.aborted) return { kind: 'aborted', ...this.#whereabouts() };
      const before = this.core.retired;
      const outcome = await this.#until(before + BigInt(Math.min(left, TURN)), options.signal);
      if (outcome !== undefined) return outcome;
      left -= Number(this.core.retired - before);
      await nextTurn();
    }
    return { kind: 'budget', ...this.#whereabouts() };
  }

  async #runReal({ budget, signal }: RunOptions, time: RealTime): Promise<Outcome> {
    const { core } = this;
    const end = time.now() + REAL_RUN;
    const last = core.retired + BigInt(Math.min(budget, Number.MAX_SAFE_INTEGER));
    this.#time = time;
    try {
      while (core.retired < last && time.now() < end) {
        core.passTime(time.now());
        const turn = core.retired + BigInt(REAL_TURN);
        const outcome = await this.#until(turn < last ? turn : last, signal);
        if (outcome !== undefined) return outcome;
        await (this.#isIdle ? this.#idle(time, end, signal) : nextTurn());
      }
    } finally {
      this.#time = undefined;
    }
    return { kind: 'budget', ...this.#whereabouts() };
  }

  async #idle(time: RealTime, end: bigint, signal: AbortSignal | undefined): Promise<void> {
    this.#isIdle = false;
    const due = this.core.deadline;
    await time.sleep(due === undefined || due > end ? end : due, signal);
  }

  /**
   * Stops the guest after the instruction that it is in; a device calls it from within an event.
   * `run` waits then until `release`. The run is the same, bit for bit, as without.
   */
  hold(): void {
    this.#brake.hold();
    this.core.hold = true;
  }

  release(): void {
    this.core.hold = false;
    this.#brake.release();
  }

  /** Runs at most `budget` instructions without a pause; undefined when they are used up, or held. */
  advance(budget: number): Outcome | undefined {
    return this.#advanceTo(this.core.retired + BigInt(budget));
  }

  /** To a count of instructions, however often the machine is held on the way there. */
  async #until(limit: bigint, signal: AbortSignal | undefined): Promise<Outcome | undefined> {
    for (;;) {
      await this.#brake.released(signal);
      if (signal?.aborted === true) return { kind: 'aborted', ...this.#whereabouts() };
      const outcome = this.#advanceTo(limit);
      if (outcome !== undefined || !this.#brake.held) return outcome;
    }
  }

  #advanceTo(limit: bigint): Outcome | undefined {
    const { core } = this;
    for (;;) {
      if (this.#sleep !== undefined) {
        const outcome = this.#stopped(layout.STOP_WFI);
        if (outcome !== undefined || this.#brake.held || this.#isIdle) return outcome;
      }
      if (this.#work !== undefined && core.retired >= this.#nextWork) {
        this.#work();
        this.#nextWork = core.retired + WORK_INTERVAL;
      }
      if (this.#brake.held) return undefined;
      const until = this.#work === undefined || limit < this.#nextWork ? limit : this.#nextWork;
      const left = Number(until - core.retired);
      if (left <= 0 && until === limit) return undefined;
      const outcome = this.#stopped(core.run(left));
      if (outcome !== undefined || this.#brake.held || this.#isIdle) return outcome;
    }
  }

  save(): EmulatorState {
    return { ...this.saveCpuSide(), ram: this.core.ram.slice() };
  }

  /** Everything but RAM; between two instructions only. */
  saveCpuSide(): CpuSideState {
    const { round, more } = this.#sleep ?? {};
    const sleep =
      round === undefined ? undefined : { round, ...(more === undefined ? {} : { more }) };
    return {
      cpu: this.core.saveState(),
      gic: this.#gicv3?.saveV3() ?? this.gic.save(),
      its: Array.from(this.#its, ([name, its]) => [name, its.save()] as const),
      uart: this.uart.save(),
      console: this.console.save(),
      work: { next: this.#nextWork, ...(sleep === undefined ? {} : { sleep }) },
    };
  }

  /** @throws RangeError when the state is of a machine with other RAM */
  restore(state: EmulatorState): void {
    if (state.ram.length !== this.core.ram.length) {
      throw new RangeError(`state with ${state.ram.length} bytes of RAM`);
    }
    this.core.ram.set(state.ram);
    this.restoreCpuSide(state);
  }

  /** RAM stays as it is. @throws RangeError when the state is of another machine */
  restoreCpuSide(state: CpuSideState): void {
    this.#restoreDevices(state, state.its);
    this.console.restore(state.console);
    const { next, sleep } = state.work;
    this.#nextWork = next;
    this.#sleep = sleep && { round: sleep.round, more: sleep.more };
  }

  #restoreDevices(state: DeviceState, itss: CpuSideState['its']): void {
    this.#sleep = undefined;
    this.core.restoreState(state.cpu);
    this.uart.restore(state.uart);
    for (const [name, its] of itss) this.#its.get(name)?.restore(its);
    if (this.#gicv3 !== undefined && 'lpis' in state.gic) this.#gicv3.restoreV3(state.gic);
    else this.gic.restore(state.gic);
  }

  /** What ends a sleep: a device's interrupt, else the timer's. `held`: it is not over. */
  #wakes(): boolean | 'held' {
    const sleep = (this.#sleep ??= { round: 0, more: undefined });
    let hasIrq = false;
    for (; sleep.round < SLEEP_ROUNDS_MAX; sleep.round++) {
      sleep.more ??= this.#work?.() ?? false;
      if (this.#brake.held) return 'held';
      hasIrq = this.core.irq;
      if (hasIrq || !sleep.more) break;
      sleep.more = undefined;
    }
    this.#sleep = undefined;
    if (hasIrq) return true;
    if (this.#time === undefined) return this.core.skipToDeadline();
    const { deadline } = this.core;
    if (deadline === undefined) this.#isIdle = this.#time.open;
    else this.#isIdle = deadline > this.#time.now();
    return this.#isIdle || this.core.skipToDeadline();
  }

  #timer(level: boolean): void {
    this.gic.setLevel(TIMER_INTERRUPT, level);
  }

  #stopped(reason: number): Outcome | undefined {
    const { core } = this;
    switch (reason) {
      case layout.STOP_WFI:
        if (this.#wakes() !== false) return undefined;
        return { kind: 'asleep', ...this.#whereabouts() };
      case layout.STOP_HVC: {
        const answer = psciCall(core);
        return answer === 'resume' ? undefined : { kind: answer, ...this.#whereabouts() };
      }
      case layout.STOP_SYSREG:
        return this.#unsupported(sysregName(core.stopWord));
      case layout.STOP_UNSUPPORTED:
        return this.#unsupported('instruction');
      default:
        return undefined;
    }
  }

  #unsupported(what: string): Outcome {
    const word = this.core.stopWord;
    const code = listing((address) => this.core.fetch(address), this.core.pc);
    return { kind: 'unsupported', word, what, listing: code, ...this.#whereabouts() };
  }

  #whereabouts(): Whereabouts {
    const { core } = this;
    return {
      pc: core.pc,
      el: core.el,
      instructions: core.retired,
      // 62.5 MHz, 16 instructions to a tick: one nanosecond each.
      nanoseconds: core.clock,
      lastLines: this.console.last(),
    };
  }
}
