import { GIC_INTERRUPTS } from './gic-interrupts.ts';
import type { Distributor } from './gic-distributor.ts';
import type { Region } from './regions.ts';
import { GICD_CTLR, GICD_TYPER } from '../spec/gicv2.ts';
import {
  GICV3_ARCH_REV,
  GICV3_DIST_SIZE,
  GICV3_PIDR2,
  GICD_CTLR_GROUPS,
  GICD_CTLR_ARE,
  GICD_CTLR_DS,
  GICD_TYPER_IDBITS_SHIFT,
  GICD_TYPER_LPIS,
} from '../spec/gicv3.ts';
import { LPI_ID_BITS } from './gic-lpis.ts';

/** The banks that version 2 has, too, end here. */
const BANKS_END = 0xf00;

const TYPER =
  (GIC_INTERRUPTS / 32 - 1) | GICD_TYPER_LPIS | ((LPI_ID_BITS - 1) << GICD_TYPER_IDBITS_SHIFT);

/**
 * The distributor's registers as version 3 has them: the banks of version 2, with affinity routing
 * always on. There is one CPU, so GICD_IROUTER reads as zero and takes nothing.
 */
export function distributorV3(distributor: Distributor, base: number): Region {
  const banks = distributor.region(base);
  return {
    name: 'gic distributor',
    base,
    size: GICV3_DIST_SIZE,
    read: (offset, size) => {
      if (offset === GICD_CTLR)
        return (distributor.on ? GICD_CTLR_GROUPS : 0) | GICD_CTLR_ARE | GICD_CTLR_DS;
      if (offset === GICD_TYPER) return TYPER;
      if (offset === GICV3_PIDR2) return GICV3_ARCH_REV;
      return offset < BANKS_END ? banks.read(offset, size) : 0;
    },
    write: (offset, size, value) => {
      // Group 1 is the only one here; group 0 stays off.
      if (offset === GICD_CTLR) banks.write(offset, size, (value >>> 1) & 1);
      else if (offset < BANKS_END) banks.write(offset, size, value);
    },
  };
}
