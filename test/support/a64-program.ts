import { Core, Emulator, EMULATOR_RAM_BASE, type WasmModule } from '../../src/emulator/index.ts';
import * as layout from '../../src/emulator/core/layout.ts';

export const RAM = EMULATOR_RAM_BASE;
export const RAM_SIZE = 0x80_0000;

/** Machine words of the instructions that tests are made of, as the GNU assembler has them. */
export const A64 = {
  STR_X1_X0: 0xf900_0001,
  LDR_X1_X0: 0xf940_0001,
  LDR_X5_X4: 0xf940_0085,
  /** ldr w2, [x0, #6], unaligned */
  LDUR_W2_X0_6: 0xb840_6002,
  TLBI_VAAE1IS_X3: 0xd508_8363,
  HVC: 0xd400_0002,
  SVC_0X123: 0xd400_2461,
  ERET: 0xd69f_03e0,
  BRK_0X55: 0xd420_0aa0,
  DAIFCLR_IRQ: 0xd503_42ff,
  MSR_CNTV_TVAL_X0: 0xd51b_e300,
  MSR_CNTV_CTL_X1: 0xd51b_e321,
  WFI: 0xd503_207f,
  B_SELF: 0x1400_0000,
  CRC32B: 0x1ac2_4020,
  FADD_D0: 0x1e60_2800,
  UDF: 0,
  STRB_W1_X2: 0x3900_0041,
  LDRB_W3_X2: 0x3940_0043,
} as const;

/** Puts words into RAM, at an offset from its start. */
export function put(core: Core, offset: number, words: readonly number[]): void {
  const data = new DataView(core.ram.buffer, core.ram.byteOffset, core.ram.length);
  words.forEach((word, index) => data.setUint32(offset + 4 * index, word, true));
}

export function sysreg(core: Core, slot: number): bigint {
  return core.state.getBigUint64(layout.SYSREGS + 8 * slot, true);
}

/** Sets a system register as if before the first instruction: nothing is cached of the old one. */
export function setSysreg(core: Core, slot: number, value: bigint): void {
  core.state.setBigUint64(layout.SYSREGS + 8 * slot, value, true);
  core.restoreState(core.saveState());
}

/** A core with vectors at 0x40080000, each of which is HVC: `run` comes back with STOP_HVC. */
export function bareCore(module: WasmModule, words: readonly number[], fp = false): Core {
  const core = new Core({ module, ramBase: RAM, ramSize: RAM_SIZE, fp });
  for (let vector = 0; vector < 0x800; vector += 0x80) put(core, 0x8_0000 + vector, [A64.HVC]);
  setSysreg(core, layout.SR_VBAR, RAM + 0x8_0000n);
  put(core, 0, words);
  core.pc = RAM;
  return core;
}

/** A machine that runs these words from the start of its RAM. */
export function bareMachine(module: WasmModule, words: readonly number[]): Emulator {
  const machine = new Emulator({ module, ramSize: RAM_SIZE });
  put(machine.core, 0, words);
  machine.core.pc = RAM;
  return machine;
}
