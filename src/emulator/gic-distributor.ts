import {
  GICD_CTLR,
  GICD_ICACTIVER,
  GICD_ICENABLER,
  GICD_ICFGR,
  GICD_ICPENDR,
  GICD_ICPIDR2,
  GICD_IGROUPR,
  GICD_IIDR,
  GICD_IPRIORITYR,
  GICD_ISACTIVER,
  GICD_ISENABLER,
  GICD_ISPENDR,
  GICD_ITARGETSR,
  GICD_SGIR,
  GICD_SIZE,
  GICD_TYPER,
} from '../spec/gicv2.ts';
import { GIC_INTERRUPTS, type GicInterrupts } from './gic-interrupts.ts';
import type { Region } from './regions.ts';

/** Implementer Arm. */
const IIDR = 0x0000_043b;
/** Architecture revision 2, in bits 7 to 4. */
const PIDR2 = 0x20;
const SGIS = 16;
const PRIVATE = 32;

/** The distributor of a GICv2: GICD. Bytes and words are the same registers, so all is bytewise. */
export class Distributor {
  /** GICD_CTLR: interrupts are forwarded at all. */
  on = false;
  readonly #gic: GicInterrupts;

  constructor(gic: GicInterrupts) {
    this.#gic = gic;
  }

  region(base: number): Region {
    return {
      name: 'gic distributor',
      base,
      size: GICD_SIZE,
      read: (offset, size) => this.#bytes(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
    };
  }

  #bytes(offset: number, size: number): number {
    let value = 0;
    for (let at = 0; at < size; at++) value += this.#readByte(offset + at) * 2 ** (8 * at);
    return value;
  }

  #readByte(offset: number): number {
    const gic = this.#gic;
    if (offset < GICD_IGROUPR) {
      const shift = 8 * (offset & 3);
      return (this.#word(offset & ~3) >>> shift) & 0xff;
    }
    if (offset >= GICD_IPRIORITYR && offset < GICD_IPRIORITYR + GIC_INTERRUPTS) {
      return gic.priority[offset - GICD_IPRIORITYR] ?? 0;
    }
    if (offset >= GICD_ITARGETSR && offset < GICD_ITARGETSR + GIC_INTERRUPTS) {
      return gic.target[offset - GICD_ITARGETSR] ?? 0;
    }
    if (offset >= GICD_ICFGR && offset < GICD_ICFGR + GIC_INTERRUPTS / 4) {
      const first = (offset - GICD_ICFGR) * 4;
      let value = 0;
      for (let n = 0; n < 4; n++) if (gic.edge[first + n] !== 0) value |= 2 << (2 * n);
      return value;
    }
    if (offset === GICD_ICPIDR2) return PIDR2;
    if (offset < GICD_ISENABLER || offset >= GICD_IPRIORITYR) return 0;
    const first = (offset & 0x7f) * 8;
    let value = 0;
    for (let n = 0; n < 8; n++) if (this.#bit(offset & ~0x7f, first + n)) value |= 1 << n;
    return value;
  }

  #word(offset: number): number {
    if (offset === GICD_CTLR) return this.on ? 1 : 0;
    if (offset === GICD_TYPER) return GIC_INTERRUPTS / 32 - 1;
    return offset === GICD_IIDR ? IIDR : 0;
  }

  #bit(bank: number, id: number): boolean {
    const gic = this.#gic;
    if (id >= GIC_INTERRUPTS) return false;
    switch (bank) {
      case GICD_ISENABLER:
      case GICD_ICENABLER:
        return gic.enabled[id] !== 0;
      case GICD_ISPENDR:
      case GICD_ICPENDR:
        return gic.isPending(id);
      case GICD_ISACTIVER:
      case GICD_ICACTIVER:
        return gic.active[id] !== 0;
      default:
        return false;
    }
  }

  #write(offset: number, size: number, value: number): void {
    if (offset === GICD_CTLR) this.on = (value & 1) !== 0;
    else if (offset === GICD_SGIR) this.#softwareInterrupt(value);
    else
      for (let at = 0; at < size; at++) this.#writeByte(offset + at, (value >>> (8 * at)) & 0xff);
    this.#gic.update();
  }

  #writeByte(offset: number, value: number): void {
    const gic = this.#gic;
    if (offset >= GICD_IPRIORITYR && offset < GICD_IPRIORITYR + GIC_INTERRUPTS) {
      gic.priority[offset - GICD_IPRIORITYR] = value;
    } else if (offset >= GICD_ITARGETSR + PRIVATE && offset < GICD_ITARGETSR + GIC_INTERRUPTS) {
      // Those of SGIs and PPIs are read-only.
      gic.target[offset - GICD_ITARGETSR] = value & 1;
    } else if (offset >= GICD_ICFGR && offset < GICD_ICFGR + GIC_INTERRUPTS / 4) {
      const first = (offset - GICD_ICFGR) * 4;
      for (let n = 0; n < 4; n++)
        if (first + n >= SGIS) gic.edge[first + n] = (value >>> (2 * n + 1)) & 1;
    } else if (offset >= GICD_ISENABLER && offset < GICD_IPRIORITYR) {
      const first = (offset & 0x7f) * 8;
      for (let n = 0; n < 8; n++)
        if ((value >>> n) & 1 && first + n < GIC_INTERRUPTS) this.#set(offset & ~0x7f, first + n);
    }
  }

  #set(bank: number, id: number): void {
    const gic = this.#gic;
    switch (bank) {
      case GICD_ISENABLER:
        gic.enabled[id] = 1;
        break;
      case GICD_ICENABLER:
        if (id >= SGIS) gic.enabled[id] = 0;
        break;
      case GICD_ISPENDR:
        if (id >= SGIS) gic.latched[id] = 1;
        break;
      case GICD_ICPENDR:
        if (id >= SGIS) gic.latched[id] = 0;
        break;
      case GICD_ISACTIVER:
        gic.active[id] = 1;
        break;
      case GICD_ICACTIVER:
        gic.active[id] = 0;
        break;
      default:
        break;
    }
  }

  /** GICD_SGIR: to the CPUs of the list, to all others (none), or to itself. */
  #softwareInterrupt(value: number): void {
    const filter = (value >>> 24) & 3;
    const mine = filter === 2 || (filter === 0 && ((value >>> 16) & 1) !== 0);
    if (mine) this.#gic.latched[value & 15] = 1;
  }
}
