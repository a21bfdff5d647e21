// Registers of a GIC of architecture version 3 (ARM IHI 0069H), beside those of gicv2.ts that have the
// same offsets in the distributor and in the redistributor's SGI frame.

export const GICV3_DIST_SIZE = 0x1_0000;
export const GICV3_PIDR2 = 0xffe8;
/** PIDR2.ArchRev of GICv3. */
export const GICV3_ARCH_REV = 0x30;
/** GICD_CTLR: the two groups, affinity routing, one Security state. */
export const GICD_CTLR_GROUPS = 0x3;
export const GICD_CTLR_ARE = 1 << 4;
export const GICD_CTLR_DS = 1 << 6;
/** GICD_TYPER: LPIs are supported; IDbits - 1 from bit 19. */
export const GICD_TYPER_LPIS = 1 << 17;
export const GICD_TYPER_IDBITS_SHIFT = 19;

export const GICR_SIZE = 0x2_0000;
export const GICR_CTLR = 0x0000;
export const GICR_TYPER = 0x0008;
export const GICR_WAKER = 0x0014;
export const GICR_PROPBASER = 0x0070;
export const GICR_PENDBASER = 0x0078;
export const GICR_SGI_FRAME = 0x1_0000;
/** GICR_TYPER: physical LPIs, the last redistributor. */
export const GICR_TYPER_PLPIS = 1;
export const GICR_TYPER_LAST = 1 << 4;
export const GICR_WAKER_PROCESSOR_SLEEP = 1 << 1;
export const GICR_WAKER_CHILDREN_ASLEEP = 1 << 2;

export const GITS_SIZE = 0x2_0000;
export const GITS_CTLR = 0x0000;
export const GITS_TYPER = 0x0008;
export const GITS_CBASER = 0x0080;
export const GITS_CWRITER = 0x0088;
export const GITS_CREADR = 0x0090;
/** The tables that a guest gives an ITS: GITS_BASER0 to 7. */
export const GITS_BASER = 0x0100;
export const GITS_BASER_COUNT = 8;
/** GITS_BASER: what a table is for, bits 58-56. */
export const GITS_BASER_TYPE_DEVICE = 1;
export const GITS_BASER_TYPE_COLLECTION = 4;
export const GITS_CTLR_ENABLED = 1;
export const GITS_CTLR_QUIESCENT = 0x8000_0000;

export const GITS_CMD_SIZE = 32;
export const GITS_CMD_MOVI = 0x01;
export const GITS_CMD_INT = 0x03;
export const GITS_CMD_CLEAR = 0x04;
export const GITS_CMD_SYNC = 0x05;
export const GITS_CMD_MAPD = 0x08;
export const GITS_CMD_MAPC = 0x09;
export const GITS_CMD_MAPTI = 0x0a;
export const GITS_CMD_MAPI = 0x0b;
export const GITS_CMD_INV = 0x0c;
export const GITS_CMD_INVALL = 0x0d;
export const GITS_CMD_DISCARD = 0x0f;

export const GIC_LPI_FIRST = 8192;
/** A byte of the LPI configuration table: enabled, and the priority in bits 7 to 2. */
export const LPI_ENABLED = 1;
export const LPI_PRIORITY = 0xfc;

/** System registers of the CPU interface, as op0[0]:op1:CRn:CRm:op2 of MRS and MSR. */
export const ICC_PMR_EL1 = icc(4, 6, 0);
export const ICC_IAR0_EL1 = icc(12, 8, 0);
export const ICC_EOIR0_EL1 = icc(12, 8, 1);
export const ICC_HPPIR0_EL1 = icc(12, 8, 2);
export const ICC_BPR0_EL1 = icc(12, 8, 3);
export const ICC_AP0R0_EL1 = icc(12, 8, 4);
export const ICC_AP1R0_EL1 = icc(12, 9, 0);
export const ICC_DIR_EL1 = icc(12, 11, 1);
export const ICC_RPR_EL1 = icc(12, 11, 3);
export const ICC_SGI1R_EL1 = icc(12, 11, 5);
export const ICC_ASGI1R_EL1 = icc(12, 11, 6);
export const ICC_SGI0R_EL1 = icc(12, 11, 7);
export const ICC_IAR1_EL1 = icc(12, 12, 0);
export const ICC_EOIR1_EL1 = icc(12, 12, 1);
export const ICC_HPPIR1_EL1 = icc(12, 12, 2);
export const ICC_BPR1_EL1 = icc(12, 12, 3);
export const ICC_CTLR_EL1 = icc(12, 12, 4);
export const ICC_SRE_EL1 = icc(12, 12, 5);
export const ICC_IGRPEN0_EL1 = icc(12, 12, 6);
export const ICC_IGRPEN1_EL1 = icc(12, 12, 7);

/** ICC_CTLR_EL1: EOImode; bits of a priority, less one. */
export const CTLR_EOIMODE = 1 << 1;
export const CTLR_PRIBITS_SHIFT = 8;
/** ICC_SRE_EL1: system registers only, no bypass. */
export const SRE_ALWAYS = 7;

function icc(crn: number, crm: number, op2: number): number {
  return (1 << 14) | (crn << 7) | (crm << 3) | op2;
}
