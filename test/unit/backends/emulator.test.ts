import { describe, expect, test } from 'vitest';

import { findAcpiTables, readRsdp } from '../../../src/acpi/index.ts';
import { builtImages } from '../../../src/backends/index.ts';
import { stubTree, uefiImage } from '../../../src/backends/emulator-acpi.ts';
import { emulatorEnding } from '../../../src/backends/emulator-ending.ts';
import { emulatorPreflight } from '../../../src/backends/emulator-preflight.ts';
import { runWithin } from '../../../src/backends/emulator-run.ts';
import { chosenTree } from '../../../src/backends/emulator-tree.ts';
import { SystemMap, type Emulator, type Outcome } from '../../../src/emulator/index.ts';
import { decodeString, decodeU64s, findPath, readFdt } from '../../../src/fdt/index.ts';
import { buildFirmware } from '../../../src/firmware/index.ts';
import { parseReport } from '../../../src/guest/index.ts';
import { BootAborted, type BootInput } from '../../../src/scenario/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { modelFrom, shippedModel } from '../../support/model-guest.ts';

function inputOf(model: Model, changes: Partial<BootInput> = {}): BootInput {
  const firmware = builtImages(buildFirmware(model), model.file);
  return { model, firmware, timeLimit: 60, seed: 'unit', ...changes };
}

const ruled = (input: BootInput): string[] => emulatorPreflight(input).map(({ rule }) => rule);

describe('preflight', () => {
  test.each([
    'one-endpoint',
    'gicv2m',
    'segments',
    'large',
    'platform-device',
    'two-viommus',
    'software-doorbell',
  ])('%s can be booted', (name) => {
    expect(emulatorPreflight(inputOf(shippedModel(name)))).toEqual([]);
  });

  test('what cannot be booted is refused, each for its own reason and with a cure', () => {
    const one = (text: string): BootInput => inputOf(modelFrom(text));
    const base = 'viommus: [{ id: viommu0, at: 00:01.0 }]\n';
    const cases: [BootInput, string][] = [
      [inputOf(shippedModel('q35-one-endpoint')), 'emulator-board'],
      [inputOf(shippedModel('granule-64k')), 'emulator-page-size'],
      [one(`extends: virt-arm64\nmachine: { cpus: 2 }\n${base}`), 'emulator-cpus'],
      [one(`extends: virt-arm64\nmachine: { memory: 64M }\n${base}`), 'emulator-memory'],
      [one(`extends: virt-arm64\nmachine: { memory: 8G }\n${base}`), 'emulator-memory'],
      [
        one(`extends: virt-arm64\n${base}endpoints: [{ id: nvme0, at: 00:02.0, device: nvme }]\n`),
        'emulator-device',
      ],
    ];
    for (const [input, rule] of cases) {
      expect(ruled(input)).toEqual([rule]);
      expect(emulatorPreflight(input)[0]?.cure).toBeTruthy();
    }
  });

  test('firmware without a tree, or with one that cannot be read', () => {
    const model = shippedModel('one-endpoint');
    const none = { tables: new Map<string, Uint8Array>(), origin: 'nowhere' };
    expect(ruled(inputOf(model, { firmware: none }))).toEqual(['emulator-firmware']);
    const damaged = { ...none, tree: Uint8Array.of(0xd0, 0x0d, 0xfe, 0xed, 0, 0, 0, 8) };
    expect(ruled(inputOf(model, { firmware: damaged }))).toEqual(['emulator-firmware']);
  });
});

