/** What runs seldom: less than one instruction in 300 of a boot each, or long ones. */
import { DECODE } from './layout.ts';
import * as op from './ops.ts';
import * as add from './add.ts';
import * as branch from './branch.ts';
import * as ld from './loads.ts';
import * as logic from './logic.ts';
import * as pair from './pairs.ts';
import { exclusive } from './exclusive.ts';
import { pcBefore, undefined_ } from './exception.ts';
import { rd, setX } from './fields.ts';
import { fpData, fpLoadStore } from './fp.ts';

/** False when the loop must be left, as EVENT says, or for what is not in the set. */
export function executeRare(insn: u32, ip: u32): bool {
  switch (<u32>load<u8>(insn >>> 21, DECODE)) {
    case op.OP_ADR:
      setX(rd(insn), pcBefore(ip) + branch.adrOffset(insn));
      return true;
    case op.OP_SBFM_W:
      return logic.sbfmW(insn);
    case op.OP_BFM_W:
      return logic.bfmW(insn);
    case op.OP_BFM_X:
      logic.bfmX(insn);
      return true;
    case op.OP_ADD_SUB_EXT:
      return add.addSubExtended(insn);
    case op.OP_ADC_SBC:
      return add.addWithCarry(insn);
    case op.OP_MADD_W:
      add.multiplyAddW(insn);
      return true;
    case op.OP_MADD_X:
      add.multiplyAddX(insn);
      return true;
    case op.OP_MADD_LONG:
      add.multiplyAddLong(insn);
      return true;
    case op.OP_MUL_HIGH:
      return add.multiplyHigh(insn);
    case op.OP_EXCLUSIVE:
      return exclusive(insn, ip);
    case op.OP_LDR_LITERAL:
      return ld.loadLiteral(insn, ip);
    case op.OP_LDPSW:
      return pair.loadPair<i32, i64>(insn, 2, ip);
    case op.OP_FP_LOAD_STORE:
      return fpLoadStore(insn, ip);
    case op.OP_FP_DATA:
      return fpData(insn, ip);
    case op.OP_EXCEPTION:
      branch.exceptionGenerating(insn, ip);
      return false;
    case op.OP_UDF:
      undefined_(ip);
      return false;
    case op.OP_LDRSB_X_UIMM:
      return ld.loadTo<i8, i64>(insn, ld.unsignedAddress(insn, 0), ip);
    case op.OP_LDRSB_W_UIMM:
      return ld.loadTo<i8, u32>(insn, ld.unsignedAddress(insn, 0), ip);
    case op.OP_LDRSH_X_UIMM:
      return ld.loadTo<i16, i64>(insn, ld.unsignedAddress(insn, 1), ip);
    case op.OP_LDRSH_W_UIMM:
      return ld.loadTo<i16, u32>(insn, ld.unsignedAddress(insn, 1), ip);
    case op.OP_LDRSB_X_IMM9:
      return ld.loadIndexed<i8, i64>(insn, ip);
    case op.OP_LDRSB_X_REG:
      return ld.loadRegister<i8, i64>(insn, 0, ip);
    case op.OP_LDRSB_W_IMM9:
      return ld.loadIndexed<i8, u32>(insn, ip);
    case op.OP_LDRSB_W_REG:
      return ld.loadRegister<i8, u32>(insn, 0, ip);
    case op.OP_LDRSH_X_IMM9:
      return ld.loadIndexed<i16, i64>(insn, ip);
    case op.OP_LDRSH_X_REG:
      return ld.loadRegister<i16, i64>(insn, 1, ip);
    case op.OP_LDRSH_W_IMM9:
      return ld.loadIndexed<i16, u32>(insn, ip);
    case op.OP_LDRSH_W_REG:
      return ld.loadRegister<i16, u32>(insn, 1, ip);
    case op.OP_LDRSW_IMM9:
      return ld.loadIndexed<i32, i64>(insn, ip);
    case op.OP_LDRSW_REG:
      return ld.loadRegister<i32, i64>(insn, 2, ip);
    default:
      return false;
  }
}
