import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { qemuBackend } from '../../src/backends/index.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import { judge } from '../../src/scenario/index.ts';
import { boot, inputOf, serialLogOf, shipped, shown } from './boot-helper.ts';

/** What QEMU can hold, by what it shows. `direct-region` needs a newer kernel: see below. */
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
  'faults',
  'checks',
  'lazy',
  'identity',
  'net-transfer',
];
const Q35 = [
  'q35-one-endpoint',
  'q35-several-endpoints',
  'q35-bypass',
  'q35-pxb',
  'q35-root-ports',
  'q35-faults',
  'q35-boot-bypass-off',
];

/** For other backends, or other kernels than Debian's 6.12. */
const ELSEWHERE = [
  'dma-engine',
  'direct-region',
  'passthrough',
  'vfio-userspace',
  'q35-vfio-userspace',
  'platform-device',
  'segments',
  'granule-64k',
  'large',
  'several-viommus',
  'q35-several-viommus',
];

test('every shipped topology is in one of the lists', () => {
  const names = readdirSync(new URL('../../topologies', import.meta.url))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length));
  expect(names.toSorted()).toEqual([...ARM64, ...Q35, ...ELSEWHERE].toSorted());
});

test('what QEMU cannot hold is refused before anything starts, with an alternative', async () => {
  const refused = async (name: string): Promise<string[]> => {
    const model = shipped(name);
    const guest = await fetchGuest(model.arch === 'arm64' ? 'arm64' : 'amd64');
    const found = await qemuBackend({ guest, accel: 'tcg' }).preflight(await inputOf(model));
    const errors = found.filter(({ severity }) => severity === 'error');
    for (const { cure } of errors) expect(cure).toBeTruthy();
    return errors.map(({ rule }) => rule);
  };
  for (const name of [...ARM64, ...Q35, 'direct-region'])
    expect([name, await refused(name)]).toEqual([name, []]);
  for (const name of ELSEWHERE.filter((one) => one !== 'direct-region')) {
    expect([name, (await refused(name)).length > 0]).toEqual([name, true]);
  }
});

describe('a stock arm64 kernel on our device tree', () => {
  test.each(ARM64)('%s', async (name) => {
    const verdict = await boot(shipped(name));
    expect(shown(verdict)).toContain(`PASS ${name}`);
    const identical = verdict.promises.find(({ id }) => id === 'firmware-identical');
    expect(identical?.items.map(({ subject }) => subject)).toEqual(['device tree']);
  });
});

describe('a stock amd64 kernel on our VIOT', () => {
  test.each(Q35)('%s', async (name) => {
    const verdict = await boot(shipped(name));
    expect(shown(verdict)).toContain(`PASS ${name}`);
    const identical = verdict.promises.find(({ id }) => id === 'firmware-identical');
    expect(identical?.items.map(({ subject }) => subject)).toEqual(['VIOT']);
  });
});

test("QEMU's own VIOT and tree keep the same promises", async () => {
  for (const name of ['q35-several-endpoints', 'several-endpoints']) {
    const verdict = await boot(shipped(name), { firmware: 'qemu' });
    expect(shown(verdict)).toContain(`PASS ${name}`);
    expect(verdict.promises.map(({ id }) => id)).not.toContain('firmware-identical');
  }
});

test('a direct region crashes Linux 6.12, and the verdict says which', async () => {
  const verdict = await boot(shipped('direct-region'));
  expect(verdict.outcome).toBe('fail');
  expect(verdict.causes[0]?.id).toBe('rule/direct-region');
  expect(verdict.causes[0]?.message).toContain('0x50000000-0x500fffff');
});

test('what was seen is the whole of it: two vIOMMUs, each with its own endpoint', async () => {
  const model = shipped('two-viommus');
  const serialLog = serialLogOf(model);
  const guest = await fetchGuest('arm64');
  const input = await inputOf(model);
  const observation = await qemuBackend({ guest, accel: 'tcg', serialLog }).run(input, {});
  // Good firmware, read back from the guest, breaks no rule of the catalogue.
  expect(observation.described).toMatchObject({ from: 'guest', diagnostics: [] });
  const verdict = judge(model, observation);
  const grouped = verdict.promises.find(({ id }) => id === 'behind-is-grouped');
  expect(grouped?.items.map(({ seen }) => seen.replace(/\d+ of/u, 'N of'))).toEqual([
    'in group N of viommu0 (0xa000000)',
    'in group N of viommu1 (0xa000200)',
  ]);
});

test('the end comes early when it is asked for, and leaves no process', async () => {
  const ender = new AbortController();
  const pids: number[] = [];
  const model = shipped('one-endpoint');
  const guest = await fetchGuest('arm64');
  const backend = qemuBackend({ guest, accel: 'tcg' });
  const input = await inputOf(model, { signal: ender.signal });
  const run = backend.run(input, {
    console: () => {
      if (pids.length === 0) pids.push(...qemus());
      ender.abort();
    },
  });
  await expect(run).rejects.toMatchObject({ name: 'BootAborted' });
  expect(pids.length).toBeGreaterThan(0);
  expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
});

test('a time limit ends in a verdict, not in an exception', async () => {
  const verdict = await boot(shipped('one-endpoint'), { timeLimit: 1 });
  expect(verdict).toMatchObject({ outcome: 'fail', ending: { kind: 'time-limit' } });
  expect(verdict.environment.serialLog).toBeDefined();
});

/** QEMUs that this process started: others may run on the machine. */
function qemus(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number)
    .filter((pid) => /^\S*qemu-system-/u.test(commandOf(pid)) && parentOf(pid) === process.pid);
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\t(\d+)$/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return NaN;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It ended between the two looks.
    return '';
  }
}
