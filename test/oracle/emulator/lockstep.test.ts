import { beforeAll, describe, expect, test } from 'vitest';

import { bootCmdline, fetchGuest } from '../../../src/guest/index.ts';
import type { WasmModule } from '../../../src/emulator/index.ts';
import { builtCore } from '../../support/emulator.ts';
import type { LockstepBoot } from '../../support/lockstep-qemu.ts';
import { lockstep } from '../../support/lockstep.ts';

let module: WasmModule;
let boot: LockstepBoot;
beforeAll(async () => {
  module = await builtCore();
  const { kernel } = await fetchGuest('arm64');
  boot = { kernel, cmdline: bootCmdline('arm64', 'fast'), ram: 256 };
});

describe("a stock kernel's first instructions, on the core and under QEMU's TCG", () => {
  // `npm run lockstep` goes on for 5 million, or as long as it is told to.
  test('200 thousand, MMU on: program counter, registers and flags are equal', async () => {
    const report = await lockstep(module, boot, 200_000);
    expect(report.divergence).toBeUndefined();
    expect(report.compared).toBe(200_000);
    // Identification registers and the like: few, or it would not be a comparison.
    expect(report.followed).toBeLessThan(100);
    expect(report.interrupts).toBe(0);
    // MSR of the PMU, which the core says it has not.
    expect([...report.skipped.keys()].every((word) => word >>> 16 === 0xd51b)).toBe(true);
  });

  test('one bit in memory that differs is noticed where it is read', async () => {
    // The literal that QEMU's first instruction loads: the address of the device tree.
    const report = await lockstep(module, boot, 1000, (ram) => (ram[0x18] = (ram[0x18] ?? 0) ^ 1));
    expect(report.compared).toBe(1);
    expect(report.divergence).toMatch(/x0 [0-9a-f]+1, QEMU [0-9a-f]+0\n/u);
  });
});
