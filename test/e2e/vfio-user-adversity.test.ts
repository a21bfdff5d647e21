import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  bootAndJudge,
  qemuVfioUserBackend,
  serveTopology,
  type ServedTopology,
  type VfioUserBackendOptions,
} from '../../src/backends/index.ts';
import { buildInitramfs, fetchGuest, formatPlan } from '../../src/guest/index.ts';
import { startQemu, type QemuProcess } from '../../src/qemu/index.ts';
import type { BootHooks, Verdict } from '../../src/scenario/index.ts';
import type { ServerReport } from '../../src/vfio-user/index.ts';
import { cli } from '../support/cli.ts';
import { clientsOf, fakeQemu, socketDirectory, vfioUserQemu } from '../support/vfio-user.ts';
import { inputOf, shipped } from './boot-helper.ts';

const DIR = mkdtempSync(join(tmpdir(), 'viommu-topo-adversity-'));
afterAll(() => rmSync(DIR, { recursive: true, force: true }));
beforeAll(() => vfioUserQemu('arm64'));

const ONE = 'topologies/one-endpoint.yaml';

async function boot(
  hooks: BootHooks,
  options: Partial<VfioUserBackendOptions> = {},
): Promise<Verdict> {
  const model = shipped('one-endpoint');
  const guest = await fetchGuest('arm64');
  const serialLog = join(DIR, 'console.log');
  const backend = qemuVfioUserBackend({ guest, accel: 'tcg', serialLog, ...options });
  return bootAndJudge(backend, await inputOf(model), hooks);
}

test('a QEMU that is killed in the middle of DMA is the end of a guest, not of ours', async () => {
  let accesses = 0;
  let directory: string | undefined;
  const verdict = await boot({
    event: ({ kind }) => {
      accesses += kind === 'access' ? 1 : 0;
      const [pid] = accesses >= 100 && directory === undefined ? clientsOf() : [];
      if (pid === undefined) return;
      directory = socketDirectory(pid);
      process.kill(pid, 'SIGKILL');
    },
  });
  expect(directory).toBeDefined();
  expect(verdict).toMatchObject({ outcome: 'fail', ending: { kind: 'machine-exited' } });
  expect(existsSync(directory ?? '')).toBe(false);
  expect(clientsOf()).toEqual([]);
});

test('a QEMU that never connects is explained, and ended', async () => {
  const qemu = fakeQemu(DIR, '10.1.0', 'exec sleep 600');
  await expect(boot({}, { qemu, connectTime: 2 })).rejects.toMatchObject({
    code: 'qemu/qmp-timeout',
    message: expect.stringContaining(
      'QEMU never connected to any of the 2 sockets: viommu0, disk0',
    ) as string,
  });
  expect(clientsOf()).toEqual([]);
});

test('a QEMU that is too old says which version is not', async () => {
  const qemu = fakeQemu(DIR, '10.0.13', 'exit 1');
  const { code, err } = await cli('boot', ONE, '--backend', 'qemu-vfio-user', '--qemu', qemu);
  expect(code).toBe(3);
  expect(err).toMatch(/QEMU 10\.0\.13, which is too old\. QEMU has it from 10\.1 on/u);
  expect(err).toContain('viommu-topo qemu fetch');
});

test('a served topology that no QEMU comes for', async () => {
  const dir = join(DIR, 'nobody');
  const options = ['--dir', dir, '--wait', '1', '--format', 'json'];
  const { code, out, err } = await cli('serve', ONE, ...options);
  expect(code).toBe(3);
  expect(err).toMatch(/No QEMU connected to \S+\.sock, \S+\.sock within 1 s/u);
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string });
  expect(lines.map(({ type }) => type)).toEqual(['ready', 'ended']);
  expect(readdirSync(dir)).toEqual(['topology.dtb']);
});

/** A served topology and a QEMU on the command line that goes with it. */
interface Served {
  readonly served: ServedTopology;
  readonly reports: ServerReport[];
  readonly start: (edit?: (line: string) => string) => Promise<QemuProcess>;
}

