import {
  GICC_ABPR,
  GICC_APR,
  GICC_BPR,
  GICC_CTLR,
  GICC_CTLR_EOIMODE,
  GICC_DIR,
  GICC_EOIR,
  GICC_HPPIR,
  GICC_IAR,
  GICC_IIDR,
  GICC_PMR,
  GICC_RPR,
  GICC_SIZE,
} from '../spec/gicv2.ts';
import type { GicInterrupts } from './gic-interrupts.ts';
import type { Region } from './regions.ts';

/** Architecture version 2, implementer Arm. */
const IIDR = 0x0002_043b;
const INTERRUPT_ID = 0x3ff;

/** The CPU interface of a GICv2: GICC. */
export class CpuInterface {
  /** GICC_CTLR, GICC_PMR, GICC_BPR. */
  control = 0;
  mask = 0;
  binaryPoint = 0;
  readonly #gic: GicInterrupts;

  constructor(gic: GicInterrupts) {
    this.#gic = gic;
  }

  region(base: number): Region {
    return {
      name: 'gic cpu interface',
      base,
      size: GICC_SIZE,
      read: (offset) => this.#read(offset & ~3),
      write: (offset, _size, value) => this.#write(offset & ~3, value),
    };
  }

  #read(offset: number): number {
    switch (offset) {
      case GICC_CTLR:
        return this.control;
      case GICC_PMR:
        return this.mask;
      case GICC_BPR:
      case GICC_ABPR:
        return this.binaryPoint;
      case GICC_IAR:
        return this.#gic.acknowledge();
      case GICC_RPR:
        return Math.min(this.#gic.runningPriority, 0xff);
      case GICC_HPPIR:
        return this.#gic.highest();
      case GICC_IIDR:
        return IIDR;
      default:
        // GICC_APR: an active priority would be a bit; Linux only clears them.
        return 0;
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case GICC_CTLR:
        this.control = value & (GICC_CTLR_EOIMODE | 1);
        this.#gic.update();
        break;
      case GICC_PMR:
        this.mask = value & 0xff;
        this.#gic.update();
        break;
      case GICC_BPR:
        this.binaryPoint = value & 7;
        break;
      case GICC_EOIR:
        this.#gic.end(value & INTERRUPT_ID, (this.control & GICC_CTLR_EOIMODE) === 0);
        break;
      case GICC_DIR:
        this.#gic.deactivate(value & INTERRUPT_ID);
        break;
      case GICC_APR:
      default:
        break;
    }
  }
}
