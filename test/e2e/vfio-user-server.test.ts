import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MachineEvent } from '../../src/machine/index.ts';
import {
  serve,
  type ServedFunction,
  type ServerReport,
  type ServerStats,
  type VfioUserServer,
} from '../../src/vfio-user/index.ts';
import { shippedModel } from '../support/model-guest.ts';
import { vfioUserQemu } from '../support/vfio-user.ts';

/**
 * A server that real QEMUs come to and leave. There is no kernel: SeaBIOS drives the disk by itself,
 * some seconds after QEMU starts and after each reset.
 */
const TOPOLOGY = 'q35-one-endpoint';
const DRIVER_OK = 0xf;
/** Milliseconds that a QEMU may run, should a test not end it. */
const LIFE = 240_000;

/** How QEMU is given its RAM. */
type Ram = 'shared' | 'private' | 'plain';

interface Served {
  readonly server: VfioUserServer;
  readonly reports: ServerReport[];
  /** Times that a driver brought the disk up. */
  readonly driven: () => number;
}

let qemu = '';
let directory = '';
const children: ChildProcess[] = [];
const servers: VfioUserServer[] = [];

beforeAll(async () => {
  qemu = await vfioUserQemu('x86-64');
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfio-'));
});

afterEach(async () => {
  await Promise.all(children.splice(0).map(kill));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  rmSync(directory, { recursive: true, force: true });
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

function startQemu(functions: readonly ServedFunction[], ram: Ram = 'shared'): ChildProcess {
  const share = `memory-backend-memfd,id=ram,size=128M,share=${ram === 'shared' ? 'on' : 'off'}`;
  const backend = ram === 'plain' ? [] : ['-object', share, '-machine', 'memory-backend=ram'];
  const devices = functions.flatMap(({ id, socket, rid }) => [
    '-device',
    JSON.stringify({
      driver: 'vfio-user-pci',
      id,
      addr: `${(rid >> 3).toString(16)}.${rid & 7}`,
      socket: { type: 'unix', path: socket },
      'x-msg-timeout': 3_600_000,
    }),
  ]);
  const fixed = '-M q35 -accel tcg -m 128M -nodefaults -no-user-config -display none'.split(' ');
  const qmp = ['-qmp', `unix:${join(directory, 'qmp')},server=on,wait=off`];
  const child = spawn(qemu, [...fixed, ...backend, ...qmp, ...devices], {
    stdio: 'ignore',
    timeout: LIFE,
    killSignal: 'SIGKILL',
  });
  children.push(child);
  return child;
}

async function until(done: () => boolean): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- this is what waiting is
  while (!done()) await sleep(20);
}

async function served(): Promise<Served> {
  const reports: ServerReport[] = [];
  const events: MachineEvent[] = [];
  const server = await serve({
    model: shippedModel(TOPOLOGY),
    directory,
    onReport: (report) => void reports.push(report),
    onEvents: (batch) => void events.push(...batch),
  });
  servers.push(server);
  const driven = (): number =>
    events.filter(
      (one) => one.source === 'virtio' && one.event.kind === 'status' && one.event.to === DRIVER_OK,
    ).length;
  return { server, reports, driven };
}

function count(reports: readonly ServerReport[], kind: ServerReport['kind']): number {
  return reports.filter((report) => report.kind === kind).length;
}

/** Restarts the guest's machine, as its reset button does. */
async function pressReset(): Promise<void> {
  const socket = createConnection(join(directory, 'qmp'));
  socket.write('{"execute":"qmp_capabilities"}{"execute":"system_reset"}');
  let text = '';
  socket.on('data', (chunk: Buffer) => void (text += chunk.toString()));
  await until(() => text.split('"return"').length > 2);
  socket.destroy();
}

describe('a QEMU', () => {
  test('that resets its machine again and again, and is killed at work; the next is served', async () => {
    const { server, reports, driven } = await served();
    const first = startQemu(server.functions);
    await until(() => driven() === 1);
    for (let round = 1; round <= 3; round++) {
      const before = count(reports, 'reset');
      // oxlint-disable-next-line no-await-in-loop -- one reset after the other
      await pressReset();
      // oxlint-disable-next-line no-await-in-loop -- one reset after the other
      await until(() => count(reports, 'reset') > before && driven() > round);
    }
    await kill(first);
    await until(() => count(reports, 'disconnected') === 2);
    const before = driven();
    startQemu(server.functions);
    await until(() => driven() > before);
    const stats = (await server.ask('stats')) as ServerStats;
    expect(stats.connected).toBe(2);
    expect(count(reports, 'problem')).toBe(0);
  });

  test.each([
    ['private', 'vfio-user/ram-not-shared'],
    ['plain', 'vfio-user/ram-without-fd'],
  ] as const)('whose RAM is %s is told how to share it', async (ram, code) => {
    const { server, reports } = await served();
    startQemu(server.functions, ram);
    await until(() => count(reports, 'problem') > 0);
    const told = reports.filter(({ kind }) => kind === 'problem');
    expect(told).toMatchObject([{ problem: { code } }]);
    expect(JSON.stringify(told)).toContain('share=on');
  });
});
