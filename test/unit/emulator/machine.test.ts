import { beforeAll, describe, expect, test } from 'vitest';

import {
  describeOutcome,
  disassemble,
  type Emulator,
  type WasmModule,
} from '../../../src/emulator/index.ts';
import { A64, bareMachine, RAM } from '../../support/a64-program.ts';
import { builtCore } from '../../support/emulator.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
}, 60_000);

/** movz x0, #low; movk x0, #high, lsl #16; hvc */
const psci = (id: number): number[] => [
  0xd280_0000 | ((id & 0xffff) << 5),
  0xf2a0_0000 | ((id >>> 16) << 5),
  A64.HVC,
];

describe('how a run ends', () => {
  test('powered off, reset', async () => {
    const off = await bareMachine(module, psci(0x8400_0008)).run({ budget: 1000 });
    expect(off).toMatchObject({ kind: 'off', instructions: 3n, el: 1 });
    const reset = await bareMachine(module, psci(0x8400_0009)).run({ budget: 1000 });
    expect(reset.kind).toBe('reset');
  });

  test('a reset is as power-on, but for RAM and time', async () => {
    const machine = bareMachine(module, psci(0x8400_0009));
    const before = machine.save();
    machine.core.ram[0x8000] = 0x77;
    await machine.run({ budget: 1000 });
    machine.gic.distributor.on = true;
    machine.uart.input(Uint8Array.of(1, 2, 3));
    const { retired, clock } = machine.core;
    machine.reset();
    expect(machine.core.getX(0)).toBe(0n);
    expect(machine.core).toMatchObject({ retired, clock });
    expect(machine.core.ram[0x8000]).toBe(0x77);
    const after = machine.save();
    expect(after).toMatchObject({ gic: before.gic, uart: before.uart, its: before.its });
    machine.core.pc = RAM;
    expect((await machine.run({ budget: 1000 })).kind).toBe('reset');
  });

  test('other PSCI calls are answered', async () => {
    const machine = bareMachine(module, [...psci(0x8400_0000), ...psci(0x8400_1234), A64.WFI]);
    expect(machine.advance(3)).toBeUndefined();
    expect(machine.core.getX(0)).toBe(0x1_0001n);
    const outcome = await machine.run({ budget: 1000 });
    expect(machine.core.getX(0)).toBe(0xffff_ffff_ffff_ffffn);
    expect(outcome.kind).toBe('asleep');
  });

  test('asleep with nothing that could wake it', async () => {
    const outcome = await bareMachine(module, [A64.WFI]).run({ budget: 1e9 });
    expect(outcome).toMatchObject({ kind: 'asleep', pc: RAM + 4n, instructions: 1n });
  });

  test('asleep until a device does something', async () => {
    const machine = bareMachine(module, [A64.WFI, ...psci(0x8400_0008)]);
    const { gic } = machine;
    gic.distributor.on = true;
    gic.cpu.control = 1;
    gic.cpu.mask = 0xff;
    gic.enabled[40] = 1;
    gic.target[40] = 1;
    let rounds = 0;
    machine.connect({
      read: () => undefined,
      write: () => false,
      // One round before the first instruction, then one with more to do, then the interrupt.
      work: () => {
        rounds++;
        if (rounds === 3) gic.setLine(8, true);
        return rounds < 3;
      },
    });
    expect((await machine.run({ budget: 1000 })).kind).toBe('off');
    expect(rounds).toBe(3);
  });

  test('an endless loop ends with the budget', async () => {
    const outcome = await bareMachine(module, [A64.B_SELF]).run({ budget: 12_000_000 });
    expect(outcome).toMatchObject({ kind: 'budget', pc: RAM, instructions: 12_000_000n });
    expect(describeOutcome(outcome)).toBe(
      'hung: the budget of instructions is used up at 0x40000000 (EL1) after 12000000 instructions',
    );
  });

  test('an instruction the core does not have stops it with word, place and surroundings', async () => {
    const plain = await bareMachine(module, [A64.CRC32B]).run({ budget: 10 });
    expect(plain).toMatchObject({ kind: 'unsupported', word: A64.CRC32B, pc: RAM });
    if (plain.kind !== 'unsupported') throw new Error(plain.kind);
    expect(plain.listing).toContain(`> 0x40000000 0x1ac24020 ${disassemble(A64.CRC32B)}`);
    expect(plain.listing).toHaveLength(9);
  });

  test('a system register the core does not have is named', async () => {
    // mrs x0, s3_0_c11_c7_3
    const outcome = await bareMachine(module, [0xd538_b760]).run({ budget: 10 });
    expect(outcome).toMatchObject({ kind: 'unsupported', what: 'S3_0_C11_C7_3' });
  });

  test('aborted', async () => {
    const signal = AbortSignal.abort();
    expect((await bareMachine(module, [A64.B_SELF]).run({ budget: 1e9, signal })).kind).toBe(
      'aborted',
    );
  });
});

describe('snapshot and restore', () => {
  /** Counts in memory for ever: ldr x1,[x0]; add x1,x1,#1; str x1,[x0]; b . - 12 */
  const COUNTER = [0xf940_0001, 0x9100_0421, A64.STR_X1_X0, 0x17ff_fffd];

  /** Whether both are in the same state; comparing megabytes is for Buffer. */
  function same(a: Emulator, b: Emulator): boolean {
    const [x, y] = [a.save(), b.save()];
    expect(x.gic).toEqual(y.gic);
    expect(x.uart).toEqual(y.uart);
    expect(Buffer.from(x.cpu).toString('hex')).toBe(Buffer.from(y.cpu).toString('hex'));
    return Buffer.compare(x.ram, y.ram) === 0;
  }

  test('a restored machine goes on as the one that was saved', () => {
    const machine = bareMachine(module, COUNTER);
    machine.core.setX(0, RAM + 0x1000n);
    machine.advance(1001);
    const state = structuredClone(machine.save());
    machine.advance(3003);

    const other = bareMachine(module, []);
    other.restore(state);
    expect(other.core.retired).toBe(1001n);
    other.advance(3003);
    expect(same(other, machine)).toBe(true);
    expect(other.core.ram[0x1000]).toBe((4004 / 4) & 0xff);
  });

  test('it does not matter how a run is cut into pieces', () => {
    const whole = bareMachine(module, COUNTER);
    const pieces = bareMachine(module, COUNTER);
    for (const machine of [whole, pieces]) machine.core.setX(0, RAM + 0x1000n);
    whole.advance(5000);
    for (let n = 0; n < 5000; n += 7) pieces.advance(Math.min(7, 5000 - n));
    expect(same(pieces, whole)).toBe(true);
  });

  test('RAM of another size is refused', () => {
    const machine = bareMachine(module, []);
    const state = machine.save();
    expect(() => machine.restore({ ...state, ram: state.ram.slice(1) })).toThrow(RangeError);
  });
});
