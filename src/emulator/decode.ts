import * as ops from './core/ops.ts';

/**
 * insn[31:21] of every instruction the core knows, `x` for either value, first match wins
 * (Arm ARM DDI 0487, C4.1 A64 instruction set encoding). The rest is `UNSUPPORTED`.
 */
const RULES: readonly (readonly [pattern: string, op: number])[] = [
  ['00000000000', ops.OP_UDF],
  // Data processing, immediate.
  ['0xx10000xxx', ops.OP_ADR],
  ['1xx10000xxx', ops.OP_ADRP],
  ...wide('x00100010xx', ops.OP_ADD_IMM_W, ops.OP_ADD_IMM_X),
  ...wide('x01100010xx', ops.OP_ADDS_IMM_W, ops.OP_ADDS_IMM_X),
  ...wide('x10100010xx', ops.OP_SUB_IMM_W, ops.OP_SUB_IMM_X),
  ...wide('x11100010xx', ops.OP_SUBS_IMM_W, ops.OP_SUBS_IMM_X),
  ...logicalImmediate('00', ops.OP_AND_IMM_W, ops.OP_AND_IMM_X),
  ...logicalImmediate('01', ops.OP_ORR_IMM_W, ops.OP_ORR_IMM_X),
  ...logicalImmediate('10', ops.OP_EOR_IMM_W, ops.OP_EOR_IMM_X),
  ...logicalImmediate('11', ops.OP_ANDS_IMM_W, ops.OP_ANDS_IMM_X),
  ['100100101xx', ops.OP_MOVN],
  ['0001001010x', ops.OP_MOVN],
  ['110100101xx', ops.OP_MOVZ],
  ['0101001010x', ops.OP_MOVZ],
  ['111100101xx', ops.OP_MOVK],
  ['0111001010x', ops.OP_MOVK],
  // N must equal sf; 32-bit forms have immr[5] clear.
  ['00010011000', ops.OP_SBFM_W],
  ['00110011000', ops.OP_BFM_W],
  ['01010011000', ops.OP_UBFM_W],
  ['1001001101x', ops.OP_SBFM_X],
  ['1011001101x', ops.OP_BFM_X],
  ['1101001101x', ops.OP_UBFM_X],
  ['00010011100', ops.OP_EXTR],
  ['10010011110', ops.OP_EXTR],
  // Branches, exceptions, system.
  ['000101xxxxx', ops.OP_B],
  ['100101xxxxx', ops.OP_BL],
  ['01010100xxx', ops.OP_B_COND],
  ...wide('x0110100xxx', ops.OP_CBZ_W, ops.OP_CBZ_X),
  ...wide('x0110101xxx', ops.OP_CBNZ_W, ops.OP_CBNZ_X),
  ['x0110110xxx', ops.OP_TBZ],
  ['x0110111xxx', ops.OP_TBNZ],
  ['11010100xxx', ops.OP_EXCEPTION],
  ['1101010100x', ops.OP_SYSTEM],
  ['1101011xxxx', ops.OP_BR_REG],
  // Loads and stores.
  ['xx001000xxx', ops.OP_EXCLUSIVE],
  ['xx011000xxx', ops.OP_LDR_LITERAL],
  ['0010100xx0x', ops.OP_STP_W],
  ['0010100xx1x', ops.OP_LDP_W],
  ['0110100011x', ops.OP_LDPSW],
  ['01101001x1x', ops.OP_LDPSW],
  ['1010100xx0x', ops.OP_STP_X],
  ['1010100xx1x', ops.OP_LDP_X],
  ...loadsAndStores('01', 'x', ops.OP_STRB_UIMM),
  ...loadsAndStores('00', '0', ops.OP_STRB_IMM9),
  ...loadsAndStores('00', '1', ops.OP_STRB_REG),
  // Data processing, register.
  ...logicalShifted('00', ops.OP_AND_SHIFT_W, ops.OP_AND_SHIFT_X),
  ...logicalShifted('01', ops.OP_ORR_SHIFT_W, ops.OP_ORR_SHIFT_X),
  ...logicalShifted('10', ops.OP_EOR_SHIFT_W, ops.OP_EOR_SHIFT_X),
  ...logicalShifted('11', ops.OP_ANDS_SHIFT_W, ops.OP_ANDS_SHIFT_X),
  ...addShifted('00', ops.OP_ADD_SHIFT_W, ops.OP_ADD_SHIFT_X),
  ...addShifted('01', ops.OP_ADDS_SHIFT_W, ops.OP_ADDS_SHIFT_X),
  ...addShifted('10', ops.OP_SUB_SHIFT_W, ops.OP_SUB_SHIFT_X),
  ...addShifted('11', ops.OP_SUBS_SHIFT_W, ops.OP_SUBS_SHIFT_X),
  ['xxx01011001', ops.OP_ADD_SUB_EXT],
  ['xxx11010000', ops.OP_ADC_SBC],
  ['xx111010010', ops.OP_CCMP],
  ...wide('xx011010100', ops.OP_CSEL_W, ops.OP_CSEL_X),
  ['x0011010110', ops.OP_TWO_SOURCE],
  ['x1011010110', ops.OP_ONE_SOURCE],
  ...wide('x0011011000', ops.OP_MADD_W, ops.OP_MADD_X),
  ['10011011001', ops.OP_MADD_LONG],
  ['10011011101', ops.OP_MADD_LONG],
  ['10011011010', ops.OP_MUL_HIGH],
  ['10011011110', ops.OP_MUL_HIGH],
  // Floating point and Advanced SIMD.
  ['xxxx110xxxx', ops.OP_FP_LOAD_STORE],
  ['xxxx111xxxx', ops.OP_FP_DATA],
];

