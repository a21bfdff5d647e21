/**
 * The loop: fetch, decode, execute, until the slice is over or something happened.
 *
 * `ip` is the place of the next instruction in linear memory, good within one page. Nothing else is kept
 * in variables from one instruction to the next: a host's register that must be saved around the rare
 * calls would be saved at each instruction. How many instructions are left of the slice is known from
 * SLICE_END, which moves along with each branch.
 *
 * The switch is one function on purpose; what seldom runs is in rare.ts.
 */
import { CLOCK, DECODE, EVENT, PC, PC_OFFSET, RUN_END, SLICE_CLOCK, SLICE_END } from './layout.ts';
import * as op from './ops.ts';
import * as add from './add.ts';
import * as branch from './branch.ts';
import * as ld from './loads.ts';
import * as logic from './logic.ts';
import * as pair from './pairs.ts';
import * as select from './select.ts';
import { pcBefore, refuse } from './exception.ts';
import { fetchPlace } from './fetch.ts';
import { getW, getX, holdsFast, rd, setX } from './fields.ts';
import { executeRare } from './rare.ts';
import { isIdleHint, system } from './system.ts';
import { codeEntry, PAGE_MASK } from './tlb.ts';

/**
 * Executes up to `limit` instructions (1 to 2^28) from PC on; returns how many. PC is the next one,
 * and EVENT says why it were fewer.
 *
 * A case ends with `continue`, or with `break`: a branch to `target` was taken, or EVENT says why the loop
 * must be left, or, if it does not, the instruction is not in the set.
 */
