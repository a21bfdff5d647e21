import type { CpuInterface } from './gic-cpu.ts';
import type { GicInterrupts } from './gic-interrupts.ts';
import { GIC_SPURIOUS, GICC_CTLR_EOIMODE } from '../spec/gicv2.ts';
import * as icc from '../spec/gicv3.ts';

/** Priorities have 5 bits, as a Cortex-A53's. */
const PRIORITY_MASK = 0xf8;
const CTLR = 4 << icc.CTLR_PRIBITS_SHIFT;
const INTERRUPT_ID = 0xff_ffff;

/** The CPU interface of a GICv3: system registers, with the state of version 2's. */
export class SystemInterface {
  readonly #cpu: CpuInterface;
  readonly #gic: GicInterrupts;

  constructor(cpu: CpuInterface, gic: GicInterrupts) {
    this.#cpu = cpu;
    this.#gic = gic;
  }

  /** MRS of the register with that key; undefined: it is none of these. */
  read(register: number): number | undefined {
    const { control, mask, binaryPoint } = this.#cpu;
    switch (register) {
      case icc.ICC_PMR_EL1:
        return mask;
      case icc.ICC_IAR1_EL1:
        return this.#gic.acknowledge();
      case icc.ICC_HPPIR1_EL1:
        return this.#gic.highest();
      case icc.ICC_RPR_EL1:
        return Math.min(this.#gic.runningPriority, 0xff);
      case icc.ICC_BPR1_EL1:
        return binaryPoint;
      case icc.ICC_CTLR_EL1:
        return CTLR | ((control & GICC_CTLR_EOIMODE) === 0 ? 0 : icc.CTLR_EOIMODE);
      case icc.ICC_SRE_EL1:
        return icc.SRE_ALWAYS;
      case icc.ICC_IGRPEN1_EL1:
        return control & 1;
      case icc.ICC_IAR0_EL1:
      case icc.ICC_HPPIR0_EL1:
        return GIC_SPURIOUS;
      default:
        return isQuiet(register) ? 0 : undefined;
    }
  }

  /** MSR; false: it is none of these. */
  write(register: number, word: number): boolean {
    const cpu = this.#cpu;
    switch (register) {
      case icc.ICC_PMR_EL1:
        cpu.mask = word & PRIORITY_MASK;
        break;
      case icc.ICC_EOIR1_EL1:
        this.#gic.end(word & INTERRUPT_ID, (cpu.control & GICC_CTLR_EOIMODE) === 0);
        break;
      case icc.ICC_DIR_EL1:
        this.#gic.deactivate(word & INTERRUPT_ID);
        break;
      case icc.ICC_BPR1_EL1:
        cpu.binaryPoint = word & 7;
        break;
      case icc.ICC_CTLR_EL1:
        cpu.control = (cpu.control & 1) | (word & icc.CTLR_EOIMODE ? GICC_CTLR_EOIMODE : 0);
        break;
      case icc.ICC_IGRPEN1_EL1:
        cpu.control = (cpu.control & ~1) | (word & 1);
        break;
      case icc.ICC_SGI1R_EL1:
        this.#softwareInterrupt(word);
        break;
      default:
        // SRE cannot be turned off; the rest has nothing behind it.
        return register === icc.ICC_SRE_EL1 || isQuiet(register);
    }
    this.#gic.update();
    return true;
  }

  /** To the CPUs of the list, of which there is number 0. */
  #softwareInterrupt(word: number): void {
    if ((word & 1) !== 0) this.#gic.latched[(word >>> 24) & 15] = 1;
  }
}

/** Registers that read as zero and take anything: group 0, and the active priorities. */
function isQuiet(register: number): boolean {
  return (
    (register >= icc.ICC_EOIR0_EL1 && register < icc.ICC_AP0R0_EL1 + 4) ||
    (register >= icc.ICC_AP1R0_EL1 && register < icc.ICC_AP1R0_EL1 + 4) ||
    register === icc.ICC_IGRPEN0_EL1 ||
    register === icc.ICC_ASGI1R_EL1 ||
    register === icc.ICC_SGI0R_EL1
  );
}
