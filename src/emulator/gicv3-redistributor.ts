import type { Distributor } from './gic-distributor.ts';
import type { Lpis } from './gic-lpis.ts';
import type { Region } from './regions.ts';
import { GICD_ICFGR, GICD_IPRIORITYR, GICD_ISENABLER } from '../spec/gicv2.ts';
import {
  GICV3_ARCH_REV,
  GICV3_PIDR2,
  GICR_CTLR,
  GICR_SGI_FRAME,
  GICR_PENDBASER,
  GICR_PROPBASER,
  GICR_SIZE,
  GICR_TYPER,
  GICR_TYPER_LAST,
  GICR_TYPER_PLPIS,
  GICR_WAKER,
  GICR_WAKER_CHILDREN_ASLEEP,
  GICR_WAKER_PROCESSOR_SLEEP,
} from '../spec/gicv3.ts';

/** Implementer Arm. */
const IIDR = 0x0000_043b;
const GICR_IIDR = 0x04;
const GICR_CTLR_ENABLE_LPIS = 1;
/** Interrupts that belong to one CPU: SGIs and PPIs. */
const PRIVATE = 32;

/** The redistributor of the only CPU: its LPIs, and its private interrupts. */
export class Redistributor {
  /** GICR_WAKER.ProcessorSleep. */
  asleep = true;
  /** GICR_PENDBASER: kept for the guest; what is pending is known here. */
  pendingTable = 0n;
  readonly #distributor: Distributor;
  readonly #lpis: Lpis;
  readonly #changed: () => void;

  constructor(distributor: Distributor, lpis: Lpis, changed: () => void) {
    this.#distributor = distributor;
    this.#lpis = lpis;
    this.#changed = changed;
  }

  region(base: number): Region {
    const banks = this.#distributor.region(base);
    const isPrivate = (offset: number): boolean =>
      offset < GICD_ISENABLER
        ? false
        : offset < GICD_IPRIORITYR
          ? (offset & 0x7f) < PRIVATE / 8
          : offset < GICD_ICFGR
            ? offset < GICD_IPRIORITYR + PRIVATE
            : offset < GICD_ICFGR + PRIVATE / 4;
    return {
      name: 'gic redistributor',
      base,
      size: GICR_SIZE,
      read: (offset, size) => {
        if (offset < GICR_SGI_FRAME) return this.#read(offset);
        const inner = offset - GICR_SGI_FRAME;
        return isPrivate(inner) ? banks.read(inner, size) : 0;
      },
      write: (offset, size, value) => {
        if (offset < GICR_SGI_FRAME) this.#write(offset, value);
        else if (isPrivate(offset - GICR_SGI_FRAME))
          banks.write(offset - GICR_SGI_FRAME, size, value);
      },
    };
  }

  #read(offset: number): number {
    switch (offset) {
      case GICR_CTLR:
        return this.#lpis.on ? GICR_CTLR_ENABLE_LPIS : 0;
      case GICR_IIDR:
        return IIDR;
      case GICR_TYPER:
        return GICR_TYPER_PLPIS | GICR_TYPER_LAST;
      case GICR_WAKER:
        return this.asleep ? GICR_WAKER_PROCESSOR_SLEEP | GICR_WAKER_CHILDREN_ASLEEP : 0;
      case GICR_PROPBASER:
      case GICR_PROPBASER + 4:
        return half(this.#lpis.table, offset - GICR_PROPBASER);
      case GICR_PENDBASER:
      case GICR_PENDBASER + 4:
        return half(this.pendingTable, offset - GICR_PENDBASER);
      case GICV3_PIDR2:
        return GICV3_ARCH_REV;
      default:
        return 0;
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case GICR_CTLR:
        this.#lpis.on = (value & GICR_CTLR_ENABLE_LPIS) !== 0;
        break;
      case GICR_WAKER:
        this.asleep = (value & GICR_WAKER_PROCESSOR_SLEEP) !== 0;
        break;
      case GICR_PROPBASER:
      case GICR_PROPBASER + 4:
        this.#lpis.table = withHalf(this.#lpis.table, offset - GICR_PROPBASER, value);
        break;
      case GICR_PENDBASER:
      case GICR_PENDBASER + 4:
        this.pendingTable = withHalf(this.pendingTable, offset - GICR_PENDBASER, value);
        break;
      default:
        return;
    }
    this.#changed();
  }
}

/** The half of a 64-bit register at byte 0 or 4. */
export function half(value: bigint, at: number): number {
  return Number((value >> BigInt(8 * at)) & 0xffff_ffffn);
}

/** A 64-bit register after a write of 32 bits to byte 0 or 4. */
export function withHalf(value: bigint, at: number, word: number): bigint {
  const shift = BigInt(8 * at);
  return (value & ~(0xffff_ffffn << shift)) | (BigInt(word >>> 0) << shift);
}