/** The same encoding with sf (bit 31) clear and set. */
function wide(pattern: string, w: number, x: number): [string, number][] {
  return [
    [`0${pattern.slice(1)}`, w],
    [`1${pattern.slice(1)}`, x],
  ];
}

/** N (bit 22) may be set in 64-bit forms only. */
function logicalImmediate(opc: string, w: number, x: number): [string, number][] {
  return [
    [`0${opc}1001000x`, w],
    [`1${opc}100100xx`, x],
  ];
}

/** shift (bits 23 and 22) is LSL, LSR or ASR; 11 is unallocated. */
function addShifted(opS: string, w: number, x: number): [string, number][] {
  return ['00', '01', '10'].flatMap((shift) => [
    [`0${opS}01011${shift}0`, w] as [string, number],
    [`1${opS}01011${shift}0`, x] as [string, number],
  ]);
}

/** N (bit 21) takes the complement of the second operand. */
function logicalShifted(opc: string, w: number, x: number): [string, number][] {
  return [
    [`0${opc}01010xx0`, w],
    [`1${opc}01010xx0`, x],
    [`0${opc}01010xx1`, ops.OP_COMPLEMENT_W],
    [`1${opc}01010xx1`, ops.OP_COMPLEMENT_X],
  ];
}

/** Loads and stores of one register: size and opc count up in the order of the OP_ numbers. */
function loadsAndStores(mode: string, bit21: string, first: number): [string, number][] {
  const sizesAndOpcs =
    '0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1100 1101 1110'.split(' ');
  return sizesAndOpcs.map((bits, index) => [
    `${bits.slice(0, 2)}1110${mode}${bits.slice(2)}${bit21}`,
    first + index,
  ]);
}

/** The table the core decodes with: `OP_*` for each of the 2048 values of insn[31:21]. */
export function decodeTable(): Uint8Array {
  const table = new Uint8Array(2048).fill(ops.OP_UNSUPPORTED);
  // Backwards, so that the first match has the last word.
  for (const [pattern, op] of RULES.toReversed()) {
    const free = bitsOf(pattern, 'x');
    const fixed = bitsOf(pattern, '1');
    // All subsets of the free bits, from none to all.
    for (let subset = 0; ; subset = (subset - free) & free) {
      table[fixed | subset] = op;
      if (subset === free) break;
    }
  }
  return table;
}

/** The bits of a pattern that are this character. */
function bitsOf(pattern: string, character: string): number {
  return Number.parseInt(Array.from(pattern, (one) => (one === character ? '1' : '0')).join(''), 2);
}
