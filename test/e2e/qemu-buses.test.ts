import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

import { buildFirmware } from '../../src/firmware/index.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import {
  buildCommand,
  commandArgv,
  cpuModel,
  findQemu,
  startQemu,
  workDirectory,
  type FileName,
} from '../../src/qemu/index.ts';
import { linuxPciName } from '../../src/spec/pci.ts';
import { loadTopology, type Model } from '../../src/topology/index.ts';

const work = await workDirectory();
afterAll(work.remove);

/** The kernel's log up to its looking for a root file system in vain. */
async function kernelLog(model: Model): Promise<string> {
  const guest = await fetchGuest(model.arch === 'arm64' ? 'arm64' : 'amd64');
  const qemu = await findQemu(model.arch);
  const console = model.arch === 'arm64' ? 'ttyAMA0' : 'ttyS0';
  const command = buildCommand(model, {
    version: qemu.version,
    append: `console=${console} panic=-1`,
  });
  const file = (name: string, bytes: Uint8Array): string => {
    const path = join(work.path, name);
    writeFileSync(path, bytes);
    return path;
  };
  const { dtb } = buildFirmware(model);
  const files = new Map<FileName, string>([
    ['kernel', guest.kernel],
    ['initrd', file('empty', Buffer.alloc(0))],
    ...(dtb === undefined ? [] : [['tree', file('tree.dtb', dtb)] as const]),
    ...command.disks.map(({ endpoint }) => {
      return [`disk:${endpoint}`, file('disk.img', Buffer.alloc(4096))] as const;
    }),
  ]);
  const lines: string[] = [];
  const running = await startQemu({
    program: qemu.path,
    args: commandArgv(command, { files, accel: 'tcg', cpu: cpuModel(model, 'tcg') }),
    console: (line) => lines.push(line),
    timeLimit: 120_000,
  });
  await running.exit;
  return lines.join('\n');
}

describe('a stock kernel numbers the buses as the topology says', () => {
  test.each(['root-ports', 'pxb', 'q35-root-ports', 'q35-pxb'])('%s', async (name) => {
    const { model } = loadTopology(`topologies/${name}.yaml`);
    if (model === undefined) throw new Error('the topology does not load');
    const log = await kernelLog(model);
    const bridges = model.hosts.flatMap((host) => host.bridges.map((bridge) => ({ host, bridge })));
    expect(bridges.length).toBeGreaterThan(0);
    for (const { host, bridge } of bridges) {
      const bus = bridge.buses.start.toString(16).padStart(2, '0');
      const at = linuxPciName(bridge.rid, host.segment);
      expect(log).toMatch(new RegExp(`pci ${at}: PCI bridge to \\[bus ${bus}(-[0-9a-f]{2})?\\]`));
    }
    for (const { location, device } of model.endpoints) {
      if (device === undefined || location.kind !== 'pci') continue;
      expect(log).toContain(`pci ${linuxPciName(location.rids.start, location.segment)}: [`);
    }
  });
});