export function slice(limit: u32): u32 {
  let ip: u32 = fetchPlace(load<u64>(PC));
  // A fetch that faults counts as an instruction, or nothing would bound unmapped vectors.
  if (ip == 0) return 1;
  store<u64>(SLICE_CLOCK, load<u64>(CLOCK) + limit);
  branch.startRun(ip, limit << 2);

  while (true) {
    if (ip == load<u32>(RUN_END)) {
      const rest = load<u32>(SLICE_END) - ip;
      const pc = load<u64>(PC_OFFSET) + <u64>ip;
      store<u64>(PC, pc);
      if (rest == 0) return limit;
      ip = fetchPlace(pc);
      if (ip == 0) return limit - (rest >>> 2) + 1;
      branch.startRun(ip, rest);
    }
    const insn = load<u32>(ip);
    ip += 4;
    let target: u64 = 0;
    let taken = false;
    let place: u32 = 0;
    switch (<u32>load<u8>(insn >>> 21, DECODE)) {
      case op.OP_UNSUPPORTED:
        break;
      case op.OP_ADRP:
        setX(rd(insn), (pcBefore(ip) & PAGE_MASK) + (branch.adrOffset(insn) << 12));
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
        break;
      case op.OP_ORR_IMM_W:
        if (logic.orrImmW(insn)) continue;
        break;
      case op.OP_EOR_IMM_W:
        if (logic.eorImmW(insn)) continue;
        break;
      case op.OP_ANDS_IMM_W:
        if (logic.andsImmW(insn)) continue;
        break;
      case op.OP_AND_IMM_X:
        if (logic.andImmX(insn)) continue;
        break;
      case op.OP_ORR_IMM_X:
        if (logic.orrImmX(insn)) continue;
        break;
      case op.OP_EOR_IMM_X:
        if (logic.eorImmX(insn)) continue;
        break;
      case op.OP_ANDS_IMM_X:
        if (logic.andsImmX(insn)) continue;
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
      case op.OP_UBFM_W:
        if (logic.ubfmW(insn)) continue;
        break;
      case op.OP_SBFM_X:
        logic.sbfmX(insn);
        continue;
      case op.OP_UBFM_X:
        logic.ubfmX(insn);
        continue;
      case op.OP_EXTR:
        if (logic.extract(insn)) continue;
        break;
      case op.OP_BL:
        place = ip - 4 + branch.offset26(insn);
        branch.setLink(load<u64>(PC_OFFSET) + <u64>ip);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_B:
        place = ip - 4 + branch.offset26(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_B_COND:
        if (insn & 16) break;
        if (!holdsFast(insn & 15)) continue;
        place = ip - 4 + branch.offset19(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_CBZ_W:
        if (getW(rd(insn)) != 0) continue;
        place = ip - 4 + branch.offset19(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_CBNZ_W:
        if (getW(rd(insn)) == 0) continue;
        place = ip - 4 + branch.offset19(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_CBZ_X:
        if (getX(rd(insn)) != 0) continue;
        place = ip - 4 + branch.offset19(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_CBNZ_X:
        if (getX(rd(insn)) == 0) continue;
        place = ip - 4 + branch.offset19(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_TBZ:
        if (branch.testedBit(insn) != 0) continue;
        place = ip - 4 + branch.offset14(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_TBNZ:
        if (branch.testedBit(insn) == 0) continue;
        place = ip - 4 + branch.offset14(insn);
        if (branch.isNear(place, ip)) {
          ip = branch.hop(place, ip);
          continue;
        }
        target = branch.farTarget(place, ip);
        taken = true;
        break;
      case op.OP_BR_REG:
        if (!branch.isPlainRegisterBranch(insn)) {
          branch.otherBranch(insn, ip);
          break;
        }
        target = branch.branchRegister(insn);
        taken = true;
        if (insn & 0x200000) branch.setLink(load<u64>(PC_OFFSET) + <u64>ip);
        break;
      case op.OP_SYSTEM:
        if (isIdleHint(insn) || system(insn, ip)) continue;
        break;
      case op.OP_STP_W:
        if (pair.storePair<u32>(insn, 2, ip)) continue;
        break;
      case op.OP_LDP_W:
        if (pair.loadPair<u32, u64>(insn, 2, ip)) continue;
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
      case op.OP_STRH_UIMM:
        if (ld.storeFrom<u16>(insn, ld.unsignedAddress(insn, 1), ip)) continue;
        break;
      case op.OP_LDRH_UIMM:
        if (ld.loadTo<u16, u64>(insn, ld.unsignedAddress(insn, 1), ip)) continue;
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
      case op.OP_STRH_IMM9:
        if (ld.storeIndexed<u16>(insn, ip)) continue;
        break;
      case op.OP_LDRH_IMM9:
        if (ld.loadIndexed<u16, u64>(insn, ip)) continue;
        break;
      case op.OP_STR_W_IMM9:
        if (ld.storeIndexed<u32>(insn, ip)) continue;
        break;
      case op.OP_LDR_W_IMM9:
        if (ld.loadIndexed<u32, u64>(insn, ip)) continue;
        break;
      case op.OP_STR_X_IMM9:
        if (ld.storeIndexed<u64>(insn, ip)) continue;
        break;
      case op.OP_LDR_X_IMM9:
        if (ld.loadIndexed<u64, u64>(insn, ip)) continue;
        break;
      case op.OP_STRB_REG:
        if (ld.storeRegister<u8>(insn, 0, ip)) continue;
        break;
      case op.OP_LDRB_REG:
        if (ld.loadRegister<u8, u64>(insn, 0, ip)) continue;
        break;
      case op.OP_STRH_REG:
        if (ld.storeRegister<u16>(insn, 1, ip)) continue;
        break;
      case op.OP_LDRH_REG:
        if (ld.loadRegister<u16, u64>(insn, 1, ip)) continue;
        break;
      case op.OP_STR_W_REG:
        if (ld.storeRegister<u32>(insn, 2, ip)) continue;
        break;
      case op.OP_LDR_W_REG:
        if (ld.loadRegister<u32, u64>(insn, 2, ip)) continue;
        break;
      case op.OP_STR_X_REG:
        if (ld.storeRegister<u64>(insn, 3, ip)) continue;
        break;
      case op.OP_LDR_X_REG:
        if (ld.loadRegister<u64, u64>(insn, 3, ip)) continue;
        break;
      case op.OP_PRFM:
      case op.OP_PRFM_IMM9:
      case op.OP_PRFM_REG:
        continue;
      case op.OP_AND_SHIFT_W:
        if (insn & 0x8000) break;
        logic.andShiftW(insn);
        continue;
      case op.OP_ORR_SHIFT_W:
        if (insn & 0x8000) break;
        logic.orrShiftW(insn);
        continue;
      case op.OP_EOR_SHIFT_W:
        if (insn & 0x8000) break;
        logic.eorShiftW(insn);
        continue;
      case op.OP_ANDS_SHIFT_W:
        if (insn & 0x8000) break;
        logic.andsShiftW(insn);
        continue;
      case op.OP_AND_SHIFT_X:
        logic.andShiftX(insn);
        continue;
      case op.OP_ORR_SHIFT_X:
        logic.orrShiftX(insn);
        continue;
      case op.OP_EOR_SHIFT_X:
        logic.eorShiftX(insn);
        continue;
      case op.OP_ANDS_SHIFT_X:
        logic.andsShiftX(insn);
        continue;
      case op.OP_COMPLEMENT_W:
        if (logic.complementW(insn)) continue;
        break;
      case op.OP_COMPLEMENT_X:
        logic.complementX(insn);
        continue;
      case op.OP_ADD_SHIFT_W:
        if (insn & 0x8000) break;
        add.addShiftW(insn);
        continue;
      case op.OP_ADDS_SHIFT_W:
        if (insn & 0x8000) break;
        add.addsShiftW(insn);
        continue;
      case op.OP_SUB_SHIFT_W:
        if (insn & 0x8000) break;
        add.subShiftW(insn);
        continue;
      case op.OP_SUBS_SHIFT_W:
        if (insn & 0x8000) break;
        add.subsShiftW(insn);
        continue;
      case op.OP_ADD_SHIFT_X:
        add.addShiftX(insn);
        continue;
      case op.OP_ADDS_SHIFT_X:
        add.addsShiftX(insn);
        continue;
      case op.OP_SUB_SHIFT_X:
        add.subShiftX(insn);
        continue;
      case op.OP_SUBS_SHIFT_X:
        add.subsShiftX(insn);
        continue;
      case op.OP_CCMP:
        if (select.conditionalCompare(insn)) continue;
        break;
      case op.OP_CSEL_W:
        if (select.selectW(insn)) continue;
        break;
      case op.OP_CSEL_X:
        if (select.selectX(insn)) continue;
        break;
      case op.OP_ONE_SOURCE:
        if (select.oneSource(insn)) continue;
        break;
      case op.OP_TWO_SOURCE:
        if (select.twoSource(insn)) continue;
        break;
      default:
        if (executeRare(insn, ip)) continue;
    }

    const rest = load<u32>(SLICE_END) - ip;
    if (!taken) {
      if (!load<u32>(EVENT)) refuse(insn, ip);
      return limit - (rest >>> 2);
    }
    const entry = codeEntry(target);
    if (load<u64>(entry) == (target & (PAGE_MASK | 3))) {
      ip = <u32>target + load<u32>(entry, 8);
      store<u64>(PC_OFFSET, target - <u64>ip);
    } else {
      store<u64>(PC, target);
      if (rest == 0) return limit;
      ip = fetchPlace(target);
      if (ip == 0) return limit - (rest >>> 2) + 1;
    }
    branch.startRun(ip, rest);
  }
}
