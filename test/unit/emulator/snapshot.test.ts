import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';

import { encodePlain, FormatError } from '../../../src/bytes/index.ts';
import {
  attach,
  Emulator,
  readSnapshot,
  restoreSnapshot,
  takeSnapshot,
  writeSnapshot,
  type Snapshot,
  type WasmModule,
} from '../../../src/emulator/index.ts';
import { buildMachine, type Machine } from '../../../src/machine/index.ts';
import { type Model } from '../../../src/topology/index.ts';
import { builtCore } from '../../support/emulator.ts';
import { shippedModel as loadShipped } from '../../support/model-guest.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
}, 60_000);

const RAM_SIZE = 0x20_0000;

const models = new Map<string, Model>();

function shippedModel(name: string): Model {
  const model = models.get(name) ?? loadShipped(name);
  models.set(name, model);
  return model;
}

/** Counts in memory for ever: ldr x1,[x0]; add x1,x1,#1; str x1,[x0]; b . - 12 */
const COUNTER = Uint8Array.from(
  [0xf940_0001, 0x9100_0421, 0xf900_0001, 0x17ff_fffd].flatMap((word) => [
    ...new Uint8Array(Uint32Array.of(word).buffer),
  ]),
);

interface Whole {
  readonly emulator: Emulator;
  readonly machine: Machine;
}

/** A topology's machine whose CPU counts. */
function counter(model: Model, code = COUNTER): Whole {
  const emulator = new Emulator({ module, ramSize: RAM_SIZE, gic: model.gic?.version ?? 2 });
  const machine = buildMachine(model, { memory: emulator.memory });
  attach(emulator, machine);
  emulator.placed.put(0x8000, code);
  emulator.core.pc = 0x4000_8000n;
  emulator.core.setX(0, 0x4010_0000n);
  return { emulator, machine };
}

/** All that can be told of a machine. */
function stateOf({ emulator, machine }: Whole): unknown {
  // Differences in megabytes are nothing to look at.
  const parts = { ...emulator.save(), machine: machine.snapshot({ ram: false }) };
  return Object.fromEntries(
    Object.entries(parts).map(([name, part]) => [
      name,
      createHash('sha256').update(encodePlain(part)).digest('hex'),
    ]),
  );
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
  return 'none';
}

describe.each(['gicv2m', 'its'])('a whole machine (%s)', (name) => {
  const model = (): Model => shippedModel(name);

  test('goes on in another one as it did, whenever it was taken', async () => {
    const first = counter(model());
    first.emulator.uart.input(Buffer.from('typed, and not read yet'));
    for (const step of [1, 999, 123_457]) {
      first.emulator.advance(step);
      const file = await writeSnapshot(
        takeSnapshot(first.emulator, first.machine, [['a line', 1.5]]),
      );
      first.emulator.advance(10_000);
      const other = counter(model());
      const snapshot = readSnapshot(file, RAM_SIZE);
      expect(snapshot.said).toEqual([['a line', 1.5]]);
      restoreSnapshot(other.emulator, other.machine, snapshot);
      other.emulator.advance(10_000);
      expect(stateOf(other)).toEqual(stateOf(first));
    }
  });

  test('goes on in one that ran already', async () => {
    const first = counter(model());
    first.emulator.advance(5000);
    const file = await writeSnapshot(takeSnapshot(first.emulator, first.machine));
    const before = stateOf(first);
    first.emulator.core.ram.fill(0x77, 0x1000, 0x1_8000);
    first.emulator.advance(4);
    restoreSnapshot(first.emulator, first.machine, readSnapshot(file, RAM_SIZE));
    expect(stateOf(first)).toEqual(before);
  });

  test('has no page in it that the boot put there', () => {
    const { emulator, machine } = counter(model());
    emulator.advance(100);
    const { pages } = takeSnapshot(emulator, machine);
    expect(pages.bytes.length).toBe(4096);
    expect(new DataView(pages.numbers.buffer).getUint32(0, true)).toBe(0x10_0000 / 4096);
    // Not even where it was overwritten with zeros does it come back.
    emulator.core.ram.fill(0, 0x8000, 0x9000);
    const other = counter(model());
    restoreSnapshot(other.emulator, other.machine, takeSnapshot(emulator, machine));
    expect(Buffer.compare(other.emulator.core.ram, emulator.core.ram)).toBe(0);
  });
});

test('devices that came and went while the guest ran are there, or not', () => {
  const model = shippedModel('root-ports');
  const first = counter(model);
  const [gone, ...rest] = model.endpoints;
  if (gone === undefined) throw new Error('no endpoint');
  expect(first.machine.unplug(gone.id)).toBe(true);
  const snapshot = takeSnapshot(first.emulator, first.machine);
  const other = counter(model);
  restoreSnapshot(other.emulator, other.machine, snapshot);
  expect(other.machine.unit(gone.id)).toBeUndefined();
  expect(rest.every(({ id }) => other.machine.unit(id) !== undefined)).toBe(true);
  expect(stateOf(other)).toEqual(stateOf(first));
  // And back again.
  const whole = counter(model);
  restoreSnapshot(other.emulator, other.machine, takeSnapshot(whole.emulator, whole.machine));
  expect(other.machine.unit(gone.id)).toBeDefined();
});

