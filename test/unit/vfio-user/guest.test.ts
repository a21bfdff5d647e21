import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { BlockDriver, ModelGuest } from '../../../src/driver/index.ts';
import type { MachineEvent } from '../../../src/machine/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { serve, type ServerReport, type VfioUserServer } from '../../../src/vfio-user/index.ts';
import { firmwareOf, shippedModel } from '../../support/model-guest.ts';
import { TestVmm } from '../../support/vfio-vmm.ts';

interface Served {
  readonly server: VfioUserServer;
  readonly vmm: TestVmm;
  readonly events: MachineEvent[];
  readonly reports: ServerReport[];
  readonly directory: string;
}

const open: Served[] = [];

async function served(model: Model): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), 'vfio-'));
  const events: MachineEvent[] = [];
  const reports: ServerReport[] = [];
  const server = await serve({
    model,
    directory,
    onEvents: (batch) => events.push(...batch),
    onReport: (report) => reports.push(report),
  });
  const one = { server, vmm: new TestVmm(model, server.functions), events, reports, directory };
  open.push(one);
  return one;
}

function boot(model: Model, { vmm }: Served): ModelGuest {
  return ModelGuest.boot(vmm.platform, firmwareOf(model, 'device-tree'));
}

afterEach(async () => {
  for (const { vmm, server, directory } of open.splice(0)) {
    vmm.close();
    await server.stop();
    rmSync(directory, { recursive: true });
  }
});

describe('the model guest over vfio-user', () => {
  test('drives a vIOMMU and a disk in another thread, over sockets and shared memory', async () => {
    const model = shippedModel('gicv2m');
    const all = await served(model);
    const guest = boot(model, all);
    const disk = guest.device('0000:00:02.0')?.driver;
    if (!(disk instanceof BlockDriver)) throw new Error(guest.log.lines.join('\n'));
    const pattern = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) & 0xff);
    expect(disk.write(4096n, pattern)).toBeUndefined();
    expect(disk.read(4096n, 4096)).toEqual(pattern);
  });
});
