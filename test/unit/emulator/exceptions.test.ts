import { beforeAll, describe, expect, test } from 'vitest';

import * as layout from '../../../src/emulator/core/layout.ts';
import type { Core, WasmModule } from '../../../src/emulator/index.ts';
import { A64, bareCore, put, RAM, setSysreg, sysreg } from '../../support/a64-program.ts';
import { builtCore } from '../../support/emulator.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
}, 60_000);

/** ESR_EL1: exception class and ISS. */
function syndrome(core: Core): [ec: number, iss: number] {
  const esr = Number(sysreg(core, layout.SR_ESR));
  return [esr >>> 26, esr & 0x1ff_ffff];
}

/** To EL0 at an address: SPSR_EL1 of EL0t, and ERET. */
function toEl0(core: Core, at: bigint): void {
  setSysreg(core, layout.SR_ELR, at);
  setSysreg(core, layout.SR_SPSR, 0n);
}

describe('exceptions', () => {
  test('SVC at EL1 goes to the vector of SP_EL1 and returns behind the instruction', () => {
    const core = bareCore(module, [A64.SVC_0X123]);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(core.pc).toBe(RAM + 0x8_0204n);
    expect(syndrome(core)).toEqual([0x15, 0x123]);
    expect(sysreg(core, layout.SR_ELR)).toBe(RAM + 4n);
    // EL1h with everything masked, as reset left it.
    expect(sysreg(core, layout.SR_SPSR)).toBe(0x3c5n);
  });

  test('BRK returns to itself', () => {
    const core = bareCore(module, [A64.BRK_0X55]);
    core.run(10);
    expect(syndrome(core)).toEqual([0x3c, 0x55]);
    expect(sysreg(core, layout.SR_ELR)).toBe(RAM);
  });

  test('ERET to EL0, whose SVC goes to the vector of a lower level', () => {
    const core = bareCore(module, [A64.ERET, A64.SVC_0X123]);
    toEl0(core, RAM + 4n);
    core.setX(31, 0x1111n);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(core.pc).toBe(RAM + 0x8_0404n);
    expect(sysreg(core, layout.SR_SPSR)).toBe(0n);
    // SP_EL1 is back in use.
    expect(core.getX(31)).toBe(0x1111n);
  });

  test('UDF, and HVC at EL0, are UNDEFINED', () => {
    for (const word of [A64.UDF, A64.HVC]) {
      const core = bareCore(module, [A64.ERET, word]);
      toEl0(core, RAM + 4n);
      expect(core.run(10)).toBe(layout.STOP_HVC);
      expect(syndrome(core)).toEqual([0, 0]);
      expect(sysreg(core, layout.SR_ELR)).toBe(RAM + 4n);
    }
  });

  test.each([
    ['CRC32B w0, w2, w2', A64.CRC32B],
    ['LDADD w0, w1, [x2] (LSE)', 0xb820_0041],
    ['CAS w0, w1, [x2] (LSE)', 0x88a0_7c41],
    ['PACIA x0, x1', 0xdac1_0020],
    ['an SVE instruction', 0x0420_0000],
    ['AND with a reserved bit mask', 0x9240_fc00],
    ['ADD w0, w1, w2, LSL #32', 0x0b02_8020],
    ['BRAA x0, x1', 0xd71f_0801],
    ['MSR PAN, #1', 0xd500_419f],
    ['FADD h0, h0, h0 (FP16)', 0x1ee0_2800],
    ['SHA1C q0, s0, v0.4s', 0x5e00_0000],
    ['PMULL v4.1q, v12.1d, v30.1d', 0x0efe_e184],
  ])('%s: UNDEFINED at EL0, stops the machine at EL1', (_, word) => {
    const user = bareCore(module, [A64.ERET, word], true);
    setSysreg(user, layout.SR_CPACR, 3n << 20n);
    toEl0(user, RAM + 4n);
    expect(user.run(10)).toBe(layout.STOP_HVC);
    expect(syndrome(user)).toEqual([0, 0]);
    expect(sysreg(user, layout.SR_ELR)).toBe(RAM + 4n);

    const kernel = bareCore(module, [word], true);
    setSysreg(kernel, layout.SR_CPACR, 3n << 20n);
    expect(kernel.run(10)).toBe(layout.STOP_UNSUPPORTED);
    expect(kernel.stopWord).toBe(word);
    expect(kernel.pc).toBe(RAM);
    expect(kernel.retired).toBe(1n);
  });

  test('ERET to AArch32 stops the machine', () => {
    const core = bareCore(module, [A64.ERET]);
    setSysreg(core, layout.SR_SPSR, 0x10n);
    expect(core.run(10)).toBe(layout.STOP_UNSUPPORTED);
    expect(core.stopWord).toBe(A64.ERET);
    expect(core.pc).toBe(RAM);
  });

  test('a PC that is not aligned faults', () => {
    const core = bareCore(module, []);
    core.pc = RAM + 2n;
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(syndrome(core)).toEqual([0x22, 0]);
    expect(sysreg(core, layout.SR_FAR)).toBe(RAM + 2n);
  });

  test('a load where nothing answers is an external abort', () => {
    const core = bareCore(module, [A64.LDR_X1_X0]);
    core.connect({ read: () => undefined, write: () => false, timerLine: () => undefined });
    core.setX(0, 0x900_0000n);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(syndrome(core)).toEqual([0x25, 0x10]);
    expect(sysreg(core, layout.SR_FAR)).toBe(0x900_0000n);
  });

  test('the bus sees address, width and value; 64 bits come as two words', () => {
    const seen: unknown[] = [];
    const core = bareCore(module, [A64.STR_X1_X0, A64.LDR_X5_X4, A64.STRB_W1_X2, A64.HVC]);
    core.connect({
      read: (address, size) => {
        seen.push(['read', address, size]);
        return address % 16 === 0 ? 0x8000_0001 : 2;
      },
      write: (...access) => void seen.push(['write', ...access]),
      timerLine: () => undefined,
    });
    core.setX(0, 0x900_0000n);
    core.setX(1, 0xaabb_ccdd_8899_0011n);
    core.setX(2, 0x900_0003n);
    core.setX(4, 0x900_0010n);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(seen).toEqual([
      ['write', 0x900_0000, 4, 0x8899_0011],
      ['write', 0x900_0004, 4, 0xaabb_ccdd],
      ['read', 0x900_0010, 4],
      ['read', 0x900_0014, 4],
      ['write', 0x900_0003, 1, 0x11],
    ]);
    expect(core.getX(5)).toBe(0x2_8000_0001n);
  });

  test('floating point: absent stops EL1 and is UNDEFINED at EL0; present but not enabled traps', () => {
    const absent = bareCore(module, [A64.FADD_D0]);
    expect(absent.run(10)).toBe(layout.STOP_UNSUPPORTED);

    const user = bareCore(module, [A64.ERET, A64.FADD_D0]);
    toEl0(user, RAM + 4n);
    user.run(10);
    expect(syndrome(user)).toEqual([0, 0]);

    const trapped = bareCore(module, [A64.FADD_D0], true);
    expect(trapped.run(10)).toBe(layout.STOP_HVC);
    expect(syndrome(trapped)).toEqual([0x07, 0x1e0_0000]);

    const enabled = bareCore(module, [A64.FADD_D0, A64.HVC], true);
    setSysreg(enabled, layout.SR_CPACR, 3n << 20n);
    enabled.state.setFloat64(layout.VREGS, 1.25, true);
    expect(enabled.run(10)).toBe(layout.STOP_HVC);
    expect(enabled.pc).toBe(RAM + 8n);
    expect(enabled.state.getFloat64(layout.VREGS, true)).toBe(2.5);
  });

  test('the timer interrupts when its time has come, at the same instruction every time', () => {
    const run = (): bigint => {
      const core = bareCore(module, [
        A64.DAIFCLR_IRQ,
        A64.MSR_CNTV_TVAL_X0,
        A64.MSR_CNTV_CTL_X1,
        A64.B_SELF,
      ]);
      core.connect({
        read: () => undefined,
        write: () => false,
        timerLine: (level) => (core.irq = level),
      });
      core.setX(0, 100n);
      core.setX(1, 1n);
      expect(core.run(100_000)).toBe(layout.STOP_HVC);
      expect(core.pc).toBe(RAM + 0x8_0284n);
      expect(sysreg(core, layout.SR_ELR)).toBe(RAM + 12n);
      return core.retired;
    };
    const first = run();
    // 100 ticks of 16 instructions, and the HVC in the vector.
    expect(first).toBe(1601n);
    expect(run()).toBe(first);
  });
});