describe('what is refused', () => {
  const of = async (name = 'gicv2m'): Promise<Uint8Array> => {
    const { emulator, machine } = counter(shippedModel(name));
    emulator.advance(1000);
    return writeSnapshot(takeSnapshot(emulator, machine));
  };
  const into = (file: Uint8Array, { emulator, machine }: Whole): string =>
    codeOf(() => restoreSnapshot(emulator, machine, readSnapshot(file, RAM_SIZE)));

  test('another machine, another kernel', async () => {
    const file = await of();
    expect(into(file, counter(shippedModel('gicv2m')))).toBe('none');
    expect(into(file, counter(shippedModel('its')))).toBe('snapshot/other');
    expect(into(file, counter(shippedModel('root-ports')))).not.toBe('none');
    const code = Uint8Array.from(COUNTER);
    code[0] = 2;
    expect(into(file, counter(shippedModel('gicv2m'), code))).toBe('snapshot/other');
  });

  test('a damaged file, wherever', async () => {
    const file = await of();
    expect(codeOf(() => readSnapshot(Buffer.from('no snapshot at all'), RAM_SIZE))).toBe(
      'snapshot/magic',
    );
    expect(codeOf(() => readSnapshot(file, 0x1000))).toBe('none');
    for (let at = 0; at < file.length; at += 97) {
      const damaged = Uint8Array.from(file);
      damaged[at] = (damaged[at] ?? 0) ^ 0x40;
      expect(codeOf(() => readSnapshot(damaged, RAM_SIZE))).toMatch(/^snapshot\/(magic|hash)$/u);
      expect(codeOf(() => readSnapshot(file.subarray(0, at), RAM_SIZE))).toMatch(/^snapshot\//u);
    }
  });

  test('a length that would take all memory', async () => {
    const file = Uint8Array.from(await of());
    new DataView(file.buffer).setBigUint64(40, 1n << 40n, true);
    const hash = createHash('sha256').update(file.subarray(40)).digest();
    file.set(hash, 8);
    expect(codeOf(() => readSnapshot(file, RAM_SIZE))).toBe('snapshot/length');
    new DataView(file.buffer).setBigUint64(40, 1000n, true);
    file.set(createHash('sha256').update(file.subarray(40)).digest(), 8);
    expect(codeOf(() => readSnapshot(file, RAM_SIZE))).toBe('snapshot/packed');
  });

  test('somebody else made it: no value anywhere makes it fail otherwise', async () => {
    const { emulator, machine } = counter(shippedModel('its'));
    emulator.advance(1000);
    const good = takeSnapshot(emulator, machine);
    const odd = fc.constantFrom<unknown>(
      undefined,
      null,
      -1,
      1e300,
      NaN,
      2 ** 32,
      '',
      'x',
      -1n,
      1n << 80n,
      [],
      {},
      new Uint8Array(3),
      true,
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(), odd, fc.boolean(), async (which, value, remove) => {
        const bad = replaced(good, which, value, remove);
        const file = await writeSnapshot(bad);
        const other = counter(shippedModel('its'));
        if (into(file, other) === 'none') other.emulator.advance(1000);
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  test('whatever the CPU’s registers were, it runs or stops', async () => {
    const { emulator, machine } = counter(shippedModel('gicv2m'));
    emulator.advance(1000);
    const good = takeSnapshot(emulator, machine);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 0x1fff }), fc.nat({ max: 0xff })), { maxLength: 40 }),
        (changes) => {
          const cpu = Uint8Array.from(good.cpuSide.cpu);
          for (const [at, value] of changes) cpu[at] = value;
          const other = counter(shippedModel('gicv2m'));
          const bad = { ...good, cpuSide: { ...good.cpuSide, cpu } };
          const code = codeOf(() => restoreSnapshot(other.emulator, other.machine, bad));
          expect(['none', 'snapshot/other']).toContain(code);
          if (code === 'none') other.emulator.advance(5000);
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);
});

/** A copy in which one of the values, however deep, is another, or gone. */
function replaced(snapshot: Snapshot, which: number, value: unknown, remove: boolean): Snapshot {
  const copy = structuredClone(snapshot) as object;
  const places: (readonly [Record<string, unknown>, string])[] = [];
  const collect = (node: unknown): void => {
    if (typeof node !== 'object' || node === null || node instanceof Uint8Array) return;
    for (const [key, child] of Object.entries(node)) {
      places.push([node as Record<string, unknown>, key]);
      collect(child);
    }
  };
  collect(copy);
  const [parent, key] = places[which % places.length] ?? [{}, ''];
  if (remove && !Array.isArray(parent)) Reflect.deleteProperty(parent, key);
  else parent[key] = value;
  return copy as Snapshot;
}