async function serveOne(initrd: string): Promise<Served> {
  const model = shipped('one-endpoint');
  const guest = await fetchGuest('arm64');
  const reports: ServerReport[] = [];
  const served = await serveTopology(await inputOf(model), {
    directory: mkdtempSync(join(DIR, 's-')),
    qemu: await vfioUserQemu('arm64'),
    accel: 'tcg',
    kernel: guest.kernel,
    initrd,
    live: false,
    onReport: (report) => void reports.push(report),
  });
  const start = (edit: (line: string) => string = (line) => line): Promise<QemuProcess> => {
    // The console and QMP are for whoever starts it.
    const lines = served.command.filter((line) => line !== '-serial stdio').map(edit);
    const args = ['-c', `exec ${lines.join(' ')} "$@"`, 'sh'];
    return startQemu({ program: '/bin/sh', args, timeLimit: 300_000 });
  };
  return { served, reports, start };
}

async function initramfs(last: 'reboot' | 'poweroff'): Promise<string> {
  const path = join(DIR, `${last}.cpio`);
  const plan = formatPlan([
    { verb: 'modules' },
    { verb: 'inventory' },
    ...(last === 'reboot' ? [{ verb: 'reboot' } as const] : []),
  ]);
  const modules = ['virtio_iommu', 'virtio_pci', 'virtio_blk'];
  writeFileSync(path, await buildInitramfs({ guest: await fetchGuest('arm64'), modules, plan }));
  return path;
}

async function until(what: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1200 && !what(); tries++) await sleep(100);
  expect(what()).toBe(true);
}

test('memory that is not shared is noticed, and said', async () => {
  const { served, reports, start } = await serveOne(await initramfs('poweroff'));
  const running = await start((line) => line.replace('share=on', 'share=off'));
  await until(() => reports.some(({ kind }) => kind === 'problem'));
  await running.stop();
  const problem = reports.find((report) => report.kind === 'problem')?.problem;
  expect(problem).toMatchObject({
    code: 'vfio-user/ram-not-shared',
    cure: expect.stringContaining('share=on') as string,
  });
  await until(() => reports.filter(({ kind }) => kind === 'disconnected').length === 2);
  expect(await served.stop()).toMatchObject({ connected: 0 });
});

test('a guest that reboots in a loop costs nothing', async () => {
  const { served, reports, start } = await serveOne(await initramfs('reboot'));
  const running = await start();
  const costs: { descriptors: number; mappings: number }[] = [];
  running.qmp.onEvent(({ event }) => {
    if (event !== 'RESET') return;
    costs.push({
      descriptors: readdirSync('/proc/self/fd').length,
      mappings: readFileSync('/proc/self/maps', 'utf8').split('\n').length,
    });
  });
  await until(() => costs.length >= 3);
  await running.stop();
  const nothing = { descriptors: 0, mappings: 0 };
  const [first = nothing, , third = nothing] = costs;
  expect(third.descriptors - first.descriptors).toBeLessThan(8);
  expect(third.mappings - first.mappings).toBeLessThan(64);
  expect(reports.filter(({ kind }) => kind === 'problem')).toEqual([]);
  expect(reports.filter(({ kind }) => kind === 'reset').length).toBeGreaterThanOrEqual(6);
  await served.stop();
});

/** The tool as a process of its own, once its guest loads drivers. */
async function bootApart(): Promise<{ child: ChildProcess; text: () => string }> {
  const jiti = createRequire(import.meta.url).resolve('jiti/package.json');
  const register = pathToFileURL(join(dirname(jiti), 'lib', 'jiti-register.mjs')).href;
  const script = join(import.meta.dirname, '../support/run-cli.ts');
  const args = ['boot', ONE, '--backend', 'qemu-vfio-user', '--accel', 'tcg'];
  const child = spawn(process.execPath, ['--import', register, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => void (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => void (text += chunk.toString()));
  await until(() => text.includes('guest: loading drivers') || child.exitCode !== null);
  return { child, text: () => text };
}

test('ten seconds of standing still do no harm', async () => {
  const { child, text } = await bootApart();
  child.kill('SIGSTOP');
  await sleep(10_000);
  child.kill('SIGCONT');
  const [code] = (await once(child, 'exit')) as [number | null];
  expect(text()).toContain('PASS one-endpoint');
  expect(code).toBe(0);
});

test('killed outright, nothing of it runs on', async () => {
  const { child } = await bootApart();
  const [pid] = clientsOf(child.pid);
  expect(pid).toBeDefined();
  const directory = socketDirectory(pid ?? 0);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await until(() => !existsSync(`/proc/${pid}`));
  // Nobody is left who could have removed it.
  rmSync(directory, { recursive: true, force: true });
});
