/**
 * The core beside QEMU, instruction by instruction: program counter, all general registers, stack
 * pointer and flags before each.
 *
 * The machines differ in known ways, and there the core follows: what it reads of identification and
 * timer registers and of devices it gets from QEMU, and interrupts come when QEMU takes them. An
 * instruction that QEMU's CPU announces and the core lacks (CRC32) is skipped with QEMU's results. All
 * of this is counted. Anything else that differs ends the run.
 */
import { disassemble } from '../../src/emulator/disassemble.ts';
import { Core, EMULATOR_RAM_BASE, type WasmModule } from '../../src/emulator/index.ts';
import * as layout from '../../src/emulator/core/layout.ts';
import { LockstepQemu, STATE_PC, STATE_PSTATE, type LockstepBoot } from './lockstep-qemu.ts';

export interface LockstepReport {
  /** Instructions after which all registers were compared. */
  readonly compared: number;
  /** Reads of identification and timer registers, reads of devices, hypercalls. */
  readonly followed: number;
  readonly interrupts: number;
  /** Instructions that the core lacks, by their word. */
  readonly skipped: ReadonlyMap<number, number>;
  /** What differed that should not. */
  readonly divergence?: string;
}

/** Of SPSR: N, Z, C, V, D, A, I, F, and the exception level with its stack pointer. */
const PSTATE_COMPARED = 0xf000_03cf;
const RECENT = 12;

/** @param alter changes the core's memory before the first instruction: to see that it is noticed */
export async function lockstep(
  module: WasmModule,
  boot: LockstepBoot,
  count: number,
  alter?: (ram: Uint8Array) => void,
): Promise<LockstepReport> {
  const qemu = await LockstepQemu.start(boot);
  try {
    const ram = await qemu.ram(EMULATOR_RAM_BASE);
    alter?.(ram);
    const pair = new Pair(module, boot.ram << 20, ram);
    for await (const state of qemu.states()) {
      if (!pair.step(state) || pair.compared >= count) break;
    }
    return pair.report();
  } finally {
    await qemu.end();
  }
}

class Pair {
  compared = 0;
  readonly #core: Core;
  readonly #own: Uint32Array;
  readonly #before = new Uint32Array(STATE_PSTATE + 1);
  readonly #skipped = new Map<number, number>();
  readonly #recent: bigint[] = [];
  #followed = 0;
  #interrupts = 0;
  #deviceRead = false;
  #divergence: string | undefined;
  /** The instruction whose registers are QEMU's to say, and which of them. */
  #follow: readonly number[] = [];

