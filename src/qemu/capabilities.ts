import { z } from 'zod';

import { fileKey, type QemuProgram } from './find.ts';
import { startQemu, type QemuProcess } from './process.ts';

/** What a QEMU binary says it has, asked over QMP without a machine. */
export interface QemuCapabilities {
  /** Every `-device` that can be created. */
  readonly devices: ReadonlySet<string>;
  /** Properties of the devices this project creates, by device; absent devices are absent. */
  readonly properties: ReadonlyMap<string, ReadonlySet<string>>;
}

const NAMED = z.array(z.object({ name: z.string() }));

/** Devices whose properties differ between versions in a way that matters here. */
const ASKED = [
  'virtio-iommu-pci',
  'virtio-iommu-device',
  'pxb-pcie',
  'pcie-root-port',
  'virtio-blk-pci',
];

const cache = new Map<string, Promise<QemuCapabilities>>();

/** Asks a binary for its devices and their properties; cached for the file as it is now. */
export function queryCapabilities(qemu: QemuProgram): Promise<QemuCapabilities> {
  const key = fileKey(qemu.path);
  const known = cache.get(key);
  if (known !== undefined) return known;
  const asked = ask(qemu);
  cache.set(key, asked);
  asked.catch(() => cache.delete(key));
  return asked;
}

async function ask(qemu: QemuProgram): Promise<QemuCapabilities> {
  const running = await startQemu({
    program: qemu.path,
    args: ['-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    timeLimit: 30_000,
  });
  try {
    const types = await running.qmp.execute('qom-list-types', {
      implements: 'device',
      abstract: false,
    });
    const devices = new Set(NAMED.parse(types).map((type) => type.name));
    const properties = new Map<string, ReadonlySet<string>>();
    for (const name of ASKED) {
      if (devices.has(name)) properties.set(name, await propertiesOf(running, name));
    }
    return { devices, properties };
  } finally {
    await running.stop();
  }
}

async function propertiesOf(running: QemuProcess, typename: string): Promise<ReadonlySet<string>> {
  const list = await running.qmp.execute('device-list-properties', { typename });
  return new Set(NAMED.parse(list).map((property) => property.name));
}
