import * as layout from './core/layout.ts';

/** How a system register is reached: op0, op1, CRn, CRm, op2. */
type Encoding = readonly [op0: number, op1: number, crn: number, crm: number, op2: number];

interface Register {
  readonly name: string;
  readonly at: Encoding;
  /** Value after reset; default 0. */
  readonly reset?: bigint;
  /** Slot that the core gives a meaning to; default a free one. */
  readonly slot?: number;
  readonly readOnly?: boolean;
  /** What EL0 may do; default nothing. */
  readonly el0?: 'read' | 'write';
}

/** What the CPU has. */
export interface SysregOptions {
  readonly fp: boolean;
  /**
   * Registers of a GICv3's CPU interface, as op0[0]:op1:CRn:CRm:op2: the bus answers for them, and
   * ID_AA64PFR0_EL1 says so. Default none.
   */
  readonly gicRegisters?: readonly number[];
}

/** Instructions per second of virtual time are this times 2^TICK_SHIFT. */
export const COUNTER_HZ = 62_500_000n;

/** ID_AA64PFR0_EL1: AArch64 only at EL0 and EL1, no EL2, no EL3; FP and AdvSIMD. */
const PFR0_LEVELS = 0x11n;
const PFR0_NO_FP = 0xff_0000n;

/** ID_AA64PFR0_EL1.GIC: the CPU interface is system registers. */
const PFR0_GICV3 = 1n << 24n;

function identification({ fp, gicRegisters }: SysregOptions): Register[] {
  const gicv3 = gicRegisters !== undefined;
  const id = (name: string, crm: number, op2: number, reset = 0n): Register => ({
    name,
    at: [3, 0, 0, crm, op2],
    reset,
    readOnly: true,
  });
  const aarch32 = [1, 2, 3].flatMap((crm) =>
    [0, 1, 2, 3, 4, 5, 6, 7].map((op2) => id(`ID32_${crm}_${op2}`, crm, op2)),
  );
  const reserved = [4, 5, 6, 7].flatMap((crm) =>
    [0, 1, 2, 3, 4, 5, 6, 7].map((op2) => id(`ID64_${crm}_${op2}`, crm, op2)),
  );
  const known = [
    // Cortex-A53 r0p4, without its AArch32 state and its CRC32 and crypto instructions.
    id('MIDR_EL1', 0, 0, 0x410f_d034n),
    id('MPIDR_EL1', 0, 5, 0x8000_0000n),
    id('REVIDR_EL1', 0, 6),
    id('ID_AA64PFR0_EL1', 4, 0, PFR0_LEVELS | (fp ? 0n : PFR0_NO_FP) | (gicv3 ? PFR0_GICV3 : 0n)),
    // Debug architecture v8, 6 breakpoints, 4 watchpoints, no PMU.
    id('ID_AA64DFR0_EL1', 5, 0, 0x1030_5006n),
    // 16-bit ASIDs, 40-bit addresses, 4 KiB pages and no other.
    id('ID_AA64MMFR0_EL1', 7, 0, 0x0f00_0022n),
  ];
  const names = new Map([...aarch32, ...reserved].map((reg) => [key(reg.at), reg]));
  for (const reg of known) names.set(key(reg.at), reg);
  return [...names.values()];
}

function breakpoints(): Register[] {
  const make = (kind: string, op2: number, count: number): Register[] =>
    Array.from({ length: count }, (_, n) => ({ name: `${kind}${n}_EL1`, at: [2, 0, 0, n, op2] }));
  return [
    ...make('DBGBVR', 4, 6),
    ...make('DBGBCR', 5, 6),
    ...make('DBGWVR', 6, 4),
    ...make('DBGWCR', 7, 4),
  ];
}