describe('ACPI without a UEFI', () => {
  const model = shippedModel('several-endpoints');
  const tables = [...inputOf(model).firmware.tables.values()];
  const ram = { start: 0x4000_0000n, end: 0x5fff_ffffn };
  const image = uefiImage(model, tables, ram);

  test('the system table leads to an RSDP, and that to every table', () => {
    expect(image.base).toBe(0x5ff0_0000n);
    const data = new DataView(image.bytes.buffer);
    const at = (address: bigint): number => Number(address - image.base);
    expect(image.systemTable).toBe(image.base);
    expect(Buffer.from(image.bytes.subarray(0, 8)).toString('latin1')).toBe('IBI SYST');
    expect(data.getBigUint64(104, true)).toBe(2n);
    const configuration = at(data.getBigUint64(112, true));
    const rsdp = at(data.getBigUint64(configuration + 16, true));
    expect(readRsdp(image.bytes.subarray(rsdp)).problems).toEqual([]);
    const found = findAcpiTables([{ base: image.base, bytes: image.bytes }]);
    expect(found.tables.map(({ signature }) => signature).toSorted()).toEqual(
      ['APIC', 'DSDT', 'FACP', 'GTDT', 'IORT', 'MCFG', 'VIOT'].toSorted(),
    );
  });

  test('the memory map is all of RAM, and says where the tables are', () => {
    const { at, size } = image.memoryMap;
    const data = new DataView(image.bytes.buffer, Number(at - image.base), size);
    const ranges = Array.from({ length: size / 40 }, (_, n) => [
      data.getUint32(40 * n, true),
      data.getBigUint64(40 * n + 8, true),
      data.getBigUint64(40 * n + 24, true) * 4096n,
    ]);
    expect(ranges).toEqual([
      [7, 0x4000_0000n, 0x1ff0_0000n],
      [9, 0x5ff0_0000n, 0x10_0000n],
    ]);
  });

  test('the tree has /chosen and nothing else, or Linux would not take the tables', () => {
    const given = { cmdline: 'a', initrd: [1n, 2n] as const, seed: '' };
    const { tree } = readFdt(stubTree(image, given));
    expect([...tree.children].map(({ name }) => name)).toEqual(['chosen']);
    const start = findPath(tree, '/chosen')?.bytes('linux,uefi-system-table');
    expect(decodeU64s(start ?? new Uint8Array())).toEqual([image.base]);
  });

  test('too many tables, and what ACPI has no word for, are refused', () => {
    const large = new Uint8Array(2 ** 20);
    large.set(tables[0] ?? []);
    new DataView(large.buffer).setUint32(4, large.length, true);
    expect(() => uefiImage(model, [large], ram)).toThrow(RangeError);
    const regions = emulatorPreflight(inputOf(shippedModel('direct-region')), 'acpi');
    expect(regions.map(({ rule }) => rule)).toEqual(['emulator-region']);
    const none = { tables: new Map<string, Uint8Array>(), origin: 'nowhere' };
    const without = emulatorPreflight(inputOf(model, { firmware: none }), 'acpi');
    expect(without.map(({ rule }) => rule)).toEqual(['emulator-firmware']);
  });
});

describe('the tree that the kernel is given', () => {
  const blob = buildFirmware(shippedModel('one-endpoint')).dtb ?? new Uint8Array();
  const given = (seed: string): Uint8Array =>
    chosenTree(blob, { cmdline: 'a b', initrd: [0x5000_0000n, 0x5000_1000n], seed });

  test('has command line, initramfs and a seed in /chosen, and is else the same', () => {
    const { tree } = readFdt(given('x'));
    const chosen = findPath(tree, '/chosen');
    expect(decodeString(chosen?.bytes('bootargs') ?? new Uint8Array())).toBe('a b');
    expect(decodeU64s(chosen?.bytes('linux,initrd-start') ?? new Uint8Array())).toEqual([
      0x5000_0000n,
    ]);
    expect(decodeU64s(chosen?.bytes('linux,initrd-end') ?? new Uint8Array())).toEqual([
      0x5000_1000n,
    ]);
    const before = findPath(readFdt(blob).tree, '/chosen');
    expect(chosen?.bytes('stdout-path')).toEqual(before?.bytes('stdout-path'));
    expect([...tree.children].map(({ name }) => name)).toEqual(
      [...readFdt(blob).tree.children].map(({ name }) => name),
    );
  });

  test('depends on the seed and on nothing else', () => {
    expect(given('x')).toEqual(given('x'));
    expect(given('x')).not.toEqual(given('y'));
  });
});

const WHERE = {
  pc: 0xffff_8000_8000_0000n,
  el: 1,
  instructions: 5_000_000n,
  nanoseconds: 5_000_000n,
  lastLines: ['the last'],
};
const outcome = (kind: 'off' | 'asleep' | 'budget' | 'reset'): Outcome => ({ kind, ...WHERE });

