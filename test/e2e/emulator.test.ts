import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import {
  bootAndJudge,
  emulatorBackend,
  type EmulatorBackendOptions,
} from '../../src/backends/index.ts';
import { SystemMap } from '../../src/emulator/index.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import { stockSeries } from '../../src/qemu/index.ts';
import type { BootHooks, Verdict } from '../../src/scenario/index.ts';
import type { Model } from '../../src/topology/index.ts';
import { builtCore } from '../support/emulator.ts';
import { MUTATIONS, RESET_MUTATION } from '../support/mutations.ts';
import { WRONG_ARM64_VIOTS, WRONG_TREES } from '../support/wrong-firmware.ts';
import { inputOf, shipped, shown, topology, type BootOptions } from './boot-helper.ts';

/** Every shipped topology that an arm64 guest with 4 KiB pages can run on. */
const ARM64 = [
  'one-endpoint',
  'several-endpoints',
  'bypass',
  'root-ports',
  'gicv2m',
  'its',
  'software-doorbell',
  'viommu-mmio',
  'two-viommus',
  'pxb',
  'reserved-regions',
  'device-tree-regions',
  'direct-region',
  'faults',
  'platform-device',
  'segments',
  'large',
  'dma-engine',
  'checks',
  'lazy',
  'identity',
  'passthrough',
  'vfio-userspace',
  'net-transfer',
];

const LOGS = mkdtempSync(join(tmpdir(), 'viommu-topo-emulator-'));
afterAll(() => rmSync(LOGS, { recursive: true, force: true }));
beforeAll(() => builtCore());

type Options = Partial<EmulatorBackendOptions> &
  Pick<BootOptions, 'firmwareFrom' | 'signal' | 'timeLimit'> & { readonly hooks?: BootHooks };

async function boot(model: Model, options: Options = {}): Promise<Verdict> {
  const { hooks, firmwareFrom, signal, timeLimit, ...rest } = options;
  const guest = await fetchGuest('arm64', { series: stockSeries(model.guest.kernel) });
  const serialLog = join(LOGS, `${model.name}.log`);
  const backend = emulatorBackend({ guest, serialLog, ...rest });
  const input = await inputOf(model, {
    ...(firmwareFrom === undefined ? {} : { firmwareFrom }),
    ...(signal === undefined ? {} : { signal }),
    ...(timeLimit === undefined ? {} : { timeLimit }),
  });
  const errors = (await backend.preflight(input)).filter(({ severity }) => severity === 'error');
  expect(errors).toEqual([]);
  return bootAndJudge(backend, input, hooks);
}

