import { describe, expect, test } from 'vitest';
import { judge, type Cause, type Observation } from '../../../src/scenario/index.ts';
import type { Diagnostic, Model, TreeDescription } from '../../../src/topology/index.ts';
import {
  PLACE,
  map,
  sampleDevices,
  sampleGuest,
  sampleModel,
  sampleObservation,
  sampleTree,
  sampleViot,
} from './samples.ts';

/** A boot in which disk0 ended up in no group, with the given firmware seen by the guest. */
function broken(
  described: Partial<Observation['described']>,
  rest: Partial<Observation> = {},
): Observation {
  const devices = sampleDevices().map((device) =>
    device.name === '0000:00:02.0' ? { name: device.name, driver: 'virtio-pci' } : device,
  );
  return sampleObservation({
    guest: sampleGuest({ devices }),
    described: { from: 'guest', diagnostics: [], ...described },
    ...rest,
  });
}

function first(observation: Observation, model: Model = sampleModel()): Cause | undefined {
  return judge(model, observation).causes[0];
}

const tree = (...args: Parameters<typeof sampleTree>): { tree: TreeDescription } => ({
  tree: sampleTree(...args),
});

function without<T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> {
  const copy = { ...value };
  delete copy[key];
  return copy;
}

describe('iommu-map', () => {
  test('an endpoint left out', () => {
    const iommuMap = map([0, 5, 0, 8], [9, 5, 9, 7], [0x18, 5, 0x18, 0x28]);
    const verdict = judge(sampleModel(), broken(tree({ iommuMap })));
    expect(verdict.causes[0]).toMatchObject({
      id: 'iommu-map-gap',
      endpoints: ['disk0'],
      message:
        'disk0 (00:02.0) is missing from iommu-map of /pcie@10000000: rows cover 0x0-0x7, 0x9-0xf, 0x18-0x3f',
    });
    expect(verdict.summary).toContain('FAIL sample');
    expect(verdict.summary).toContain('disk0 (00:02.0) is missing from iommu-map');
  });

  test('a wrong endpoint ID', () => {
    const iommuMap = map([0, 5, 0, 8], [9, 5, 0x1009, 8], [0x18, 5, 0x18, 0x28]);
    expect(first(broken(tree({ iommuMap })))).toMatchObject({
      id: 'iommu-map-wrong-id',
      message:
        'row <0x9 phandle 0x5 0x1009 0x8> of iommu-map of /pcie@10000000 gives disk0 (00:02.0) endpoint ID 0x1010; viommu0 (00:01.0) knows it as 0x10',
    });
  });

  test('two requesters with one ID', () => {
    const iommuMap = map([0, 5, 0, 8], [9, 5, 9, 0xf], [0x18, 5, 0x10, 8], [0x20, 5, 0x20, 0x20]);
    expect(first(broken(tree({ iommuMap })))).toMatchObject({
      id: 'iommu-map-shared-id',
      endpoints: ['disk0', 'nic0'],
      message:
        'disk0 (00:02.0) and nic0 (00:03.0) are given the same endpoint ID 0x10; nic0 (00:03.0) ought to have 0x18 (row <0x18 phandle 0x5 0x10 0x8> of iommu-map of /pcie@10000000)',
    });
  });

  test('overlapping rows', () => {
    const iommuMap = map([0x10, 5, 0x90, 1], [9, 5, 9, 0x37]);
    expect(first(broken(tree({ iommuMap })))?.id).toBe('iommu-map-overlap');
  });

  test('a length that is no whole rows', () => {
    const iommuMap = { ...map([0, 5, 0, 8]), leftover: 3, bytes: 28 };
    expect(first(broken(tree({ iommuMap })))).toMatchObject({
      id: 'iommu-map-length',
      message: expect.stringContaining('28 bytes long, 3 cell(s) more than whole rows') as string,
    });
  });

  test('a mask that makes requesters into others', () => {
    const iommuMapMask = { value: 0xff00, place: PLACE };
    expect(first(broken(tree({ iommuMapMask })))).toMatchObject({
      id: 'iommu-map-mask',
      endpoints: ['disk0', 'nic0', 'edu0', 'disk1'],
      message:
        'iommu-map-mask 0xff00 makes requester ID 0x10 of disk0 (00:02.0) into 0x0, and row <0x0 phandle 0x5 0x0 0x8> of iommu-map of /pcie@10000000 gives that endpoint ID 0x0; 3 more likewise',
    });
  });

  test('a mask that drops bits of the first row', () => {
    const iommuMapMask = { value: 0xff00, place: PLACE };
    const iommuMap = map([9, 5, 9, 0x37], [0, 5, 0, 8]);
    expect(first(broken(tree({ iommuMap, iommuMapMask })))).toMatchObject({
      id: 'iommu-map-mask',
      message: expect.stringContaining('mask 0xff00 drops bits of row base 0x9') as string,
    });
  });

  test('a phandle that names nothing', () => {
    const iommuMap = map([0, 5, 0, 8], [9, 99, 9, 0x37]);
    expect(first(broken(tree({ iommuMap })))).toMatchObject({
      id: 'iommu-map-phandle',
      message: expect.stringContaining('phandle 0x63') as string,
    });
  });

  test('a bypassing endpoint inside', () => {
    const iommuMap = map([0, 5, 0, 8], [9, 5, 9, 0xfff7]);
    const devices = sampleDevices().map((device) =>
      device.name === '0000:00:08.0' ? { ...device, group: 9 } : device,
    );
    const seen = broken(tree({ iommuMap }), { guest: sampleGuest({ devices }) });
    expect(first(seen)).toMatchObject({ id: 'iommu-map-covers-bypass', endpoints: ['disk1'] });
  });

  test('no map at all, and no host of that segment', () => {
    const bare = sampleTree();
    const hosts = bare.hosts.map((host) => without(host, 'iommuMap'));
    expect(first(broken({ tree: { ...bare, hosts } }))?.id).toBe('iommu-map-missing');
    expect(first(broken(tree({ segment: 3 })))?.id).toBe('iommu-node-place');
  });
});

