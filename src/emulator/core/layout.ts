/**
 * Where everything lies in the core's linear memory, and the numbers both sides use.
 *
 * Read by AssemblyScript and by TypeScript alike: nothing here but untyped integers. All state of the
 * CPU lies in [STATE, STATE_END), so that a snapshot is a copy of those bytes and of the RAM.
 */

export const STATE = 0x1000;
export const STATE_END = 0x3000;

/** x0 to x30, a slot that always reads zero, the stack pointer in use; 8 bytes each. */
export const REGS = 0x1000;
/** Offsets from REGS. */
export const ZERO_SLOT = 0xf8;
export const SP_SLOT = 0x100;
/** u64; exact only between slices and when an exception is taken. */
export const PC = 0x1110;
/** What an address in the current code page is above its place in linear memory; u64. */
export const PC_OFFSET = 0x1118;
/** 0 or 1; u32. */
export const EL = 0x1120;
export const SPSEL = 0x1124;
/** D, A, I, F as PSTATE has them: bits 9 to 6; u32. */
export const DAIF = 0x1128;
/** 0, or EVENT_*: why the loop must be left; u32. */
export const EVENT = 0x112c;
/** Values that flags follow from: N is the sign of FN, Z means FZ is 0, V is the sign of FV. */
export const FN = 0x1130;
export const FZ = 0x1138;
export const FV = 0x1140;
/** 0 or 1; u32. */
export const FC = 0x1148;
/** Exclusive monitor: whether it is set, u32, and for which place in linear memory, u32. */
export const MONITOR = 0x114c;
export const MONITOR_AT = 0x1150;
/** Set by the interrupt controller: an IRQ is signalled; u32. */
export const IRQ_LINE = 0x1154;
/** The stack pointers not in use: SP_EL0, SP_EL1. */
export const SP_BANK = 0x1158;
/** Virtual time in instructions: retired ones, and those that WFI skipped; u64. */
export const CLOCK = 0x1168;
/** Instructions retired; u64. */
export const RETIRED = 0x1170;
/** What the timer's output was when last told to the interrupt controller; u32. */
export const TIMER_LINE = 0x1178;
/** STOP_*: why `run` came back; u32. */
export const STOP = 0x117c;
/** The instruction that stopped the machine; u32. */
export const STOP_WORD = 0x1180;
/** Set by a bus that nothing answered on; u32. */
export const BUS_ERROR = 0x1184;
/** Base of the data and instruction TLB of the exception level; u32 each. */
export const DTLB = 0x1188;
export const ITLB = 0x118c;
/** Bytes of RAM, u32; its first physical address, u64. */
export const RAM_SIZE = 0x1190;
export const RAM_BASE = 0x1198;
/** FEATURE_* bits; u32. */
export const FEATURES = 0x11a0;
export const FPCR = 0x11a4;
export const FPSR = 0x11a8;
/** Where the slice, and where the run of instructions without a branch end if the code goes on; u32. */
export const SLICE_END = 0x11b0;
export const RUN_END = 0x11b4;
/** What the clock is when the slice is over; u64. */
export const SLICE_CLOCK = 0x11b8;
/** Which parts of the address space the TLBs hold pages of blocks of: a bit for a hash of 2 MiB. */
export const BLOCK_MAP = 0x1200;
export const BLOCK_MAP_SIZE = 0x80;

/** Storage of system registers, 8 bytes for each slot. */
export const SYSREGS = 0x1400;
export const SYSREG_SLOTS = 256;
/** v0 to v31, 16 bytes each. */
export const VREGS = 0x2000;

/** Where vector results are made, and vectors are read to; 64 bytes. */
export const VRESULT = 0x2200;
export const VSCRATCH = 0x2220;

/** Not 0: `run` comes back after the instruction that it is in; u32. No part of the CPU's state. */
export const HOLD = 0x3000;

/** insn[31:21] to OP_*, a byte each. */
export const DECODE = 0x4000;
/** DecodeBitMasks for N:imms:immr (13 bits), 8 bytes each. */
export const BITMASKS = 0x8000;
/** o0:op1:CRn:CRm:op2 (15 bits) to slot and SYSREG_* bits, 2 bytes each. */
export const SYSREG_MAP = 0x20000;
export const SYSREG_READ_ONLY = 0x8000;
export const SYSREG_EL0 = 0x4000;
/** EL0 may read it only. */
export const SYSREG_EL0_READ = 0x2000;
export const SYSREG_SLOT_MASK = 0xff;

/** TLBs, of EL0 then of EL1. Data: tag for reads, for writes, addend. Instructions: tag, addend. */
export const DTLB_EL0 = 0x40000;
export const DTLB_BYTES = 0x8000;
export const ITLB_EL0 = 0x50000;
export const ITLB_BYTES = 0x4000;
export const TLB_ENTRIES = 1024;
export const TLBS_END = 0x58000;

/** Places of TLB entries that are not global, u32 each, and how many there are, u32. */
export const LOCAL_LIST = 0x60000;
export const LOCAL_LIST_MAX = 4096;
export const LOCAL_COUNT = 0x64000;

/** RAM starts here in linear memory. */
export const RAM_AT = 0x100000;

export const EVENT_FAULT = 1;
/** The bus was used: interrupts may have changed. */
export const EVENT_BUS = 2;
export const EVENT_STOP = 3;

export const STOP_BUDGET = 0;
export const STOP_WFI = 1;
export const STOP_HVC = 2;
/** An instruction, or a form of one, that this core does not have. */
export const STOP_UNSUPPORTED = 3;
/** A system register, or a value of one, that this core does not have. */
export const STOP_SYSREG = 4;
/** HOLD was set. */
export const STOP_HOLD = 5;

export const FEATURE_FP = 1;

/** Instructions per tick of the 62.5 MHz counter, as a shift. */
export const TICK_SHIFT = 4;

// Slots of the system registers that the core itself uses. Below SR_PLAIN they have logic of their
// own; the others are storage.
export const SR_SCTLR = 1;
export const SR_TTBR0 = 2;
export const SR_TTBR1 = 3;
export const SR_TCR = 4;
export const SR_NZCV = 5;
export const SR_DAIF = 6;
export const SR_CURRENTEL = 7;
export const SR_SPSEL = 8;
export const SR_SP_EL0 = 9;
export const SR_CNTVCT = 10;
export const SR_CNTV_CTL = 11;
export const SR_CNTV_CVAL = 12;
export const SR_CNTV_TVAL = 13;
export const SR_FPCR = 14;
export const SR_FPSR = 15;
export const SR_DCZID = 16;
/** The interrupt controller's: the host is asked. */
export const SR_HOST = 17;
export const SR_PLAIN = 20;
export const SR_VBAR = 20;
export const SR_ELR = 21;
export const SR_SPSR = 22;
export const SR_ESR = 23;
export const SR_FAR = 24;
export const SR_CPACR = 25;
export const SR_PAR = 26;
/** First slot that the core gives no meaning to. */
export const SR_FREE = 32;
