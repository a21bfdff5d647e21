import { createConnection } from 'node:net';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { BlockDriver, ModelGuest, NetDriver } from '../../../src/driver/index.ts';
import type { MachineEvent } from '../../../src/machine/index.ts';
import { VFIO_USER_DEVICE_RESET } from '../../../src/spec/vfio-user.ts';
import type { Model } from '../../../src/topology/index.ts';
import {
  serve,
  ServerUnavailable,
  type ServeOptions,
  type ServerReport,
  type VfioUserServer,
} from '../../../src/vfio-user/index.ts';
import { firmwareOf, modelFrom, requests, shippedModel } from '../../support/model-guest.ts';
import { VfioClient } from '../../support/vfio-client.ts';
import { TestVmm } from '../../support/vfio-vmm.ts';

interface Served {
  readonly model: Model;
  readonly server: VfioUserServer;
  readonly events: MachineEvent[];
  readonly reports: ServerReport[];
  readonly directory: string;
}

const servers: Served[] = [];
const vmms: TestVmm[] = [];

async function served(model: Model, more: Partial<ServeOptions> = {}): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), 'vfio-'));
  const events: MachineEvent[] = [];
  const reports: ServerReport[] = [];
  const server = await serve({
    model,
    directory,
    onEvents: (batch) => void events.push(...batch),
    onReport: (report) => void reports.push(report),
    ...more,
  });
  const one = { model, server, events, reports, directory };
  servers.push(one);
  return one;
}

function plugIn({ model, server }: Served, shared = true): TestVmm {
  const vmm = new TestVmm(model, server.functions, shared);
  vmms.push(vmm);
  return vmm;
}

function boot({ model }: Served, vmm: TestVmm): ModelGuest {
  const kind = model.firmware.deviceTree ? 'device-tree' : 'acpi';
  return ModelGuest.boot(vmm.platform, firmwareOf(model, kind));
}

function diskOf(guest: ModelGuest, name = '0000:00:02.0'): BlockDriver {
  const disk = guest.device(name)?.driver;
  if (!(disk instanceof BlockDriver)) throw new Error(guest.log.lines.join('\n'));
  return disk;
}

