import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { watchGroup, guardGroup, killGroup } from '../../src/qemu/guard.ts';
import {
  findQemu,
  QemuError,
  queryCapabilities,
  startQemu,
  workDirectory,
  type QemuProcess,
} from '../../src/qemu/index.ts';

const IDLE = ['-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none'];

/** Whether a process exists and is no zombie. */
function alive(pid: number): boolean {
  try {
    return !/^\S+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    if (!alive(pid)) return true;
    await sleep(50);
  }
  return false;
}

const started: QemuProcess[] = [];
afterEach(() => {
  for (const qemu of started.splice(0)) qemu.kill();
});

async function start(args: readonly string[] = IDLE, more: object = {}): Promise<QemuProcess> {
  const { path } = await findQemu('x86-64');
  const qemu = await startQemu({ program: path, args, ...more });
  started.push(qemu);
  return qemu;
}

describe('finding', () => {
  test('each installed QEMU tells its version and its virtio-iommu', async () => {
    for (const arch of ['arm64', 'x86-64'] as const) {
      const qemu = await findQemu(arch);
      expect(qemu.version.major).toBeGreaterThanOrEqual(7);
      expect(qemu.banner).toContain('QEMU emulator version');
      const capabilities = await queryCapabilities(qemu);
      expect(capabilities.devices).toContain('virtio-iommu-pci');
      expect(capabilities.properties.get('virtio-iommu-pci')).toContain('boot-bypass');
      expect(await queryCapabilities(qemu)).toBe(capabilities);
    }
  });

  test('a program that is no QEMU is said to be none', async () => {
    await expect(findQemu('arm64', '/bin/true')).rejects.toMatchObject({
      code: 'env/program-failed',
    });
  });
});

describe('a running QEMU', () => {
  test('answers, and quits when told', async () => {
    const qemu = await start();
    expect(await qemu.qmp.execute('query-status')).toMatchObject({ running: true });
    const exit = await qemu.stop();
    expect(exit).toMatchObject({ cause: 'stopped', story: { exitCode: 0 } });
    expect(alive(qemu.pid)).toBe(false);
  });

  test('refuses a wrong command line with the whole story', async () => {
    const error = await start([...IDLE, '-device', 'no-such-device']).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(QemuError);
    expect(error).toMatchObject({ code: 'qemu/exited', story: { exitCode: 1 } });
    expect(String(error)).toContain('no-such-device');
    expect(String(error)).toContain('command:');
  });

  test('ends with the signal', async () => {
    const stop = new AbortController();
    const qemu = await start(IDLE, { signal: stop.signal });
    stop.abort();
    expect((await qemu.exit).cause).toBe('aborted');
    expect(alive(qemu.pid)).toBe(false);
  });

  test('ends at its time limit', async () => {
    const qemu = await start(IDLE, { timeLimit: 1500 });
    expect((await qemu.exit).cause).toBe('timed-out');
    expect(alive(qemu.pid)).toBe(false);
  });

  test('a QEMU that does not listen is killed all the same', async () => {
    const qemu = await start();
    process.kill(qemu.pid, 'SIGSTOP');
    const exit = await qemu.stop();
    expect(exit.story.signal).toBe('SIGKILL');
  }, 20_000);

  test('gives the bytes of its memory', async () => {
    const { path, remove } = await workDirectory();
    const qemu = await start(['-M', 'q35', '-m', '64', ...IDLE.slice(2), '-S']);
    await qemu.qmp.execute('pmemsave', { val: 0, size: 4096, filename: join(path, 'mem') });
    expect(existsSync(join(path, 'mem'))).toBe(true);
    await qemu.stop();
    remove();
    expect(existsSync(path)).toBe(false);
  });
});

/** The leader of a process group that has a member besides. */
async function leader(): Promise<number> {
  const child = spawn('/bin/sh', ['-c', 'sleep 300 & wait'], { detached: true, stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  if (child.pid === undefined) throw new Error('no pid');
  return child.pid;
}

/** Below node_modules, so that compiled code finds the packages it imports. */
const compiled = join('node_modules', '.cache', 'qemu-e2e');

/** Another Node, which starts QEMU through this room, tells its pid, and waits. */
async function otherNode(body: string, env: NodeJS.ProcessEnv): Promise<[ChildProcess, number]> {
  const script = `
    const { startQemu } = await import('${join(process.cwd(), compiled, 'qemu/process.js')}');
    const qemu = await startQemu(${JSON.stringify({ program: (await findQemu('x86-64')).path, args: IDLE })});
    console.log(qemu.pid);
    ${body}`;
  const node = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  const pid = Number(
    await new Promise((resolve) => {
      node.stdout.once('data', resolve);
      node.once('exit', () => resolve('nothing'));
    }),
  );
  expect(pid).toBeGreaterThan(0);
  return [node, pid];
}

describe('nothing is left behind', () => {
  beforeAll(() => {
    // Type errors of the moment must not matter here, emitted code does.
    spawnSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', compiled, '--noCheck'], {
      stdio: 'ignore',
    });
  }, 120_000);
  afterAll(() => {
    rmSync(compiled, { recursive: true, force: true });
  });

  const noSetpriv = { ...process.env, PATH: '/nonexistent' };

  test.each([
    ['killed outright', 'setInterval(() => 0, 1000)', process.env],
    ['killed outright, without setpriv', 'setInterval(() => 0, 1000)', noSetpriv],
  ])('when Node is %s', async (_, body, env) => {
    const [node, pid] = await otherNode(body, env);
    expect(alive(pid)).toBe(true);
    node.kill('SIGKILL');
    expect(await gone(pid)).toBe(true);
  });

  test.each([
    ['exits', 'process.exit(0)'],
    ['throws', "throw new Error('on purpose, by a test')"],
  ])('when Node %s', async (_, body) => {
    const [, pid] = await otherNode(body, noSetpriv);
    expect(await gone(pid)).toBe(true);
  });

  test('a watched group stays while we live and goes when it is killed', async () => {
    const pid = await leader();
    const release = guardGroup(pid);
    watchGroup(pid);
    await sleep(400);
    expect(alive(pid)).toBe(true);
    killGroup(pid, 'SIGKILL');
    release();
    expect(await gone(pid)).toBe(true);
  });
});
