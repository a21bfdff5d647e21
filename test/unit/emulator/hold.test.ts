import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';

import type { Emulator, WasmModule } from '../../../src/emulator/index.ts';
import { A64, bareMachine, RAM } from '../../support/a64-program.ts';
import { builtCore } from '../../support/emulator.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
}, 60_000);

/** A register of a device, outside RAM. */
const DEVICE = 0x0a00_0000n;

/** Writes x1 to the device and counts, for ever: str x1,[x0]; add x1,x1,#1; b . - 8 */
const WRITER = [A64.STR_X1_X0, 0x9100_0421, 0x17ff_fffe];

interface World {
  readonly machine: Emulator;
  readonly written: number[];
  rounds: number;
}

/** The machine, with a device that hears what is written and holds it where it is told to. */
function world(program: readonly number[], held: (value: number) => boolean): World {
  const machine = bareMachine(module, [...program]);
  const it: World = { machine, written: [], rounds: 0 };
  machine.core.setX(0, DEVICE);
  machine.connect({
    read: () => undefined,
    write: (address, _size, value) => {
      if (address !== Number(DEVICE)) return true;
      it.written.push(value);
      if (held(value)) machine.hold();
      return true;
    },
    work: () => {
      it.rounds++;
      return false;
    },
  });
  return it;
}

const BUDGET = 12_000_000;

test('held by a device, the CPU executes nothing after that instruction', async () => {
  const it = world(WRITER, (value) => value === 5);
  const run = it.machine.run({ budget: 1000 });
  await wait(20);
  expect(it.written).toEqual([0, 1, 2, 3, 4, 5]);
  expect(it.machine.core.pc).toBe(RAM + 4n);
  expect(it.machine.core.retired).toBe(16n);
  it.machine.release();
  expect((await run).kind).toBe('budget');
  expect(it.machine.core.retired).toBe(1000n);
});

test('a run that is held now and then is the same run', async () => {
  const free = world(WRITER, () => false);
  await free.machine.run({ budget: BUDGET });
  let holds = 0;
  const it = world(WRITER, (value) => value % 400_001 === 7);
  const run = it.machine.run({ budget: BUDGET });
  const done = run.then(() => 'done');
  while ((await Promise.race([done, wait(5)])) !== 'done') {
    if (it.written.at(-1) !== undefined) holds++;
    it.machine.release();
  }
  expect(holds).toBeGreaterThan(5);
  expect(it.rounds).toBe(free.rounds);
  expect(it.written.length).toBe(free.written.length);
  const [a, b] = [it.machine.save(), free.machine.save()];
  expect(Buffer.from(a.cpu).toString('hex')).toBe(Buffer.from(b.cpu).toString('hex'));
});

test('held in the middle of a sleep, the sleep goes on where it was', async () => {
  const machine = bareMachine(module, [A64.WFI, A64.B_SELF]);
  let rounds = 0;
  machine.connect({
    read: () => undefined,
    write: () => false,
    work: () => {
      rounds++;
      if (rounds === 3) machine.hold();
      return rounds < 6;
    },
  });
  const run = machine.run({ budget: 1000 });
  await wait(20);
  expect([rounds, machine.core.retired]).toEqual([3, 1n]);
  machine.release();
  // One round before the first instruction, five in the sleep that nothing ends.
  expect((await run).kind).toBe('asleep');
  expect(rounds).toBe(6);
});

test('a held machine can be aborted', async () => {
  const it = world(WRITER, (value) => value === 1);
  const abort = new AbortController();
  const run = it.machine.run({ budget: 1e9, signal: abort.signal });
  await wait(10);
  abort.abort();
  expect((await run).kind).toBe('aborted');
});

test('a machine that is held before it runs waits', async () => {
  const it = world(WRITER, () => false);
  it.machine.hold();
  const run = it.machine.run({ budget: 100 });
  await wait(10);
  expect(it.machine.core.retired).toBe(0n);
  it.machine.release();
  expect((await run).kind).toBe('budget');
});
