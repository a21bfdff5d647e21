/** Floating-point lanes: operations of three registers. */
import { refine } from './fp-estimate.ts';
import { fusedMultiplyAdd } from './fp-fused.ts';
import {
  absolute,
  fp2,
  FP_ABD,
  FP_ADD,
  FP_DIV,
  FP_MAX,
  FP_MAXNM,
  FP_MIN,
  FP_MINNM,
  FP_MUL,
  FP_MULX,
  FP_SUB,
  negate,
  wide,
} from './fp-math.ts';
import { begin, finish, lane, result, vd, vm, vn } from './lanes.ts';

/** FCMEQ FCMGE FCMGT of two lanes: 0, 1, 2; all ones when true. */
export function compareLanes(kind: u32, size: u32, a: u64, b: u64): u64 {
  const x = wide(size, a);
  const y = wide(size, b);
  const holds = kind == 0 ? x == y : kind == 1 ? x >= y : x > y;
  return holds ? -1 : 0;
}

const NONE: u32 = 0xff;

/** FP_* of an opcode with U and bit 23, or NONE. */
function plainKind(opcode: u32, u: bool, a: bool): u32 {
  switch (opcode) {
    case 24:
      return a ? FP_MINNM : FP_MAXNM;
    case 26:
      if (u) return a ? FP_ABD : FP_ADD;
      return a ? FP_SUB : FP_ADD;
    case 27:
      if (a) return NONE;
      return u ? FP_MUL : FP_MULX;
    case 30:
      return a ? FP_MIN : FP_MAX;
    case 31:
      return u && !a ? FP_DIV : NONE;
    default:
      return NONE;
  }
}

/** False for what is not in the set. */
export function fpThreeSame(insn: u32, scalar: bool): bool {
  const opcode = (insn >>> 11) & 31;
  const size: u32 = insn & 0x400000 ? 3 : 2;
  const u = (insn & 0x20000000) != 0;
  const a = (insn & 0x800000) != 0;
  const whole = (insn & 0x40000000) != 0;
  if (!scalar && size == 3 && !whole) return false;
  const count: u32 = scalar ? 1 : (whole ? 16 : 8) >>> size;
  const isPairwise = u && (opcode == 24 || opcode == 30 || (opcode == 26 && !a));
  const isCompare = opcode == 28 || (opcode == 29 && u);
  const isFused = opcode == 25 && !u;
  const isStep = opcode == 31 && !u;
  const kind = plainKind(opcode, u, a);
  // FCMEQ has no form with bit 23 set; scalar: compares, FABD, FMULX and steps.
  if (isCompare && !u && a) return false;
  if (!isCompare && !isFused && !isStep && kind == NONE) return false;
  if (scalar && !isCompare && !isStep && kind != FP_ABD && kind != FP_MULX) return false;
  const half = count >>> 1;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    let x = lane(vn(insn), size, n);
    let y = lane(vm(insn), size, n);
    if (isPairwise) {
      const from = n < half ? vn(insn) : vm(insn);
      const first = 2 * (n < half ? n : n - half);
      x = lane(from, size, first);
      y = lane(from, size, first + 1);
    }
    if (isFused) {
      if (a) x = negate(size, x);
      result(size, n, fusedMultiplyAdd(size, lane(vd(insn), size, n), x, y));
    } else if (isStep) result(size, n, refine(a, size, x, y));
    else if (isCompare) {
      if (opcode == 29) {
        x = absolute(size, x);
        y = absolute(size, y);
      }
      result(size, n, compareLanes(u ? (a ? 2 : 1) : 0, size, x, y));
    } else result(size, n, fp2(kind, size, x, y));
  }
  return finish(vd(insn));
}