const CONTROL: readonly Register[] = [
  // Reset: MMU and caches off, as a Cortex-A53 has it.
  { name: 'SCTLR_EL1', at: [3, 0, 1, 0, 0], slot: layout.SR_SCTLR, reset: 0xc5_0838n },
  { name: 'ACTLR_EL1', at: [3, 0, 1, 0, 1] },
  { name: 'CPACR_EL1', at: [3, 0, 1, 0, 2], slot: layout.SR_CPACR },
  { name: 'TTBR0_EL1', at: [3, 0, 2, 0, 0], slot: layout.SR_TTBR0 },
  { name: 'TTBR1_EL1', at: [3, 0, 2, 0, 1], slot: layout.SR_TTBR1 },
  { name: 'TCR_EL1', at: [3, 0, 2, 0, 2], slot: layout.SR_TCR },
  { name: 'SPSR_EL1', at: [3, 0, 4, 0, 0], slot: layout.SR_SPSR },
  { name: 'ELR_EL1', at: [3, 0, 4, 0, 1], slot: layout.SR_ELR },
  { name: 'SP_EL0', at: [3, 0, 4, 1, 0], slot: layout.SR_SP_EL0 },
  { name: 'SPSel', at: [3, 0, 4, 2, 0], slot: layout.SR_SPSEL },
  { name: 'CurrentEL', at: [3, 0, 4, 2, 2], slot: layout.SR_CURRENTEL, readOnly: true },
  { name: 'NZCV', at: [3, 3, 4, 2, 0], slot: layout.SR_NZCV, el0: 'write' },
  { name: 'DAIF', at: [3, 3, 4, 2, 1], slot: layout.SR_DAIF },
  { name: 'FPCR', at: [3, 3, 4, 4, 0], slot: layout.SR_FPCR, el0: 'write' },
  { name: 'FPSR', at: [3, 3, 4, 4, 1], slot: layout.SR_FPSR, el0: 'write' },
  { name: 'AFSR0_EL1', at: [3, 0, 5, 1, 0] },
  { name: 'AFSR1_EL1', at: [3, 0, 5, 1, 1] },
  { name: 'ESR_EL1', at: [3, 0, 5, 2, 0], slot: layout.SR_ESR },
  { name: 'FAR_EL1', at: [3, 0, 6, 0, 0], slot: layout.SR_FAR },
  { name: 'PAR_EL1', at: [3, 0, 7, 4, 0], slot: layout.SR_PAR },
  { name: 'MAIR_EL1', at: [3, 0, 10, 2, 0] },
  { name: 'AMAIR_EL1', at: [3, 0, 10, 3, 0] },
  { name: 'VBAR_EL1', at: [3, 0, 12, 0, 0], slot: layout.SR_VBAR },
  { name: 'ISR_EL1', at: [3, 0, 12, 1, 0], readOnly: true },
  { name: 'CONTEXTIDR_EL1', at: [3, 0, 13, 0, 1] },
  { name: 'TPIDR_EL1', at: [3, 0, 13, 0, 4] },
  { name: 'TPIDR_EL0', at: [3, 3, 13, 0, 2], el0: 'write' },
  { name: 'TPIDRRO_EL0', at: [3, 3, 13, 0, 3], el0: 'read' },
  { name: 'CLIDR_EL1', at: [3, 1, 0, 0, 1], reset: 0xa20_0023n, readOnly: true },
  { name: 'CCSIDR_EL1', at: [3, 1, 0, 0, 0], reset: 0x700f_e01an, readOnly: true },
  { name: 'CSSELR_EL1', at: [3, 2, 0, 0, 0] },
  { name: 'CTR_EL0', at: [3, 3, 0, 0, 1], reset: 0x8444_8004n, readOnly: true, el0: 'read' },
  {
    name: 'DCZID_EL0',
    at: [3, 3, 0, 0, 7],
    slot: layout.SR_DCZID,
    reset: 4n,
    readOnly: true,
    el0: 'read',
  },
  { name: 'AIDR_EL1', at: [3, 1, 0, 0, 7], readOnly: true },
  { name: 'MDSCR_EL1', at: [2, 0, 0, 2, 2] },
  { name: 'OSLAR_EL1', at: [2, 0, 1, 0, 4] },
  { name: 'OSLSR_EL1', at: [2, 0, 1, 1, 4], reset: 0x8n, readOnly: true },
  { name: 'OSDLR_EL1', at: [2, 0, 1, 3, 4] },
  { name: 'MDRAR_EL1', at: [2, 0, 1, 0, 0], readOnly: true },
];

const TIMER: readonly Register[] = [
  { name: 'CNTFRQ_EL0', at: [3, 3, 14, 0, 0], reset: COUNTER_HZ, readOnly: true, el0: 'read' },
  { name: 'CNTPCT_EL0', at: [3, 3, 14, 0, 1], slot: layout.SR_CNTVCT, readOnly: true, el0: 'read' },
  { name: 'CNTVCT_EL0', at: [3, 3, 14, 0, 2], slot: layout.SR_CNTVCT, readOnly: true, el0: 'read' },
  { name: 'CNTV_TVAL_EL0', at: [3, 3, 14, 3, 0], slot: layout.SR_CNTV_TVAL },
  { name: 'CNTV_CTL_EL0', at: [3, 3, 14, 3, 1], slot: layout.SR_CNTV_CTL },
  { name: 'CNTV_CVAL_EL0', at: [3, 3, 14, 3, 2], slot: layout.SR_CNTV_CVAL },
  { name: 'CNTKCTL_EL1', at: [3, 0, 14, 1, 0] },
];

/** The bits of an MRS or MSR that name the register: op0[0]:op1:CRn:CRm:op2. */
function key([op0, op1, crn, crm, op2]: Encoding): number {
  return ((op0 & 1) << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2;
}

/** The register that an MRS or MSR names, for people: its name, or `S3_0_C4_C2_0`. */
export function sysregName(insn: number): string {
  const bits = (insn >>> 5) & 0x7fff;
  const known = [...identification({ fp: false }), ...breakpoints(), ...CONTROL, ...TIMER].find(
    ({ at }) => key(at) === bits,
  );
  if (known !== undefined) return known.name;
  const op0 = 2 + (bits >>> 14);
  const op2 = bits & 7;
  return `S${op0}_${(bits >>> 11) & 7}_C${(bits >>> 7) & 15}_C${(bits >>> 3) & 15}_${op2}`;
}

/** Fills the map from encodings to slots and presets the registers, in the core's memory. */
export function installSysregs(data: DataView, options: SysregOptions): void {
  let next = layout.SR_FREE;
  for (const register of [...identification(options), ...breakpoints(), ...CONTROL, ...TIMER]) {
    const slot = register.slot ?? next++;
    let entry = slot;
    if (register.readOnly) entry |= layout.SYSREG_READ_ONLY;
    if (register.el0 === 'write') entry |= layout.SYSREG_EL0;
    if (register.el0 === 'read') entry |= layout.SYSREG_EL0_READ;
    data.setUint16(layout.SYSREG_MAP + 2 * key(register.at), entry, true);
    data.setBigUint64(layout.SYSREGS + 8 * slot, register.reset ?? 0n, true);
  }
  for (const at of options.gicRegisters ?? [])
    data.setUint16(layout.SYSREG_MAP + 2 * at, layout.SR_HOST, true);
  if (next > layout.SYSREG_SLOTS) throw new RangeError(`${next} slots of system registers`);
}