describe('translation', () => {
  const L2 = 0x10_0000n;
  const L3 = 0x10_1000n;
  const PAGE = 0x40_0000n;
  /** Valid, AF, EL1 only, read-write; page or table. */
  const PAGE_RW = 0x703n;
  const BLOCK = 0x701n;
  const READ_ONLY = 0x80n;

  /** 39-bit addresses: RAM's first 2 MiB as a block, the page at `PAGE` through a table. */
  function mapped(words: readonly number[], entry: bigint): Core {
    const core = bareCore(module, words);
    const data = new DataView(core.ram.buffer, core.ram.byteOffset, core.ram.length);
    const table = (offset: bigint, index: bigint, value: bigint): void =>
      data.setBigUint64(Number(offset + 8n * index), value, true);
    table(0xf_f000n, 1n, (RAM + L2) | 3n);
    table(L2, 0n, RAM | BLOCK);
    table(L2, PAGE >> 21n, (RAM + L3) | 3n);
    table(L3, 0n, entry);
    setSysreg(core, layout.SR_TTBR0, RAM + 0xf_f000n);
    setSysreg(core, layout.SR_TCR, 25n | (1n << 23n));
    setSysreg(core, layout.SR_SCTLR, 0x30d0_0801n);
    core.setX(0, RAM + PAGE);
    core.setX(1, 0x1234n);
    core.setX(3, (RAM + PAGE) >> 12n);
    return core;
  }

  const setEntry = (core: Core, entry: bigint): void =>
    new DataView(core.ram.buffer, core.ram.byteOffset).setBigUint64(Number(L3), entry, true);

  test('a page that leads elsewhere', () => {
    const core = mapped([A64.STR_X1_X0, A64.HVC], (RAM + 0x60_0000n) | PAGE_RW);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(core.pc).toBe(RAM + 8n);
    expect(core.ram.subarray(0x60_0000, 0x60_0002)).toEqual(new Uint8Array([0x34, 0x12]));
    expect(core.ram[Number(PAGE)]).toBe(0);
  });

  test.each([
    ['no entry', 0n, 0x07],
    ['no access flag', (RAM + 0x60_0000n) | (PAGE_RW & ~0x400n), 0x0b],
    ['read-only', (RAM + 0x60_0000n) | PAGE_RW | READ_ONLY, 0x0f],
  ])('a store to a page with %s faults', (_, entry, status) => {
    const core = mapped([A64.STR_X1_X0], entry);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    // Data abort from EL1, WnR set.
    expect(syndrome(core)).toEqual([0x25, 0x40 | status]);
    expect(sysreg(core, layout.SR_FAR)).toBe(RAM + PAGE);
    expect(sysreg(core, layout.SR_ELR)).toBe(RAM);
    expect(core.ram[0x60_0000]).toBe(0);
  });

  // AT S1E1R, S1E1W and S1E0R of x0. Linux asks so in its handler of faults.
  test.each([
    ['a read', 0xd508_7800, PAGE_RW, 0xff00_0000_0000_0b80n | (RAM + 0x60_0000n)],
    ['a write', 0xd508_7820, PAGE_RW, 0xff00_0000_0000_0b80n | (RAM + 0x60_0000n)],
    ['a write to what is read-only', 0xd508_7820, PAGE_RW | READ_ONLY, 0x801n | (0x0fn << 1n)],
    ['a read by EL0', 0xd508_7840, PAGE_RW, 0x801n | (0x0fn << 1n)],
    ['a read without an entry', 0xd508_7800, 0n, 0x801n | (0x07n << 1n)],
  ])('AT, for %s: PAR_EL1 has the answer, and nothing faults', (_, word, bits, par) => {
    const entry = bits === 0n ? 0n : (RAM + 0x60_0000n) | bits;
    const core = mapped([word, A64.HVC], entry);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(core.pc).toBe(RAM + 8n);
    expect(sysreg(core, layout.SR_PAR)).toBe(par);
  });

  test('an instruction in a page that must not be executed', () => {
    const core = mapped([], (RAM + 0x60_0000n) | PAGE_RW | (1n << 53n));
    core.pc = RAM + PAGE;
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(syndrome(core)).toEqual([0x21, 0x0f]);
  });

  test('a new entry counts from the TLBI on at the latest', () => {
    const core = mapped(
      [A64.LDR_X1_X0, A64.HVC, A64.TLBI_VAAE1IS_X3, A64.LDR_X1_X0, A64.HVC],
      (RAM + 0x60_0000n) | PAGE_RW,
    );
    put(core, 0x60_0000, [0x11]);
    put(core, 0x61_0000, [0x22]);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(core.getX(1)).toBe(0x11n);
    setEntry(core, (RAM + 0x61_0000n) | PAGE_RW);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(core.getX(1)).toBe(0x22n);
  });

  test('an unaligned load across two pages takes from both, or faults at the second', () => {
    const core = mapped([A64.LDUR_W2_X0_6, A64.HVC], (RAM + 0x60_0000n) | PAGE_RW);
    core.ram.set([0x11, 0x22], 0x60_0ffe);
    core.setX(0, RAM + PAGE + 0xff8n);
    expect(core.run(10)).toBe(layout.STOP_HVC);
    expect(syndrome(core)).toEqual([0x25, 0x07]);
    expect(sysreg(core, layout.SR_FAR)).toBe(RAM + PAGE + 0x1000n);

    const both = mapped([A64.LDUR_W2_X0_6, A64.HVC], (RAM + 0x60_0000n) | PAGE_RW);
    const data = new DataView(both.ram.buffer, both.ram.byteOffset);
    data.setBigUint64(Number(L3) + 8, (RAM + 0x70_0000n) | PAGE_RW, true);
    both.ram.set([0x11, 0x22], 0x60_0ffe);
    both.ram.set([0x33, 0x44], 0x70_0000);
    both.setX(0, RAM + PAGE + 0xff8n);
    expect(both.run(10)).toBe(layout.STOP_HVC);
    expect(both.pc).toBe(RAM + 8n);
    expect(both.getX(2)).toBe(0x4433_2211n);
  });
});
