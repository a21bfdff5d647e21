import { describe, expect, test } from 'vitest';

import { chooseTarget } from '../../../src/backends/aims.ts';
import { MachineWatch } from '../../../src/backends/machine-watch.ts';
import { BlockDriver } from '../../../src/driver/index.ts';
import { listMappings, translateSpan } from '../../../src/iommu/index.ts';
import { ACCESS_WRITE } from '../../../src/memory/index.ts';
import { AccessAudit } from '../../../src/scenario/index.ts';
import { bootModel, shippedModel, type World } from '../../support/model-guest.ts';

function watched(name: string): ReturnType<typeof bootModel> & { watch: MachineWatch } {
  const model = shippedModel(name);
  const made = bootModel(model);
  const watch = new MachineWatch(made.machine, new AccessAudit(model));
  made.machine.subscribe((event) => watch.event(event), { iommu: ['request'] });
  return { ...made, watch };
}

function stateOf({ machine }: World): Parameters<typeof listMappings>[0] {
  const viommu = machine.viommus.get('viommu0');
  if (viommu === undefined) throw new Error('no vIOMMU');
  return viommu.device.state;
}

function endpointOf({ machine }: World, id: string): (typeof machine.model.endpoints)[number] {
  const endpoint = machine.model.endpoints.find((one) => one.id === id);
  if (endpoint === undefined) throw new Error(`no ${id}`);
  return endpoint;
}

describe('looks into the machine', () => {
  test('UNMAPs are counted, and nothing is left', () => {
    const { guest, watch } = watched('one-endpoint');
    const { driver } = guest.device('0000:00:02.0') ?? {};
    if (!(driver instanceof BlockDriver)) throw new Error('no disk');
    expect(driver.read(0n, 4096)).toHaveLength(4096);
    const { unmaps } = watch.finish();
    expect(unmaps).toMatchObject({ leftCount: 0, left: [] });
    expect(unmaps.count).toBeGreaterThan(0);
  });

  test('a driver that is there has mappings, one that went has none', () => {
    const { guest, watch } = watched('one-endpoint');
    watch.unbound('disk0');
    const device = guest.device('0000:00:02.0');
    if (device === undefined) throw new Error('no disk');
    guest.unbind(device);
    watch.unbound('disk0');
    watch.unbound('nobody');
    const [before, after, ...more] = watch.finish().unbinds;
    expect(before?.count).toBeGreaterThan(0);
    expect(before?.mappings.length).toBe(Math.min(20, before?.count ?? 0));
    expect(after).toMatchObject({ endpoint: 0x10, others: [], count: 0 });
    expect(more).toEqual([]);
  });

  test('drivers of one domain wait for each other', () => {
    const { watch } = watched('dma-engine');
    watch.unbound('nic0');
    watch.unbound('dma1');
    watch.bound('nic0');
    watch.unbound('dma1');
    expect(watch.finish().unbinds.map(({ others }) => others)).toEqual([[0x19], [], [0x18]]);
  });

  test('power-on', () => {
    for (const [name, passes] of [
      ['one-endpoint', true],
      ['identity', false],
    ] as const) {
      const made = watched(name);
      made.machine.reset();
      made.watch.started('reset');
      const [start] = made.watch.finish().starts;
      expect(start?.domains).toBe(0);
      expect(start?.endpoints.length).toBeGreaterThan(0);
      expect(start?.passing).toEqual(passes ? start?.endpoints : []);
    }
  });
});

describe('addresses for DMA that must fault', () => {
  const made = watched('dma-engine');
  const dma0 = endpointOf(made, 'dma0');
  const gpa = 0x4800_0000n;

  test('unmapped: the page that was asked for, unless it is mapped', () => {
    expect(chooseTarget(made.machine, dma0, 'unmapped', gpa)).toEqual({
      address: gpa,
      landings: [gpa],
    });
    const nic0 = endpointOf(made, 'nic0');
    const [mapping] = listMappings(stateOf(made), 1);
    expect(mapping).toBeDefined();
    const taken = chooseTarget(made.machine, nic0, 'unmapped', mapping?.start ?? 0n);
    expect(taken).toBeUndefined();
  });

  test('reserved: of its own region; foreign: where only another domain leads', () => {
    expect(chooseTarget(made.machine, dma0, 'reserved', gpa)?.address).toBe(0xe000_0000n);
    const target = chooseTarget(made.machine, dma0, 'foreign', gpa);
    const device = made.machine.viommus.get('viommu0')?.device;
    if (target === undefined || device === undefined) throw new Error('nothing foreign');
    const { state, translation } = device;
    const where = (id: number): ReturnType<typeof translateSpan> =>
      translateSpan(state, translation, id, target.address, 4n, ACCESS_WRITE);
    expect(where(0x20)).toHaveProperty('fault');
    expect(where(0x10)).toMatchObject({ pieces: [{ physical: target.landings[0] }] });
  });

  test('read-only: while there is such a mapping', () => {
    const device = made.guest.device('0000:00:04.0');
    if (device === undefined) throw new Error('no engine');
    const choose = (): unknown => chooseTarget(made.machine, dma0, 'read-only', gpa);
    expect(choose()).toBeUndefined();
    expect(made.guest.lend(device, (address) => [address, choose()])).toMatchObject([
      expect.any(BigInt),
      { address: expect.any(BigInt) as bigint },
    ]);
    expect(choose()).toBeUndefined();
  });
});