describe('how a run ended', () => {
  const report = parseReport('[    0.000000] Booting Linux\n');

  test.each([
    ['asleep', 'silent', /asleep \(WFI\) .* at 0xffff800080000000 \(EL1\)/u],
    ['budget', 'time-limit', /budget of instructions/u],
    ['off', 'machine-exited', /powered off .* before its init script/u],
    ['reset', 'machine-exited', /reset/u],
  ] as const)('%s: %s', (kind, expected, detail) => {
    const ending = emulatorEnding(report, [], { kind: 'outcome', outcome: outcome(kind) });
    expect(ending.kind).toBe(expected);
    expect(ending.detail).toMatch(detail);
    expect(ending.tail).toEqual(['[    0.000000] Booting Linux']);
  });

  test.each([
    { kind: 'silent', instructions: 4e9 },
    { kind: 'time-limit', seconds: 20 },
  ] as const)('a limit of $kind says where the CPU was, and blames nothing else', (stop) => {
    const { kind, detail } = emulatorEnding(report, [], { ...stop, outcome: outcome('budget') });
    expect(kind).toBe(stop.kind);
    expect(detail).toContain('at 0xffff800080000000 (EL1) after 5000000 instructions');
    expect(detail).not.toContain('budget');
  });

  test('an address has a name where the names of the kernel are known', () => {
    const start = WHERE.pc - 0x14n;
    const symbols = SystemMap.parse(`${start.toString(16).padStart(16, '0')} T cpu_do_idle\n`);
    const stop = { kind: 'outcome', outcome: outcome('asleep') } as const;
    const { detail, tail } = emulatorEnding(report, [], stop, symbols);
    expect(detail).toContain('(cpu_do_idle+0x14, EL1)');
    expect(tail).toEqual(['[    0.000000] Booting Linux']);
    const user = { ...stop.outcome, el: 0 };
    expect(emulatorEnding(report, [], { ...stop, outcome: user }, symbols).detail).toContain(
      '(EL0)',
    );
  });

  test('a panic goes before the reset that it makes', () => {
    const panic = { text: 'Kernel panic - not syncing', meaning: { code: 'panic' as const } };
    const stop = { kind: 'outcome', outcome: outcome('reset') } as const;
    expect(emulatorEnding(report, [panic], stop)).toMatchObject({
      kind: 'panic',
      detail: 'Kernel panic - not syncing',
    });
  });
});

/** A CPU that only counts: each run uses its budget up, and sleeps as long. */
function counter(end?: { at: number; outcome: Outcome }): Emulator {
  const core = { retired: 0n };
  const run = ({ budget, signal }: { budget: number; signal?: AbortSignal }): Promise<Outcome> => {
    if (signal?.aborted === true) return Promise.resolve({ kind: 'aborted', ...WHERE });
    core.retired += BigInt(budget);
    if (end !== undefined && core.retired >= end.at) return Promise.resolve(end.outcome);
    const instructions = core.retired;
    return Promise.resolve({ ...outcome('budget'), instructions, nanoseconds: 2n * instructions });
  };
  return { core, run } as unknown as Emulator;
}

describe('limits', () => {
  const limits = { guestSeconds: 10, instructions: 4e9, silence: 1e9 };

  test('the machine ends by itself', async () => {
    const end = { at: 2e8, outcome: outcome('off') };
    const stop = await runWithin(counter(end), limits, () => 0n);
    expect(stop).toEqual({ kind: 'outcome', outcome: end.outcome });
  });

  test('silence since the last line', async () => {
    const stop = await runWithin(counter(), limits, () => 500_000_000n);
    expect(stop).toMatchObject({ kind: 'silent', instructions: 1e9 });
    expect(stop.outcome.instructions).toBe(1_500_000_000n);
  });

  test("instructions in all, and seconds of the guest's time", async () => {
    const talks = counter();
    const last = (emulator: Emulator) => (): bigint => emulator.core.retired;
    expect(await runWithin(talks, limits, last(talks))).toMatchObject({
      kind: 'outcome',
      outcome: { kind: 'budget', instructions: 4_000_000_000n },
    });
    const sleeps = counter();
    const stop = await runWithin(sleeps, { ...limits, guestSeconds: 1 }, last(sleeps));
    expect(stop).toMatchObject({ kind: 'time-limit', seconds: 1 });
    expect(stop.outcome.nanoseconds).toBe(1_000_000_000n);
  });

  test('a signal ends it', async () => {
    const run = runWithin(counter(), limits, () => 0n, AbortSignal.abort());
    await expect(run).rejects.toBeInstanceOf(BootAborted);
  });
});