/** Waits for what another thread does; a test that waits in vain runs into its time limit. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) {
    // oxlint-disable-next-line no-await-in-loop -- this is what waiting is
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const PATTERN = Uint8Array.from({ length: 64 * 1024 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

afterEach(async () => {
  for (const vmm of vmms.splice(0)) vmm.close();
  await Promise.all(servers.map(({ server }) => server.stop()));
  for (const { directory } of servers.splice(0)) {
    expect(readdirSync(directory)).toEqual([]);
    rmSync(directory, { recursive: true });
  }
});

describe('the model guest over vfio-user', () => {
  test('a disk and a NIC work behind a vIOMMU in another thread; a second guest finds all as new', async () => {
    const all = await served(shippedModel('gicv2m'));
    const { server, events, reports } = all;
    const vmm = plugIn(all);
    const guest = boot(all, vmm);
    const disk = diskOf(guest);
    expect(disk.write(4096n, PATTERN)).toBeUndefined();
    expect(disk.read(4096n, PATTERN.length)).toEqual(PATTERN);
    const nic = guest.device('0000:00:03.0')?.driver;
    if (!(nic instanceof NetDriver)) throw new Error('no NIC');
    expect(nic.dhcp()).toEqual({ address: 0x0a00_020f, server: 0x0a00_0202 });
    expect(nic.ping(0x0a00_020f, 0x0a00_0202, 5, 1400)).toEqual({ sent: 6, received: 6 });
    const stats = await server.ask('stats');
    expect(stats).toMatchObject({ connected: 3 });
    await until(() => requests(events).filter(({ name }) => name === 'unmap').length > 10);
    expect(requests(events).every(({ status }) => status === 0)).toBe(true);
    expect(requests(events).map(({ name }) => name)).toContain('probe');
    const orders = events.map(({ order }) => order);
    expect(orders).toEqual(orders.toSorted((a, b) => a - b));
    expect(events.filter(({ source }) => source === 'message').length).toBeGreaterThan(10);

    // The VMM stands still: the devices are saved, forget everything, and are put back.
    const state = await server.ask('snapshot');
    for (const { client } of vmm.functions) client.must(VFIO_USER_DEVICE_RESET);
    expect(state).not.toHaveProperty('memory');
    await server.ask('restore', state);
    expect(disk.read(4096n, PATTERN.length)).toEqual(PATTERN);

    // The VMM dies without a word, in the middle of everything; the next has memory of its own.
    vmms.splice(0);
    vmm.close();
    await until(() => reports.filter(({ kind }) => kind === 'disconnected').length === 3);
    const again = boot(all, plugIn(all));
    expect(diskOf(again).read(4096n, PATTERN.length)).toEqual(PATTERN);
    expect(reports.filter(({ kind }) => kind === 'problem')).toEqual([]);
  });

  test('who only looks whether somebody listens is no client', async () => {
    const all = await served(shippedModel('gicv2m'), {});
    const { server, reports } = all;
    for (const { socket } of server.functions) {
      await new Promise<void>((resolve, reject) => {
        const looker = createConnection(socket, () => looker.destroy());
        looker.on('close', () => resolve()).on('error', reject);
      });
    }
    boot(all, plugIn(all));
    // Asked after all that: what was told before it is here.
    await server.ask('stats');
    expect(reports.map(({ kind }) => kind)).toEqual(Array(3).fill('connected'));
  });

  test('without MSI-X there is INTx', async () => {
    const model = modelFrom(`
extends: virt-arm64-gicv2
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 16M, vectors: 0 } }]
`);
    const all = await served(model, {});
    const guest = boot(all, plugIn(all));
    const disk = diskOf(guest);
    expect(disk.write(0n, PATTERN)).toBeUndefined();
    expect(disk.read(0n, PATTERN.length)).toEqual(PATTERN);
    const { interrupts } = guest.device('0000:00:02.0') ?? {};
    expect(interrupts?.vectors).toBe(0);
    expect(interrupts?.count).toBeGreaterThan(1);
  });

  test('x86-64 with ACPI', async () => {
    const all = await served(shippedModel('q35-several-endpoints'));
    const guest = boot(all, plugIn(all));
    expect(diskOf(guest).read(0n, 4096)).toEqual(new Uint8Array(4096));
  });

  test('RAM that is not shared is noticed as soon as the guest drives a device', async () => {
    const all = await served(shippedModel('one-endpoint'));
    const vmm = plugIn(all, false);
    boot(all, vmm);
    const problems = (): ServerReport[] => all.reports.filter(({ kind }) => kind === 'problem');
    await until(() => problems().length > 0);
    expect(problems()).toMatchObject([{ problem: { code: 'vfio-user/ram-not-shared' } }]);
    expect(JSON.stringify(problems())).toContain('share=on');
  });
});

describe('the thread', () => {
  test('a setup module gives disks and answers questions', async () => {
    const module = new URL('../../support/vfio-setup.ts', import.meta.url).href;
    const all = await served(shippedModel('one-endpoint'), {
      setup: { module, data: { fill: 0x5a } },
    });
    const guest = boot(all, plugIn(all));
    const disk = diskOf(guest);
    expect(disk.read(0n, 512)).toEqual(new Uint8Array(512).fill(0x5a));
    expect(disk.write(0n, new Uint8Array(512).fill(1))).toBeUndefined();
    expect(await all.server.ask('byte', 511)).toBe(1);
    expect(await all.server.ask('mappings')).toHaveLength(1);
    await expect(all.server.ask('broken')).rejects.toThrow('planted');
    await expect(all.server.ask('nonsense')).rejects.toThrow('nonsense');
    const log = all.reports.find(({ kind }) => kind === 'log');
    expect(log).toMatchObject({ text: expect.stringContaining('disks of 90') as string });
  });

  test('endpoints come and go while it runs', async () => {
    const all = await served(shippedModel('root-ports'));
    const { server } = all;
    const path = server.functions.find(({ id }) => id === 'disk1')?.socket ?? '';
    const client = VfioClient.open(path);
    expect(await server.ask('unplug', 'disk1')).toBe(true);
    expect(client.reply(5000)).toBeUndefined();
    expect(() => new VfioClient(path)).toThrow();
    expect(await server.ask('unplug', 'disk1')).toBe(false);
    expect(await server.ask('plug', 'disk1')).toMatchObject({ id: 'disk1', rid: 0x200 });
    VfioClient.open(path).close();
    await expect(server.ask('plug', 'disk1')).rejects.toThrow('there already');
    await expect(server.ask('plug', 'nobody')).rejects.toThrow('nobody');
    client.close();
  });

  test('no directory, or one with too long a path, is said in words', async () => {
    const model = shippedModel('one-endpoint');
    for (const directory of ['/nonexistent/place', `/tmp/${'x'.repeat(120)}`]) {
      // oxlint-disable-next-line no-await-in-loop -- one thread after the other
      const error = await serve({ model, directory }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ServerUnavailable);
      expect(error).toMatchObject({ code: 'env/vfio-user' });
    }
  });

  test('after its end nothing is answered', async () => {
    const { server } = await served(shippedModel('one-endpoint'));
    await server.stop();
    await server.ended;
    await expect(server.ask('stats')).rejects.toThrow('has ended');
    expect(await server.stop()).toMatchObject({ connected: 0 });
  });
});
