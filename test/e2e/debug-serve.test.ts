import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { runCommand } from '../../src/cli/main.ts';
import { cli } from '../support/cli.ts';
import { vfioUserQemu } from '../support/vfio-user.ts';

const ONE = join(import.meta.dirname, '../../topologies/one-endpoint.yaml');
const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-debug-serve-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let qemu: string;
beforeAll(async () => {
  qemu = await vfioUserQemu('arm64');
});

test('devices that QEMU uses are held at the third MAP, asked, and go on', async () => {
  const socket = join(dir, 'debug');
  let out = '';
  const argv = [
    'serve',
    ONE,
    '--qemu',
    qemu,
    '--dir',
    join(dir, 's'),
    '--format',
    'json',
    '--debug',
    socket,
  ];
  const serving = runCommand(argv, {
    out: (text) => void (out += text),
    outBytes: () => undefined,
    err: (text) => void (out += text),
    interactive: false,
    colorOut: false,
    colorErr: false,
    env: {},
    signal: new AbortController().signal,
  });
  for (let tries = 0; !out.includes('"ready"') && tries < 1200; tries++) await sleep(100);
  for (
    let tries = 0;
    statSync(socket, { throwIfNoEntry: false }) === undefined && tries < 100;
    tries++
  ) {
    await sleep(50);
  }
  const ready = out.split('\n').find((line) => line.includes('"ready"')) ?? '';
  const { command } = JSON.parse(ready) as { command: string[] };

  expect((await cli('debug', socket, 'status')).out).toMatch(
    /^one-endpoint on vfio-user: running, \d/u,
  );
  expect((await cli('debug', socket, 'break map 3')).out).toContain('break 1: map number 3');
  expect((await cli('debug', socket, 'dump nobody')).err).toContain(
    'no vIOMMU knows an endpoint nobody',
  );
  const guest = spawn('/bin/sh', ['-c', `exec ${command.join(' ')}`], { stdio: 'ignore' });
  try {
    const stopped = await cli('debug', socket, 'wait; dump disk0; translate disk0 0x1234; stat');
    expect(stopped.code, stopped.err + out).toBe(0);
    expect(stopped.out).toMatch(/stopped by break 1 at .*: viommu0: map: domain \d+ 0x/u);
    expect(stopped.out).toMatch(/map 3,/u);
    expect(stopped.out).toContain('at 0x1234: a fault (translated)');
    const more = await cli('debug', socket, 'break unmap; continue; wait; delete 2; continue');
    expect(more.code, more.err).toBe(0);
    expect(more.out).toContain('unmap: domain');
  } finally {
    guest.kill('SIGKILL');
    await once(guest, 'exit');
  }
  await serving;
  expect(statSync(socket, { throwIfNoEntry: false })).toBeUndefined();
});

test('a socket that cannot be had ends the server', async () => {
  const { code, err } = await cli(
    'serve',
    ONE,
    '--qemu',
    qemu,
    '--debug',
    join(dir, 'x'.repeat(120)),
  );
  expect(code).toBe(2);
  expect(err).toContain('107 bytes');
});

test('a boot on QEMU with our devices is asked while it runs, and still judged', async () => {
  const socket = join(dir, 'boot');
  const boot = cli('boot', ONE, '--backend', 'qemu-vfio-user', '--qemu', qemu, '--debug', socket);
  const isThere = (): boolean => statSync(socket, { throwIfNoEntry: false }) !== undefined;
  for (let tries = 0; !isThere() && tries < 1200; tries++) await sleep(50);

  const stopped = await cli('debug', socket, 'break map 3; wait; dump disk0; stat; continue');
  expect(stopped.code, stopped.err).toBe(0);
  expect(stopped.out).toMatch(/stopped by break 1 at .*: viommu0: map: domain \d+ 0x/u);
  expect(stopped.out).toMatch(/map 3,/u);
  const verdict = await boot;
  expect(verdict.code, verdict.err).toBe(0);
  expect(verdict.out).toMatch(/^PASS one-endpoint \(qemu-vfio-user/mu);
  expect(isThere()).toBe(false);
});

test('a guest in QEMU cannot wait, and a socket that cannot be had ends the boot', async () => {
  const wait = await cli('boot', ONE, '--backend', 'qemu-vfio-user', '--debug', 'x', '--wait');
  expect(wait.code).toBe(2);
  expect(wait.err).toContain('--wait is for --backend emulator');
  const long = join(dir, 'x'.repeat(120));
  const none = await cli(
    'boot',
    ONE,
    '--backend',
    'qemu-vfio-user',
    '--qemu',
    qemu,
    '--debug',
    long,
  );
  expect(none.code).toBe(2);
  expect(none.err).toContain('107 bytes');
});

test('a directory that cannot be made is said, with the cure', async () => {
  for (const directory of ['/proc/none/x', '/dev/null/x']) {
    const { code, err } = await cli('serve', ONE, '--qemu', qemu, '--dir', directory);
    expect(code).toBe(2);
    expect(err).toContain(`cannot write to ${directory}: `);
  }
});
