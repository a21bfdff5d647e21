import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

import {
  buildCommand,
  busName,
  commandArgv,
  cpuModel,
  findQemu,
  preflight,
  qemuId,
  startQemu,
  workDirectory,
  type FileName,
  type QemuProcess,
} from '../../src/qemu/index.ts';
import { loadTopology, type Model } from '../../src/topology/index.ts';

const work = await workDirectory();
afterAll(work.remove);

async function start(model: Model): Promise<QemuProcess> {
  const qemu = await findQemu(model.arch);
  const command = buildCommand(model, {
    version: qemu.version,
    append: '',
    paused: true,
    kernel: false,
    trace: 'accesses',
  });
  const files = new Map<FileName, string>();
  const image = join(work.path, 'disk, with a comma.img');
  writeFileSync(image, Buffer.alloc(512 * 1024));
  for (const { endpoint } of command.disks) files.set(`disk:${endpoint}`, image);
  return startQemu({
    program: qemu.path,
    args: commandArgv(command, { files, accel: 'tcg', cpu: cpuModel(model, 'tcg') }),
    timeLimit: 60_000,
  });
}

/** Where QEMU has put a device that was given an id: name of its bus, and devfn on PCI. */
async function placeOf(qemu: QemuProcess, id: string): Promise<{ bus: string; addr: unknown }> {
  const path = `/machine/peripheral/${qemuId(id)}`;
  const parent = String(await qemu.qmp.execute('qom-get', { path, property: 'parent_bus' }));
  const addr = await qemu.qmp.execute('qom-get', { path, property: 'addr' }).catch(() => undefined);
  return { bus: parent.split('/').at(-1) ?? '', addr };
}

const files = readdirSync('topologies').filter((name) => name.endsWith('.yaml'));
const models = files.flatMap((file) => {
  const { model } = loadTopology(`topologies/${file}`);
  return model === undefined || preflight(model).length > 0 ? [] : [[file, model] as const];
});

describe('the machine of each topology that preflight accepts', () => {
  test('there are some of both architectures', () => {
    expect(new Set(models.map(([, model]) => model.arch)).size).toBe(2);
  });

  test.each(models)('%s: every device is where the model has it', async (_, model) => {
    const qemu = await start(model);
    try {
      for (const { id, location, device } of model.endpoints) {
        if (device === undefined) continue;
        const seen = await placeOf(qemu, id);
        if (location.kind === 'pci') {
          expect(seen, id).toEqual({
            bus: busName(model, location.host, location.rids.start),
            addr: location.rids.start & 0xff,
          });
        } else expect(seen.bus).toMatch(/^virtio-mmio-bus\.\d+$/);
      }
      for (const { id, transport } of model.viommus) {
        const seen = await placeOf(qemu, id);
        if (transport.kind === 'pci') {
          expect(seen, id).toEqual({ bus: 'pcie.0', addr: transport.rid & 0xff });
        } else {
          // The slot's registers are where the device tree will say that they are.
          const tree = await qemu.qmp.human('info qtree');
          const slot = seen.bus.replace('virtio-mmio-bus.', '');
          const base = transport.base.toString(16).padStart(16, '0');
          expect(tree).toMatch(
            new RegExp(`mmio ${base}/0*200\\s+bus: virtio-mmio-bus\\.${slot}\\b`),
          );
        }
      }
      for (const { bridges } of model.hosts) {
        for (const { id, rid } of bridges) {
          expect((await placeOf(qemu, id)).addr, id).toBe(rid & 0xff);
        }
      }
    } finally {
      const exit = await qemu.stop();
      expect(exit.story.exitCode).toBe(0);
    }
  });
});