describe('the IOMMU in the tree', () => {
  const iommus = (change: object): { tree: TreeDescription } => ({
    tree: { ...sampleTree(), iommus: sampleTree().iommus.map((node) => ({ ...node, ...change })) },
  });

  test('missing', () => {
    expect(first(broken({ tree: { ...sampleTree(), iommus: [] } }))).toMatchObject({
      id: 'iommu-node-missing',
      message: expect.stringContaining('viommu0 is at 00:01.0, but the tree has no node') as string,
    });
  });

  test('at another slot', () => {
    const location = { kind: 'pci', parent: '/pcie@10000000', host: '/pcie@10000000', rid: 0x28 };
    expect(first(broken(iommus({ location })))).toMatchObject({
      id: 'iommu-node-place',
      message: expect.stringContaining('at 00:05.0; viommu0 is at 00:01.0') as string,
    });
  });

  test('disabled', () => {
    expect(first(broken(iommus({ enabled: false })))?.id).toBe('iommu-node-disabled');
  });

  test('behind itself', () => {
    const iommuMap = map([0, 5, 0, 0x40]);
    expect(first(broken(tree({ iommuMap })))).toMatchObject({
      id: 'iommu-behind-itself',
      message: expect.stringContaining('viommu0 (00:01.0) is inside its own iommu-map') as string,
    });
  });
});

describe('MSI', () => {
  /** No MSIs at disk0. */
  const noMsi = (described: Partial<Observation['described']>): Observation =>
    broken(described, {
      guest: sampleGuest({
        devices: sampleDevices().map((device) =>
          device.name === '0000:00:02.0'
            ? { ...device, interrupts: { kind: 'none', vectors: 0 } }
            : device,
        ),
      }),
    });

  test('no msi-map', () => {
    const bare = sampleTree();
    const hosts = bare.hosts.map((host) => without(host, 'msiMap'));
    expect(first(noMsi({ tree: { ...bare, hosts } }))?.id).toBe('msi-map-missing');
  });

  test.each([
    [map([0, 9, 0, 0x10000]), 'msi-map-phandle'],
    [map([0x18, 7, 0x18, 0x100]), 'msi-map-gap'],
    [map([0, 7, 0x100, 0x10000]), 'msi-map-base'],
    [{ ...map([0, 7, 0, 0x10000]), leftover: 1 }, 'msi-map-length'],
  ] as const)('msi-map %#: %s', (msiMap, id) => {
    expect(first(noMsi(tree({ msiMap })))?.id).toBe(id);
  });

  test('a doorbell at another address', () => {
    const bare = sampleTree();
    const msiControllers = bare.msiControllers.map((controller) => ({
      ...controller,
      window: { start: 0x900_0000n, end: 0x900_ffffn },
    }));
    expect(first(noMsi({ tree: { ...bare, msiControllers } }))).toMatchObject({
      id: 'doorbell-address',
      message:
        '/intc/its puts the MSI doorbell at 0x9000000-0x900ffff; its0 is at 0x8090000-0x809ffff',
    });
  });
});

