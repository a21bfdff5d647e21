import { beforeAll, describe, expect, test } from 'vitest';

import { RealTime, type Emulator, type WasmModule } from '../../../src/emulator/index.ts';
import { A64, bareMachine } from '../../support/a64-program.ts';
import { builtCore } from '../../support/emulator.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
}, 60_000);

const MS = 1_000_000n;
/** Nanoseconds of a tick of the timer. */
const TICK = 16n;

/** movz x0, #8; movk x0, #0x8400, lsl #16; hvc: PSCI SYSTEM_OFF. */
const OFF = [0xd280_0100, 0xf2b0_8000, A64.HVC];

/** A machine that sets its timer, sleeps, and powers off. */
function sleeper(nanoseconds: bigint): Emulator {
  const machine = bareMachine(module, [A64.MSR_CNTV_TVAL_X0, A64.MSR_CNTV_CTL_X1, A64.WFI, ...OFF]);
  machine.core.setX(0, nanoseconds / TICK);
  machine.core.setX(1, 1n);
  return machine;
}

describe('the clock', () => {
  test('starts when it is first asked', () => {
    let time = 500n;
    const clock = new RealTime({ clock: () => time });
    expect(clock.now()).toBe(0n);
    time = 512n;
    expect(clock.now()).toBe(12n);
  });

  test('a host that stops us for long takes at most a second from the guest', async () => {
    let time = 0n;
    const clock = new RealTime({ clock: () => time });
    clock.now();
    time += 900n * MS;
    expect(clock.now()).toBe(900n * MS);
    time += 30_000n * MS;
    expect(clock.now()).toBe(1900n * MS);
    time += 5n * MS;
    expect(clock.now()).toBe(1905n * MS);
    // A sleep is none, however long; only what comes after its end may be.
    const sleep = clock.sleep(61_905n * MS);
    time += 60_500n * MS;
    clock.wake();
    await sleep;
    expect(clock.now()).toBe(62_405n * MS);
    const other = clock.sleep(72_405n * MS);
    time += 40_000n * MS;
    clock.wake();
    await other;
    expect(clock.now()).toBe(73_405n * MS);
  });

  test('a sleep ends at its time, and at once when that is over', async () => {
    const clock = new RealTime();
    await clock.sleep(clock.now() + 3n * MS);
    expect(clock.now()).toBeGreaterThanOrEqual(3n * MS);
    await clock.sleep(0n);
  });

  test('it ends when it is woken, before or after it began, and with the signal', async () => {
    const clock = new RealTime();
    clock.wake();
    await clock.sleep(undefined);
    const sleep = clock.sleep(undefined);
    clock.wake();
    await sleep;
    const ender = new AbortController();
    const ended = clock.sleep(undefined, ender.signal);
    ender.abort();
    await ended;
    await clock.sleep(undefined, ender.signal);
  });
});

describe('a machine in real time', () => {
  test('sleeps as long as its timer says', async () => {
    const machine = sleeper(20n * MS);
    const realTime = new RealTime();
    const outcome = await machine.run({ budget: 1e9, realTime });
    expect(outcome).toMatchObject({ kind: 'off', instructions: 6n });
    expect(realTime.now()).toBeGreaterThanOrEqual(20n * MS);
    expect(outcome.nanoseconds).toBeGreaterThanOrEqual(20n * MS);
  });

  test('and otherwise not at all', async () => {
    const outcome = await sleeper(30_000n * MS).run({ budget: 1e9 });
    expect(outcome).toMatchObject({ kind: 'off', instructions: 6n });
    expect(outcome.nanoseconds).toBeGreaterThanOrEqual(30_000n * MS);
  });

  test('comes back after a second, and goes on', async () => {
    // A clock that runs ahead of the wall's by a second at each look: no test waits for it.
    let time = 0n;
    const realTime = new RealTime({ clock: () => (time += 400n * MS) });
    const machine = bareMachine(module, [A64.B_SELF]);
    expect(await machine.run({ budget: 1e9, realTime })).toMatchObject({ kind: 'budget' });
    const { clock } = machine.core;
    expect(clock).toBeGreaterThanOrEqual(400n * MS);
    expect(await machine.run({ budget: 1e9, realTime })).toMatchObject({ kind: 'budget' });
    expect(machine.core.clock).toBeGreaterThan(clock);
  });

  test('asleep for ever is a hang, unless somebody may still wake it', async () => {
    const hung = await bareMachine(module, [A64.WFI]).run({
      budget: 1e9,
      realTime: new RealTime(),
    });
    expect(hung.kind).toBe('asleep');
    const realTime = new RealTime({ open: true });
    const machine = bareMachine(module, [A64.WFI, ...OFF]);
    const run = machine.run({ budget: 1e9, realTime });
    setTimeout(() => {
      machine.uart.input(Uint8Array.of(0x20));
      realTime.wake();
    }, 5);
    expect((await run).kind).toBe('off');
  });

  test('ends with its signal while it sleeps', async () => {
    const ender = new AbortController();
    const realTime = new RealTime({ open: true });
    const run = bareMachine(module, [A64.WFI, A64.B_SELF]).run({
      budget: 1e9,
      realTime,
      signal: ender.signal,
    });
    setTimeout(() => ender.abort(), 5);
    expect((await run).kind).toBe('aborted');
  });
});
