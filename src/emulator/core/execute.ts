/**
 * The loop: fetch, decode, execute, until the slice is over or something happened.
 *
 * `ip` is the place of the next instruction in linear memory, good within one page; `left` counts
 * instructions and is brought up to date at branches only, from how far `ip` went since `start`.
 * The switch is one function on purpose: `ip` and its kin stay in registers of the host.
 */
import { CLOCK, DECODE, EVENT, PC, PC_OFFSET, STOP_UNSUPPORTED } from './layout.ts';
import * as op from './ops.ts';
import * as add from './add.ts';
import * as branch from './branch.ts';
import * as ld from './loads.ts';
import * as logic from './logic.ts';
import * as pair from './pairs.ts';
import * as select from './select.ts';
import { exclusive } from './exclusive.ts';
import { stopAt, undefined_ } from './exception.ts';
import { fetchPlace } from './fetch.ts';
import { getW, getX, holdsFast, rd, setX } from './fields.ts';
import { fpData, fpLoadStore } from './fp.ts';
import { system } from './system.ts';
import { codeEntry, PAGE_MASK } from './tlb.ts';

/** @inline Where going straight on ends: at the end of the page or of the slice. */
function endOf(ip: u32, left: i32): u32 {
  return ip + <u32>min<i32>(left << 2, 4096 - (ip & 4095));
}

/** No place to branch to: it is not aligned. Cases that end with `break` and set no target leave. */
const LEAVE: u64 = 2;

/**
 * Executes up to `limit` instructions (1 to 2^28) from PC on; returns how many. PC is the next one,
 * and EVENT says why it were fewer.
 */
