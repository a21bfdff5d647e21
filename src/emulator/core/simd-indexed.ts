/** Advanced SIMD by element: one lane of Vm with every lane of Vn (Arm ARM C4.1). */
import { fusedMultiplyAdd } from './fp-fused.ts';
import { fp2, FP_MUL, FP_MULX, negate } from './fp-math.ts';
import { begin, finish, lane, laneS, laneU, result, vd, vn, vreg } from './lanes.ts';
import { doubleHigh, doubleLongInto } from './simd-saturate.ts';
import { long } from './simd-three.ts';

/** False for what is not in the set. */
export function simdIndexed(insn: u32, scalar: bool): bool {
  const size = (insn >>> 22) & 3;
  const opcode = (insn >>> 12) & 15;
  const u = (insn & 0x20000000) != 0;
  const high = (insn >>> 11) & 1;
  const low = (insn >>> 21) & 1;
  if (opcode == 1 || opcode == 5 || opcode == 9) return fpIndexed(insn, scalar, opcode, u);
  if (size == 0 || size == 3) return false;
  // 16-bit lanes: H:L:M, and only v0 to v15.
  const m = size == 1 ? vreg((insn >>> 16) & 15) : vreg(insn >>> 16);
  const index = size == 1 ? (high << 2) | (low << 1) | ((insn >>> 20) & 1) : (high << 1) | low;
  if (!u && (opcode == 3 || opcode == 7 || opcode >= 11))
    return opcode < 14 && doubling(insn, scalar, size, opcode, <u64>laneS(m, size, index));
  if (scalar) return false;
  const isLong = opcode == 2 || opcode == 6 || opcode == 10;
  const isPlain = u ? opcode == 0 || opcode == 4 : opcode == 8;
  if (!isLong && !isPlain) return false;
  const wide = (insn & 0x40000000) != 0;
  const b = laneU(m, size, index, u);
  begin();
  if (isPlain) {
    const count: u32 = (wide ? 16 : 8) >>> size;
    for (let n: u32 = 0; n < count; n++) {
      const product = lane(vn(insn), size, n) * b;
      const d: u64 = opcode == 8 ? 0 : lane(vd(insn), size, n);
      result(size, n, opcode == 4 ? d - product : d + product);
    }
    return finish(vd(insn));
  }
  const count: u32 = 8 >>> size;
  const skip: u32 = wide ? count : 0;
  // SMLAL, SMLSL, SMULL: as the operations of three registers, numbered 8, 10 and 12.
  const kind: u32 = opcode == 2 ? 8 : opcode == 6 ? 10 : 12;
  for (let n: u32 = 0; n < count; n++) {
    const a = laneU(vn(insn), size, n + skip, u);
    result(size + 1, n, long(kind, a, b, lane(vd(insn), size + 1, n), u));
  }
  return finish(vd(insn));
}

/** SQDMLAL, SQDMLSL, SQDMULL; SQDMULH, SQRDMULH. */
function doubling(insn: u32, scalar: bool, size: u32, opcode: u32, b: u64): bool {
  const wide = (insn & 0x40000000) != 0;
  const isHigh = opcode >= 12;
  const count: u32 = scalar ? 1 : (isHigh && wide ? 16 : 8) >>> size;
  const skip: u32 = !scalar && !isHigh && wide ? count : 0;
  // As the operations of three registers, numbered 9, 11 and 13.
  const kind: u32 = opcode == 3 ? 9 : opcode == 7 ? 11 : 13;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    const a = <u64>laneS(vn(insn), size, n + skip);
    if (isHigh) result(size, n, doubleHigh(a, b, size, opcode == 13));
    else result(size + 1, n, doubleLongInto(kind, a, b, lane(vd(insn), size + 1, n), size));
  }
  return finish(vd(insn));
}

/** FMLA, FMLS, FMUL, FMULX. */
function fpIndexed(insn: u32, scalar: bool, opcode: u32, u: bool): bool {
  // FMULX is FMUL with U.
  if ((u && opcode != 9) || (insn & 0x800000) == 0) return false;
  const size: u32 = insn & 0x400000 ? 3 : 2;
  const high = (insn >>> 11) & 1;
  const low = (insn >>> 21) & 1;
  if (size == 3 && low) return false;
  const whole = (insn & 0x40000000) != 0;
  if (!scalar && size == 3 && !whole) return false;
  const b = lane(vreg(insn >>> 16), size, size == 3 ? high : (high << 1) | low);
  const count: u32 = scalar ? 1 : (whole ? 16 : 8) >>> size;
  begin();
  for (let n: u32 = 0; n < count; n++) {
    let a = lane(vn(insn), size, n);
    if (opcode == 9) {
      result(size, n, fp2(u ? FP_MULX : FP_MUL, size, a, b));
      continue;
    }
    if (opcode == 5) a = negate(size, a);
    result(size, n, fusedMultiplyAdd(size, lane(vd(insn), size, n), a, b));
  }
  return finish(vd(insn));
}