  constructor(module: WasmModule, ramSize: number, ram: Uint8Array) {
    this.#core = new Core({ module, ramBase: EMULATOR_RAM_BASE, ramSize, fp: true });
    this.#core.ram.set(ram);
    this.#core.pc = EMULATOR_RAM_BASE;
    const { state } = this.#core;
    this.#own = new Uint32Array(state.buffer, state.byteOffset + layout.REGS, 66);
    this.#core.connect({
      read: () => {
        this.#deviceRead = true;
        return 0;
      },
      write: () => true,
      timerLine: () => undefined,
    });
    // QEMU's reset sets Z; registers are what it left in them.
    state.setBigInt64(layout.FZ, 0n, true);
    this.#follow = [...Array(32).keys()];
  }

  report(): LockstepReport {
    return {
      compared: this.compared,
      followed: this.#followed,
      interrupts: this.#interrupts,
      skipped: this.#skipped,
      ...(this.#divergence === undefined ? {} : { divergence: this.#divergence }),
    };
  }

  /** Compares with QEMU's next state and executes what is there; false when they have parted. */
  step(theirs: Uint32Array): boolean {
    for (const register of this.#follow) this.#adopt(theirs, register);
    this.#follow = [];
    if (this.#differs(theirs)) {
      // QEMU tells a state again when its time slice ended before the instruction.
      if (this.#before.every((value, index) => value === theirs[index])) return true;
      if (!this.#takesInterrupt(theirs)) {
        this.#divergence = this.#describe(theirs);
        return false;
      }
    }
    this.compared++;
    this.#before.set(theirs);
    this.#execute();
    return true;
  }

  #execute(): void {
    const core = this.#core;
    const { pc } = core;
    this.#recent.push(pc);
    if (this.#recent.length > RECENT) this.#recent.shift();
    const word = core.fetch(pc) ?? 0;
    this.#deviceRead = false;
    const reason = core.run(1);
    if (core.irq) core.irq = false;
    if (reason === layout.STOP_UNSUPPORTED || reason === layout.STOP_SYSREG) {
      this.#skipped.set(word, (this.#skipped.get(word) ?? 0) + 1);
      core.pc = pc + 4n;
      this.#follow = [...Array(32).keys()];
    } else if (reason === layout.STOP_HVC) {
      this.#followed++;
      this.#follow = [0, 1, 2, 3];
    } else if (this.#deviceRead || isForeignRead(word)) {
      this.#followed++;
      this.#follow = [word & 31].filter((register) => register !== 31);
    }
  }

  /** Whether QEMU is at the vector of an interrupt that we could take; then we do. */
  #takesInterrupt(theirs: Uint32Array): boolean {
    const core = this.#core;
    const vbar = core.state.getBigUint64(layout.SYSREGS + 8 * layout.SR_VBAR, true);
    const vector = vbar + (core.el === 0 ? 0x480n : 0x280n);
    const masked = (core.state.getUint32(layout.DAIF, true) & 0x80) !== 0;
    if (masked || pcOf(theirs) !== vector) return false;
    this.#interrupts++;
    // Taken before the instruction that is executed next, which is the vector's first.
    core.irq = true;
    return true;
  }

  #adopt(theirs: Uint32Array, register: number): void {
    const slot = register === 31 ? layout.SP_SLOT / 4 : 2 * register;
    this.#own[slot] = theirs[2 * register] ?? 0;
    this.#own[slot + 1] = theirs[2 * register + 1] ?? 0;
  }

  #differs(theirs: Uint32Array): boolean {
    const own = this.#own;
    for (let n = 0; n < 62; n++) if (own[n] !== theirs[n]) return true;
    if (own[64] !== theirs[62] || own[65] !== theirs[63]) return true;
    const { state } = this.#core;
    if (state.getUint32(layout.PC, true) !== theirs[STATE_PC]) return true;
    if (state.getUint32(layout.PC + 4, true) !== theirs[STATE_PC + 1]) return true;
    return ((this.#pstate() ^ (theirs[STATE_PSTATE] ?? 0)) & PSTATE_COMPARED) !== 0;
  }

  #pstate(): number {
    const { state } = this.#core;
    const negative = state.getInt32(layout.FN + 4, true) < 0;
    const zero =
      state.getUint32(layout.FZ, true) === 0 && state.getUint32(layout.FZ + 4, true) === 0;
    const overflow = state.getInt32(layout.FV + 4, true) < 0;
    return (
      (Number(negative) << 31) |
      (Number(zero) << 30) |
      (state.getUint32(layout.FC, true) << 29) |
      (Number(overflow) << 28) |
      state.getUint32(layout.DAIF, true) |
      (state.getUint32(layout.EL, true) << 2) |
      state.getUint32(layout.SPSEL, true)
    );
  }

  #describe(theirs: Uint32Array): string {
    const core = this.#core;
    const differing = [...Array(32).keys()].flatMap((register) => {
      const [own, their] = [core.getX(register), valueOf(theirs, register)];
      const name = register === 31 ? 'sp' : `x${register}`;
      return own === their ? [] : [`${name} ${own.toString(16)}, QEMU ${their.toString(16)}`];
    });
    const pstate = (theirs[STATE_PSTATE] ?? 0) & PSTATE_COMPARED;
    return [
      `after ${this.compared} instructions`,
      `pc ${core.pc.toString(16)}, QEMU ${pcOf(theirs).toString(16)}`,
      `pstate ${((this.#pstate() & PSTATE_COMPARED) >>> 0).toString(16)}, QEMU ${(pstate >>> 0).toString(16)}`,
      ...differing,
      'before that:',
      ...this.#recent.map((pc) => {
        const word = core.fetch(pc) ?? 0;
        return `  ${pc.toString(16)} ${word.toString(16).padStart(8, '0')} ${disassemble(word)}`;
      }),
    ].join('\n');
  }
}

function valueOf(state: Uint32Array, register: number): bigint {
  return (BigInt(state[2 * register + 1] ?? 0) << 32n) | BigInt(state[2 * register] ?? 0);
}

function pcOf(state: Uint32Array): bigint {
  return valueOf(state, STATE_PC / 2);
}

/** MRS of what identifies the CPU (CRn 0), and of the timer (CRn 14). */
function isForeignRead(word: number): boolean {
  if (word >>> 20 !== 0xd53 || ((word >>> 19) & 1) === 0) return false;
  const crn = (word >>> 12) & 15;
  return crn === 0 || crn === 14;
}