describe('a stock arm64 kernel on our own CPU and devices', () => {
  test.each(ARM64)('%s', async (name) => {
    const verdict = await boot(shipped(name));
    expect(shown(verdict)).toContain(`PASS ${name}`);
    // Our devices show everything: nothing stays unseen.
    expect(verdict.promises.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
    if (name !== 'large' && name !== 'identity') {
      expect(verdict.promises.map(({ id }) => id)).toContain('accesses-mapped');
    }
  });
});

/** What only a device tree can tell of: ACPI has no word for it. */
const TREE_ONLY = ['device-tree-regions', 'direct-region'];
/** Long, and nothing in it knows where the firmware came from. */
const ONCE = ['net-transfer'];

describe('the same with ACPI, from tables alone', () => {
  test.each(ARM64.filter((name) => ![...TREE_ONLY, ...ONCE].includes(name)))('%s', async (name) => {
    const verdict = await boot(shipped(name), { firmware: 'acpi' });
    expect(shown(verdict)).toContain(`PASS ${name}`);
    const identical = verdict.promises.find(({ id }) => id === 'firmware-identical');
    expect(identical?.items.map(({ subject }) => subject)).toContain('VIOT');
  });

  test.each(TREE_ONLY)('%s is refused', async (name) => {
    const guest = await fetchGuest('arm64');
    const backend = emulatorBackend({ guest, firmware: 'acpi' });
    const found = await backend.preflight(await inputOf(shipped(name)));
    expect(found.map(({ rule }) => rule)).toEqual(['emulator-region']);
  });
});

test('the same inputs give the same console and the same events', async () => {
  const runs = [];
  for (let round = 0; round < 2; round++) {
    const lines: string[] = [];
    const events: string[] = [];
    const verdict = await boot(shipped('its'), {
      hooks: {
        console: (line) => void lines.push(line),
        event: (event) =>
          void events.push(
            JSON.stringify(event, (_, value: unknown) =>
              typeof value === 'bigint' ? `0x${value.toString(16)}` : value,
            ),
          ),
      },
    });
    expect(verdict.outcome).toBe('pass');
    runs.push({ lines, events, notes: verdict.environment.notes });
  }
  expect(runs[0]?.lines.length).toBeGreaterThan(100);
  expect(runs[0]?.events.length).toBeGreaterThan(500);
  expect(runs[1]).toEqual(runs[0]);
});

test('q35 and 64 KiB pages are refused with an alternative', async () => {
  const guest = await fetchGuest('arm64');
  const backend = emulatorBackend({ guest });
  for (const [name, rule] of [
    ['q35-one-endpoint', 'emulator-board'],
    ['granule-64k', 'emulator-page-size'],
  ] as const) {
    const found = await backend.preflight(await inputOf(shipped(name)));
    expect(found.map((one) => one.rule)).toEqual([rule]);
    expect(found[0]?.cure).toContain('--backend');
  }
});

describe('a tree that is wrong in one place fails for that reason', () => {
  test.each(WRONG_TREES)('$what', async ({ what, text, cause, says, breaks, hangs }) => {
    const model = topology(what.replaceAll(/[^a-zA-Z]+/gu, '-'), text);
    const verdict = await boot(model, hangs === true ? { patience: 4 } : {});
    expect(verdict.causes[0]?.id, shown(verdict)).toBe(cause);
    for (const words of says) expect(verdict.causes[0]?.message).toContain(words);
    const broken = verdict.promises.filter(({ outcome }) => outcome === 'fail');
    // QEMU translates a whole bus, ours what the topology says: an endpoint outside is refused.
    const refused = what === 'a bypassing endpoint inside a row';
    expect(broken.map(({ id }) => id)).toContain(refused ? 'no-failed-request' : breaks);
  });
});

describe('a VIOT that is wrong in one place fails for that reason', () => {
  test.each(WRONG_ARM64_VIOTS)('$what', async ({ what, text, cause, says, breaks, hangs }) => {
    const model = topology(what.replaceAll(/[^a-zA-Z]+/gu, '-'), text);
    const options = { firmware: 'acpi', ...(hangs === true ? { patience: 4 } : {}) } as const;
    const verdict = await boot(model, options);
    expect(verdict.causes[0]?.id, shown(verdict)).toBe(cause);
    for (const words of says) expect(verdict.causes[0]?.message).toContain(words);
    const broken = verdict.promises.filter(({ outcome }) => outcome === 'fail');
    expect(broken.map(({ id }) => id)).toContain(breaks);
  });
});

describe('without a rule of the device model', () => {
  const chosen = new Set(['permission', 'unmap', 'bypass', 'MSI']);
  const first = MUTATIONS.filter(({ rule }) => chosen.delete(rule.split(':')[0] ?? ''));

  test.each([...first, RESET_MUTATION])(
    '$rule: $breaks',
    async ({ topology: name, breaks, plant }) => {
      const back = plant();
      try {
        const verdict = await boot(shipped(name), { patience: 3 });
        const broken = verdict.promises.filter(({ outcome }) => outcome === 'fail');
        expect(
          broken.map(({ id }) => id),
          shown(verdict),
        ).toContain(breaks);
      } finally {
        back();
      }
    },
  );
});

describe('a guest that does not come to its end', () => {
  test('an init that is not there: a panic, and its words', async () => {
    const verdict = await boot(shipped('one-endpoint'), { append: ['rdinit=/nothing'] });
    expect(verdict).toMatchObject({ outcome: 'fail', ending: { kind: 'panic' } });
  });

  test('instructions are used up: where the CPU was', async () => {
    const verdict = await boot(shipped('one-endpoint'), {
      instructions: 60_000_000,
      // As the kernel was linked: it has not moved itself.
      symbols: SystemMap.parse('ffff800080000000 T _text\nffff800090000000 B _end\n'),
    });
    expect(verdict).toMatchObject({ outcome: 'fail', ending: { kind: 'time-limit' } });
    expect(verdict.ending.detail).toMatch(
      /budget of instructions .* at 0xffff[0-9a-f]+ \(_text\+0x[0-9a-f]+, EL1\)/u,
    );
  });

  test('silence is measured in instructions', async () => {
    const verdict = await boot(shipped('one-endpoint'), {
      append: ['quiet'],
      silence: 100_000_000,
    });
    expect(verdict.ending.kind).toBe('silent');
    expect(verdict.ending.detail).toMatch(/not a word for \d+ M instructions/u);
  });

  test('the end comes early when it is asked for', async () => {
    const ender = new AbortController();
    const run = boot(shipped('one-endpoint'), {
      signal: ender.signal,
      hooks: { console: () => ender.abort() },
    });
    await expect(run).rejects.toMatchObject({ name: 'BootAborted' });
  });
});