export function slice(limit: i32): i32 {
  let left = limit;
  let ip: u32 = fetchPlace(load<u64>(PC));
  // A fetch that faults counts as an instruction, or nothing would bound unmapped vectors.
  if (ip == 0) return 1;
  let start = ip;
  let offset = load<u64>(PC_OFFSET);
  let end = endOf(ip, left);
  let target: u64 = LEAVE;

  while (true) {
    if (ip == end) {
      left -= <i32>((ip - start) >>> 2);
      const pc = offset + <u64>ip;
      store<u64>(PC, pc);
      if (left <= 0) return limit - left;
      ip = fetchPlace(pc);
      if (ip == 0) return limit - left + 1;
      start = ip;
      offset = load<u64>(PC_OFFSET);
      end = endOf(ip, left);
    }
    const insn = load<u32>(ip);
    ip += 4;
    switch (<u32>load<u8>(insn >>> 21, DECODE)) {
      case op.OP_ADR:
        setX(rd(insn), offset + <u64>(ip - 4) + branch.adrOffset(insn));
        continue;
      case op.OP_ADRP:
        setX(rd(insn), ((offset + <u64>(ip - 4)) & PAGE_MASK) + (branch.adrOffset(insn) << 12));
        continue;
      case op.OP_ADD_IMM_W:
        add.addImmW(insn);
        continue;
      case op.OP_ADDS_IMM_W:
        add.addsImmW(insn);
        continue;
      case op.OP_SUB_IMM_W:
        add.subImmW(insn);
        continue;
      case op.OP_SUBS_IMM_W:
        add.subsImmW(insn);
        continue;
      case op.OP_ADD_IMM_X:
        add.addImmX(insn);
        continue;
      case op.OP_ADDS_IMM_X:
        add.addsImmX(insn);
        continue;
      case op.OP_SUB_IMM_X:
        add.subImmX(insn);
        continue;
      case op.OP_SUBS_IMM_X:
        add.subsImmX(insn);
        continue;
      case op.OP_AND_IMM_W:
        if (logic.andImmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_ORR_IMM_W:
        if (logic.orrImmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_EOR_IMM_W:
        if (logic.eorImmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_ANDS_IMM_W:
        if (logic.andsImmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_AND_IMM_X:
        if (logic.andImmX(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_ORR_IMM_X:
        if (logic.orrImmX(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_EOR_IMM_X:
        if (logic.eorImmX(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_ANDS_IMM_X:
        if (logic.andsImmX(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_MOVN:
        logic.movn(insn);
        continue;
      case op.OP_MOVZ:
        logic.movz(insn);
        continue;
      case op.OP_MOVK:
        logic.movk(insn);
        continue;
      case op.OP_SBFM_W:
        if (logic.sbfmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_BFM_W:
        if (logic.bfmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_UBFM_W:
        if (logic.ubfmW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_SBFM_X:
        logic.sbfmX(insn);
        continue;
      case op.OP_BFM_X:
        logic.bfmX(insn);
        continue;
      case op.OP_UBFM_X:
        logic.ubfmX(insn);
        continue;
      case op.OP_EXTR:
        if (logic.extract(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_BL:
        branch.setLink(offset + <u64>ip);
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset26(insn)));
        break;
      case op.OP_B:
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset26(insn)));
        break;
      case op.OP_B_COND:
        if (insn & 16) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (!holdsFast(insn & 15)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset19(insn)));
        break;
      case op.OP_CBZ_W:
        if (!(getW(rd(insn)) == 0)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset19(insn)));
        break;
      case op.OP_CBZ_X:
        if (!(getX(rd(insn)) == 0)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset19(insn)));
        break;
      case op.OP_CBNZ_W:
        if (!(getW(rd(insn)) != 0)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset19(insn)));
        break;
      case op.OP_CBNZ_X:
        if (!(getX(rd(insn)) != 0)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset19(insn)));
        break;
      case op.OP_TBZ:
        if (!(branch.testedBit(insn) == 0)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset14(insn)));
        break;
      case op.OP_TBNZ:
        if (!(branch.testedBit(insn) != 0)) continue;
        target = offset + <u64>(ip - 4) + <u64>(<i64>(<i32>branch.offset14(insn)));
        break;
      case op.OP_BR_REG:
        if (!branch.isPlainRegisterBranch(insn)) {
          branch.otherBranch(insn, ip);
          break;
        }
        target = branch.branchRegister(insn);
        if (insn & 0x200000) branch.setLink(offset + <u64>ip);
        break;
      case op.OP_EXCEPTION:
        branch.exceptionGenerating(insn, ip);
        break;
      case op.OP_UDF:
        undefined_(ip);
        break;
      case op.OP_SYSTEM:
        if (system(insn, ip, load<u64>(CLOCK) + <u64>(limit - left + <i32>((ip - start) >>> 2))))
          continue;
        break;
      case op.OP_EXCLUSIVE:
        if (exclusive(insn, ip)) continue;
        break;
      case op.OP_LDR_LITERAL:
        if (ld.loadLiteral(insn, ip)) continue;
        break;
      case op.OP_STP_W:
        if (pair.storePair<u32>(insn, 2, ip)) continue;
        break;
      case op.OP_LDP_W:
        if (pair.loadPair<u32, u64>(insn, 2, ip)) continue;
        break;
      case op.OP_LDPSW:
        if (pair.loadPair<i32, i64>(insn, 2, ip)) continue;
        break;
      case op.OP_STP_X:
        if (pair.storePair<u64>(insn, 3, ip)) continue;
        break;
      case op.OP_LDP_X:
        if (pair.loadPair<u64, u64>(insn, 3, ip)) continue;
        break;
      case op.OP_STRB_UIMM:
        if (ld.storeFrom<u8>(insn, ld.unsignedAddress(insn, 0), ip)) continue;
        break;
      case op.OP_LDRB_UIMM:
        if (ld.loadTo<u8, u64>(insn, ld.unsignedAddress(insn, 0), ip)) continue;
        break;
      case op.OP_LDRSB_X_UIMM:
        if (ld.loadTo<i8, i64>(insn, ld.unsignedAddress(insn, 0), ip)) continue;
        break;
      case op.OP_LDRSB_W_UIMM:
        if (ld.loadTo<i8, u32>(insn, ld.unsignedAddress(insn, 0), ip)) continue;
        break;
      case op.OP_STRH_UIMM:
        if (ld.storeFrom<u16>(insn, ld.unsignedAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRH_UIMM:
        if (ld.loadTo<u16, u64>(insn, ld.unsignedAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRSH_X_UIMM:
        if (ld.loadTo<i16, i64>(insn, ld.unsignedAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRSH_W_UIMM:
        if (ld.loadTo<i16, u32>(insn, ld.unsignedAddress(insn, 1), ip)) continue;
        break;
      case op.OP_STR_W_UIMM:
        if (ld.storeFrom<u32>(insn, ld.unsignedAddress(insn, 2), ip)) continue;
        break;
      case op.OP_LDR_W_UIMM:
        if (ld.loadTo<u32, u64>(insn, ld.unsignedAddress(insn, 2), ip)) continue;
        break;
      case op.OP_LDRSW_UIMM:
        if (ld.loadTo<i32, i64>(insn, ld.unsignedAddress(insn, 2), ip)) continue;
        break;
      case op.OP_STR_X_UIMM:
        if (ld.storeFrom<u64>(insn, ld.unsignedAddress(insn, 3), ip)) continue;
        break;
      case op.OP_LDR_X_UIMM:
        if (ld.loadTo<u64, u64>(insn, ld.unsignedAddress(insn, 3), ip)) continue;
        break;
      case op.OP_STRB_IMM9:
        if (ld.storeIndexed<u8>(insn, ip)) continue;
        break;
      case op.OP_LDRB_IMM9:
        if (ld.loadIndexed<u8, u64>(insn, ip)) continue;
        break;
      case op.OP_LDRSB_X_IMM9:
        if (ld.loadIndexed<i8, i64>(insn, ip)) continue;
        break;
      case op.OP_LDRSB_W_IMM9:
        if (ld.loadIndexed<i8, u32>(insn, ip)) continue;
        break;
      case op.OP_STRH_IMM9:
        if (ld.storeIndexed<u16>(insn, ip)) continue;
        break;
      case op.OP_LDRH_IMM9:
        if (ld.loadIndexed<u16, u64>(insn, ip)) continue;
        break;
      case op.OP_LDRSH_X_IMM9:
        if (ld.loadIndexed<i16, i64>(insn, ip)) continue;
        break;
      case op.OP_LDRSH_W_IMM9:
        if (ld.loadIndexed<i16, u32>(insn, ip)) continue;
        break;
      case op.OP_STR_W_IMM9:
        if (ld.storeIndexed<u32>(insn, ip)) continue;
        break;
      case op.OP_LDR_W_IMM9:
        if (ld.loadIndexed<u32, u64>(insn, ip)) continue;
        break;
      case op.OP_LDRSW_IMM9:
        if (ld.loadIndexed<i32, i64>(insn, ip)) continue;
        break;
      case op.OP_STR_X_IMM9:
        if (ld.storeIndexed<u64>(insn, ip)) continue;
        break;
      case op.OP_LDR_X_IMM9:
        if (ld.loadIndexed<u64, u64>(insn, ip)) continue;
        break;
      case op.OP_STRB_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.storeFrom<u8>(insn, ld.registerAddress(insn, 0), ip)) continue;
        break;
      case op.OP_LDRB_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<u8, u64>(insn, ld.registerAddress(insn, 0), ip)) continue;
        break;
      case op.OP_LDRSB_X_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<i8, i64>(insn, ld.registerAddress(insn, 0), ip)) continue;
        break;
      case op.OP_LDRSB_W_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<i8, u32>(insn, ld.registerAddress(insn, 0), ip)) continue;
        break;
      case op.OP_STRH_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.storeFrom<u16>(insn, ld.registerAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRH_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<u16, u64>(insn, ld.registerAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRSH_X_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<i16, i64>(insn, ld.registerAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRSH_W_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<i16, u32>(insn, ld.registerAddress(insn, 1), ip)) continue;
        break;
      case op.OP_STR_W_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.storeFrom<u32>(insn, ld.registerAddress(insn, 2), ip)) continue;
        break;
      case op.OP_LDR_W_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<u32, u64>(insn, ld.registerAddress(insn, 2), ip)) continue;
        break;
      case op.OP_LDRSW_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<i32, i64>(insn, ld.registerAddress(insn, 2), ip)) continue;
        break;
      case op.OP_STR_X_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.storeFrom<u64>(insn, ld.registerAddress(insn, 3), ip)) continue;
        break;
      case op.OP_LDR_X_REG:
        if (!ld.isRegisterOffset(insn)) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        if (ld.loadTo<u64, u64>(insn, ld.registerAddress(insn, 3), ip)) continue;
        break;
      case op.OP_PRFM:
      case op.OP_PRFM_IMM9:
      case op.OP_PRFM_REG:
        continue;
      case op.OP_LOGICAL_W:
        if (logic.logicalW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_LOGICAL_X:
        logic.logicalX(insn);
        continue;
      case op.OP_ADD_SHIFT_W:
        if (insn & 0x8000) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        add.addShiftW(insn);
        continue;
      case op.OP_ADD_SHIFT_X:
        add.addShiftX(insn);
        continue;
      case op.OP_ADDS_SHIFT_W:
        if (insn & 0x8000) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        add.addsShiftW(insn);
        continue;
      case op.OP_ADDS_SHIFT_X:
        add.addsShiftX(insn);
        continue;
      case op.OP_SUB_SHIFT_W:
        if (insn & 0x8000) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        add.subShiftW(insn);
        continue;
      case op.OP_SUB_SHIFT_X:
        add.subShiftX(insn);
        continue;
      case op.OP_SUBS_SHIFT_W:
        if (insn & 0x8000) {
          stopAt(STOP_UNSUPPORTED, insn, ip);
          break;
        }
        add.subsShiftW(insn);
        continue;
      case op.OP_SUBS_SHIFT_X:
        add.subsShiftX(insn);
        continue;
      case op.OP_ADD_SUB_EXT:
        if (add.addSubExtended(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_ADC_SBC:
        if (add.addWithCarry(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_CCMP:
        if (select.conditionalCompare(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_CSEL_W:
        if (select.selectW(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_CSEL_X:
        if (select.selectX(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_TWO_SOURCE:
        if (select.twoSource(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_ONE_SOURCE:
        if (select.oneSource(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_MADD_W:
        add.multiplyAddW(insn);
        continue;
      case op.OP_MADD_X:
        add.multiplyAddX(insn);
        continue;
      case op.OP_MADD_LONG:
        add.multiplyAddLong(insn);
        continue;
      case op.OP_MUL_HIGH:
        if (add.multiplyHigh(insn)) continue;
        stopAt(STOP_UNSUPPORTED, insn, ip);
        break;
      case op.OP_FP_LOAD_STORE:
        if (fpLoadStore(insn, ip)) continue;
        break;
      case op.OP_FP_DATA:
        if (fpData(insn, ip)) continue;
        break;
      default:
        stopAt(STOP_UNSUPPORTED, insn, ip);
    }

    // A branch was taken, to `target`; or the loop is to be left, and EVENT says why.
    left -= <i32>((ip - start) >>> 2);
    if ((target ^ (offset + <u64>(ip - 4))) & (PAGE_MASK | 3)) {
      if (load<u32>(EVENT)) return limit - left;
      const entry = codeEntry(target);
      if (left <= 0 || load<u64>(entry) != (target & (PAGE_MASK | 3))) {
        store<u64>(PC, target);
        if (left <= 0) return limit - left;
        ip = fetchPlace(target);
        if (ip == 0) return limit - left + 1;
        offset = load<u64>(PC_OFFSET);
      } else {
        ip = <u32>target + load<u32>(entry, 8);
        offset = target - <u64>ip;
        store<u64>(PC_OFFSET, offset);
      }
    } else ip = <u32>(target - offset);
    start = ip;
    end = endOf(ip, left);
    target = LEAVE;
  }
}