describe('VIOT', () => {
  const iommu = { type: 'pci-iommu', segment: 0, rid: 8 } as const;
  const range = {
    type: 'pci-range',
    endpointStart: 0,
    segments: { start: 0, end: 0 },
    rids: { start: 0, end: 0x3f },
    output: 48,
  } as const;

  test('whose IOMMU is another device', () => {
    const viot = sampleViot([{ ...iommu, rid: 0x10 }, range] as never);
    expect(first(broken({ viot }))).toMatchObject({
      id: 'viot-iommu-is-another-device',
      message: expect.stringContaining(
        'says that 00:02.0 is the virtio-iommu, but that is disk0, a virtio-blk; viommu0 is at 00:01.0',
      ) as string,
    });
  });

  test('whose IOMMU is nowhere', () => {
    const viot = sampleViot([{ ...iommu, rid: 0x30 }, range] as never);
    expect(first(broken({ viot }))?.id).toBe('viot-iommu-absent');
  });

  test.each([
    [[iommu, { ...range, rids: { start: 0x18, end: 0x3f }, endpointStart: 0x18 }], 'viot-gap'],
    [[iommu, { ...range, endpointStart: 0x100 }], 'viot-wrong-id'],
    [[iommu, { ...range, output: 0x34 }], 'viot-output'],
    [[iommu, range, { ...range, endpointStart: 0x100 }], 'viot-overlap'],
    // Linux drops the last node, and the one before it counts.
    [[iommu, { ...range, endpointStart: 0x100 }, { ...range, output: 0x34 }], 'viot-wrong-id'],
    [[iommu, { ...range, rids: { start: 0, end: 0xff } }], 'viot-covers-bypass'],
  ] as const)('nodes %#: %s', (nodes, id) => {
    expect(first(broken({ viot: sampleViot(nodes as never) }))?.id).toBe(id);
  });

  test('damage', () => {
    const formProblems = [{ code: 'viot/node-offset', message: 'too small', place: PLACE }];
    const viot = { ...sampleViot([iommu, range] as never), formProblems };
    expect(first(broken({ viot }))).toMatchObject({ id: 'viot-form' });
    // What Linux copes with breaks nothing, whatever its code.
    const copes = { ...viot, formProblems: [{ ...formProblems[0], severity: 'warning' }] };
    expect(first(broken({ viot: copes as never }))?.id).not.toBe('viot-form');
  });
});

describe('the rest', () => {
  test('firmware that never arrived is the first cause', () => {
    const firmware = [
      { name: 'device tree', outcome: 'different', differences: ['/pcie: x'], edited: [] },
    ] as const;
    expect(first(broken(tree({ iommuMap: map() }), { firmware }))?.id).toBe(
      'firmware-not-delivered',
    );
  });

  test('a rule of the catalogue, when nothing nearer explains it', () => {
    const diagnostic: Diagnostic = {
      rule: 'dma-ranges-disjoint',
      severity: 'error',
      place: PLACE,
      message: 'dma-ranges is outside the input range',
      related: [],
    };
    expect(first(broken({ ...tree(), diagnostics: [diagnostic] }))?.id).toBe(
      'rule/dma-ranges-disjoint',
    );
  });

  test('an oops without an explanation, and nothing at all', () => {
    const log = [{ text: 'Oops: 1', meaning: { code: 'oops' } }] as const;
    const crashed = sampleObservation({ guest: sampleGuest({ log }) });
    expect(first(crashed)?.id).toBe('kernel-oops');
    expect(first(broken(tree()))).toMatchObject({
      id: 'unexplained',
      message: expect.stringContaining('disk0 (00:02.0): expected in a group') as string,
    });
  });

  test('legacy transport and granule', () => {
    const [viommu] = sampleModel().viommus;
    if (viommu === undefined) throw new Error('no vIOMMU');
    const transport = { kind: 'mmio', base: 0xa000000n, size: 512n, interrupt: 16, legacy: true };
    const legacy = sampleModel({ viommus: [{ ...viommu, transport } as never] });
    expect(first(broken({}), legacy)?.id).toBe('viommu-legacy');
    const coarse = sampleModel({ viommus: [{ ...viommu, granule: 0x10000n }] });
    expect(first(broken({}), coarse)?.id).toBe('viommu-granule');
  });

  test('the number of causes is bounded', () => {
    const diagnostics = Array.from({ length: 500 }, (_, n) => ({
      rule: `r${n}`,
      severity: 'warning' as const,
      place: PLACE,
      message: '',
      related: [],
    }));
    expect(judge(sampleModel(), broken({ diagnostics })).causes).toHaveLength(20);
  });
});
