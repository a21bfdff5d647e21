// Registers of a GIC of architecture version 2 (ARM IHI 0048B.b, 4.3 Distributor, 4.4 CPU interface).

export const GICD_SIZE = 0x1000;
export const GICD_CTLR = 0x000;
export const GICD_TYPER = 0x004;
export const GICD_IIDR = 0x008;
export const GICD_IGROUPR = 0x080;
export const GICD_ISENABLER = 0x100;
export const GICD_ICENABLER = 0x180;
export const GICD_ISPENDR = 0x200;
export const GICD_ICPENDR = 0x280;
export const GICD_ISACTIVER = 0x300;
export const GICD_ICACTIVER = 0x380;
export const GICD_IPRIORITYR = 0x400;
export const GICD_ITARGETSR = 0x800;
export const GICD_ICFGR = 0xc00;
export const GICD_SGIR = 0xf00;
export const GICD_ICPIDR2 = 0xfe8;

export const GICC_SIZE = 0x2000;
export const GICC_CTLR = 0x0000;
export const GICC_PMR = 0x0004;
export const GICC_BPR = 0x0008;
export const GICC_IAR = 0x000c;
export const GICC_EOIR = 0x0010;
export const GICC_RPR = 0x0014;
export const GICC_HPPIR = 0x0018;
export const GICC_ABPR = 0x001c;
export const GICC_APR = 0x00d0;
export const GICC_IIDR = 0x00fc;
export const GICC_DIR = 0x1000;

/** GICC_CTLR: EOIR only drops the priority, DIR deactivates. */
export const GICC_CTLR_EOIMODE = 1 << 9;

/** What IAR answers when nothing is pending. */
export const GIC_SPURIOUS = 1023;
/** Private peripheral interrupts and SPIs start at these interrupt numbers. */
export const GIC_PPI_FIRST = 16;
export const GIC_SPI_FIRST = 32;
export const GIC_SPI_LAST = 1019;
