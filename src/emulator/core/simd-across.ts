/** Advanced SIMD across the lanes of one register (Arm ARM C4.1). */
import { fp2, FP_ADD, FP_MAX, FP_MAXNM, FP_MIN, FP_MINNM } from './fp-math.ts';
import { lane, laneU, setScalar, vd, vn } from './lanes.ts';

/** ADDV, SMAXV …, SADDLV, UADDLV, FMAXV … */
export function acrossLanes(insn: u32): bool {
  const size = (insn >>> 22) & 3;
  const opcode = (insn >>> 12) & 31;
  const u = (insn & 0x20000000) != 0;
  const whole = (insn & 0x40000000) != 0;
  if (opcode == 12 || opcode == 15) return floatAcross(insn, opcode, u, whole);
  if (size == 3 || (size == 2 && !whole)) return false;
  const isLong = opcode == 3;
  const isSum = opcode == 27 && !u;
  if (!isLong && !isSum && opcode != 10 && opcode != 26) return false;
  const count: u32 = (whole ? 16 : 8) >>> size;
  let total = laneU(vn(insn), size, 0, u);
  for (let n: u32 = 1; n < count; n++) {
    const value = laneU(vn(insn), size, n, u);
    const less = u ? value < total : <i64>value < <i64>total;
    if (isLong || isSum) total += value;
    else if (opcode == 26 ? less : !less) total = value;
  }
  return setScalar(vd(insn), isLong ? size + 1 : size, total);
}

/** FMAXNMV, FMINNMV, FMAXV, FMINV: neighbours first. */
function floatAcross(insn: u32, opcode: u32, u: bool, whole: bool): bool {
  if (!u || !whole || insn & 0x400000) return false;
  const least = (insn & 0x800000) != 0;
  const kind = opcode == 12 ? (least ? FP_MINNM : FP_MAXNM) : least ? FP_MIN : FP_MAX;
  const v = vn(insn);
  const low = fp2(kind, 2, lane(v, 2, 0), lane(v, 2, 1));
  const high = fp2(kind, 2, lane(v, 2, 2), lane(v, 2, 3));
  return setScalar(vd(insn), 2, fp2(kind, 2, low, high));
}

/** ADDP (scalar), FADDP, FMAXP …: both lanes of one register. */
export function pairwiseScalar(insn: u32): bool {
  const opcode = (insn >>> 12) & 31;
  const u = (insn & 0x20000000) != 0;
  const v = vn(insn);
  if (!u) {
    if (opcode != 27 || ((insn >>> 22) & 3) != 3) return false;
    return setScalar(vd(insn), 3, load<u64>(v) + load<u64>(v, 8));
  }
  const size: u32 = insn & 0x400000 ? 3 : 2;
  const least = (insn & 0x800000) != 0;
  let kind: u32;
  if (opcode == 13 && !least) kind = FP_ADD;
  else if (opcode == 12) kind = least ? FP_MINNM : FP_MAXNM;
  else if (opcode == 15) kind = least ? FP_MIN : FP_MAX;
  else return false;
  return setScalar(vd(insn), size, fp2(kind, size, lane(v, size, 0), lane(v, size, 1)));
}
