import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtImages, modelBackend } from '../../../src/backends/index.ts';
import { buildFirmware, inspect } from '../../../src/firmware/index.ts';
import { expectedEndpoints, isAt, type Observation } from '../../../src/scenario/index.ts';
import {
  DEFAULT_KERNEL,
  explain,
  findAskers,
  type Conclusion,
  type Explanation,
  type Facts,
  type Model,
} from '../../../src/topology/index.ts';
import { machine as handFacts } from '../../support/facts.ts';
import { modelFrom, shippedModel } from '../../support/model-guest.ts';
import { WRONG_TREES, WRONG_VIOTS } from '../../support/wrong-firmware.ts';

const SHIPPED = readdirSync(join(import.meta.dirname, '../../../topologies'))
  .filter((file) => file.endsWith('.yaml') && file !== 'large.yaml')
  .map((file) => file.slice(0, -'.yaml'.length));

/** What the bytes say, beside the model: as `viommu-topo explain` asks. */
function factsOf(model: Model): Facts {
  const { dtb, viot, iort, mcfg } = buildFirmware(model);
  const parts = [dtb, viot, iort, mcfg].flatMap((bytes, index) =>
    bytes === undefined
      ? []
      : [inspect(bytes, ['topology.dtb', 'viot.aml', 'iort.aml', 'mcfg.aml'][index] ?? '')],
  );
  const named: Partial<Facts> = Object.assign(
    {},
    ...parts.map((it): Partial<Facts> => {
      if (it.format === 'dtb') return { tree: it.tree };
      if (it.format === 'viot') return { viot: it.viot };
      if (it.format === 'iort') return { iort: it.iort };
      return it.format === 'mcfg' ? { mcfg: it.mcfg } : {};
    }),
  );
  const { guest } = model;
  return { model, kernel: guest.kernel ?? DEFAULT_KERNEL, guestPage: guest.pageSize, ...named };
}

function explained(facts: Facts, word: string, address?: bigint): Explanation {
  const [asker] = findAskers(facts, word);
  if (asker === undefined) throw new Error(`nobody is ${word}`);
  return explain(facts, asker, address);
}

const by = (it: Explanation, source: Conclusion['source']): Conclusion | undefined =>
  it.conclusions.find((one) => one.source === source);

const told = ({ steps }: Explanation): string => steps.map(({ text }) => text).join('\n');

/** The guest that reads the same firmware with a reader of its own. */
async function observe(model: Model, firmware: 'device-tree' | 'acpi'): Promise<Observation> {
  const images = builtImages(buildFirmware(model), 'test');
  const input = { model, firmware: images, timeLimit: 60, seed: 'explain' };
  return modelBackend({ firmware }).run(input, {});
}

/** Endpoints that the guest attached. */
function translated(model: Model, observation: Observation): string[] {
  return expectedEndpoints(model).flatMap(({ id, endpoint }) => {
    const seen = observation.guest.devices.find(({ name }) => isAt(name, endpoint.location));
    return seen?.group === undefined ? [] : [id];
  });
}

/** What a guest shows alike. */
const ATTACHED: ReadonlySet<string> = new Set(['translated', 'mistaken']);

async function agree(model: Model): Promise<number> {
  const facts = factsOf(model);
  const sources = [
    ...(facts.tree === undefined ? [] : (['device-tree'] as const)),
    ...(facts.viot === undefined ? [] : (['viot'] as const)),
  ];
  let asked = 0;
  for (const source of sources) {
    const seen = await observe(model, source === 'viot' ? 'acpi' : 'device-tree');
    // A guest that crashed attached what came before the crash: nothing to compare with.
    if (seen.ending.kind !== 'completed') continue;
    const guest = translated(model, seen);
    const ours = expectedEndpoints(model).flatMap(({ id }) =>
      ATTACHED.has(by(explained(facts, id), source)?.fate ?? '') ? [id] : [],
    );
    expect(ours, `${model.name} by ${source}`).toEqual(guest);
    asked++;
  }
  return asked;
}

describe('what is explained is what a guest does', () => {
  test.each(SHIPPED)('%s', async (name) => {
    expect(await agree(shippedModel(name))).toBeGreaterThan(0);
  });

  test.each([...WRONG_TREES, ...WRONG_VIOTS].map((it) => [it.what, it] as const))(
    'with %s',
    async (_, { text }) => {
      await agree(modelFrom(text));
    },
  );
});

describe('a step names what Linux looks at', () => {
  const ITS = factsOf(shippedModel('its'));

  test('the row of iommu-map, with its byte in the blob', () => {
    const it = explained(ITS, 'disk0');
    const step = it.steps.find(({ text }) => text.startsWith('row 1'));
    expect(step).toMatchObject({ part: 'device-tree', mark: 'ok' });
    expect(step?.text).toContain('0x9 + (0x10 - 0x9) = 0x10');
    const { place } = step ?? {};
    expect(place).toMatchObject({ kind: 'tree', path: '/pcie@4010000000', property: 'iommu-map' });
    const { dtb = new Uint8Array() } = buildFirmware(shippedModel('its'));
    const data = new DataView(dtb.buffer, dtb.byteOffset);
    const at = place?.kind === 'tree' ? (place.offset ?? 0) : 0;
    expect([data.getUint32(at), data.getUint32(at + 8), data.getUint32(at + 12)]).toEqual([
      9, 9, 0xfff7,
    ]);
  });

  test('nodes of the VIOT by offset, and the sum of the endpoint ID', () => {
    const it = explained(ITS, 'disk0');
    expect(told(it)).toContain('VIOT+0x30 is a virtio-iommu at 0000:00:01.0');
    expect(by(it, 'viot')).toMatchObject({
      viommu: 'viommu0',
      endpointId: 0x10,
      target: 'VIOT+0x30',
    });
  });

  test('the MSI controller and its DeviceID', () => {
    expect(told(explained(ITS, 'disk0'))).toMatch(
      /MSIs go to .*msi-controller@8080000, an ITS, which knows the function by DeviceID 0x10/,
    );
  });

  test('without a topology it says what firmware cannot tell', () => {
    const { model: _, ...foreign } = ITS;
    const it = explained(foreign, '0000:00:02.0');
    expect(told(it)).toContain('whether the device knows endpoint 0x10 is not in any firmware');
    expect(by(it, 'device-tree')).toMatchObject({ fate: 'translated', endpointId: 0x10 });
  });

  test('the vIOMMU itself is not behind itself', () => {
    const it = explained(ITS, 'viommu0');
    expect(it.conclusions.map(({ fate }) => fate)).toEqual(['untranslated', 'untranslated']);
  });

  test('a blocked endpoint: no row, and boot-bypass off', () => {
    const model = modelFrom(`
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0, boot-bypass: false }]
endpoints: [{ id: disk0, at: 00:02.0, device: virtio-blk }]
firmware: { overrides: { hosts: { pcie0: { iommu-map: [[0x0, viommu0, 0x0, 0x8]] } } } }
`);
    const it = explained(factsOf(model), 'disk0', 0x4000_0000n);
    expect(by(it, 'device-tree')?.fate).toBe('blocked');
    expect(by(it, 'viot')?.fate).toBe('translated');
    expect(it.diagnostics.map(({ rule }) => rule)).toContain('endpoint-not-covered');
  });

  test('an older kernel has no VIOT and, older still, no driver', () => {
    const old = explained({ ...ITS, kernel: { major: 5, minor: 10 } }, 'disk0');
    expect(by(old, 'viot')).toMatchObject({ fate: 'untranslated' });
    expect(told(old)).toContain('5.14 is the first that does');
    expect(by(old, 'device-tree')?.fate).toBe('translated');
    const older = explained({ ...ITS, kernel: { major: 4, minor: 19 } }, 'disk0');
    expect(by(older, 'device-tree')?.text).toContain('no virtio-iommu driver');
  });

  test('from 7.0 on a bad phandle before the row ends the walk, before it only at the row', () => {
    const model = modelFrom(`
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: disk0, at: 00:02.0, device: virtio-blk }]
firmware: { overrides: { hosts: { pcie0: { iommu-map: [[0x0, 0x99, 0x0, 0x8], [0x9, viommu0, 0x9, 0x100]] } } } }
`);
    const facts = factsOf(model);
    const fate = (major: number): string | undefined =>
      by(explained({ ...facts, kernel: { major, minor: 12 } }, 'disk0'), 'device-tree')?.fate;
    expect([fate(6), fate(7)]).toEqual(['translated', 'untranslated']);
  });
});

describe('whom a word means', () => {
  const ITS = factsOf(shippedModel('its'));

  test.each(['disk0', '0000:00:02.0', '00:02.0', '0:2.0', '0x10', '16'])('%s', (word) => {
    expect(findAskers(ITS, word).map(({ id }) => id)).toEqual(['disk0']);
  });

  test('a node path of a platform device', () => {
    const facts = factsOf(shippedModel('platform-device'));
    const path = facts.tree?.devices.find(({ iommus }) => iommus.length > 0)?.path ?? '';
    const [asker] = findAskers(facts, path);
    expect(asker?.location).toMatchObject({ kind: 'platform', path });
    expect(by(explained(facts, path), 'device-tree')?.fate).toBe('translated');
  });

  test.each(['nobody', '00:20.0', '/no/such/node', '0x100000000', '', '-1'])(
    '%j: nobody',
    (word) => {
      expect(findAskers(ITS, word)).toEqual([]);
    },
  );

  test('no word is too strange', () => {
    fc.assert(fc.property(fc.string(), (word) => Array.isArray(findAskers(ITS, word))));
  });
});

describe('an address', () => {
  const at = (name: string, id: string, address: bigint): string =>
    explained(factsOf(shippedModel(name)), id, address).address?.text ?? '';

  test('in the doorbell that PROBE reserves', () => {
    expect(at('its', 'disk0', 0x809_0040n)).toContain('rings the doorbell');
  });

  test('in RAM, behind the vIOMMU', () => {
    expect(at('its', 'disk0', 0x4000_1000n)).toContain('goes where a MAP of its domain says');
  });

  test('in a reserved region', () => {
    const model = shippedModel('reserved-regions');
    const [region] = model.reserved.filter(({ type }) => type === 'reserved');
    const who =
      region?.endpoints[0] ?? model.endpoints.find(({ viommu }) => viommu === region?.viommu)?.id;
    expect(at('reserved-regions', who ?? '', region?.range.start ?? 0n)).toContain(
      'nothing can be mapped',
    );
  });

  test('outside the input range', () => {
    const model = modelFrom(`
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0, input-range: 0x0-0xffffffff }]
endpoints: [{ id: disk0, at: 00:02.0, device: virtio-blk }]
`);
    expect(explained(factsOf(model), 'disk0', 1n << 32n).address?.text).toContain(
      'answered with RANGE',
    );
  });

  test('past the vIOMMU: RAM, a doorbell, nothing', () => {
    const model = shippedModel('bypass');
    const free =
      model.endpoints.find(({ viommu, device }) => viommu === undefined && device)?.id ?? '';
    expect(at('bypass', free, 0x4000_0000n)).toContain('reaches RAM');
    expect(at('bypass', free, 0x10n)).toContain('no RAM');
  });

  test('in a direct region of the tree', () => {
    const model = shippedModel('direct-region');
    const [region] = model.reserved;
    const who = region?.endpoints[0] ?? '';
    expect(at('direct-region', who, region?.range.start ?? 0n)).toContain('direct mapping');
  });
});

test('facts made by hand, whatever they say, are explained', () => {
  const facts = handFacts();
  const map = fc.record({
    ridBase: fc.nat(0xffff),
    outputBase: fc.nat(),
    length: fc.nat(0x2_0000),
    dangling: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(map, { maxLength: 5 }), fc.nat(0xffff), fc.nat(), (rows, rid, mask) => {
      const { tree } = facts;
      const [host] = tree?.hosts ?? [];
      if (tree === undefined || host?.iommuMap === undefined) throw new Error('no host');
      const { place } = host.iommuMap;
      const iommuMap = {
        rows: rows.map(({ dangling, ...row }) => ({
          ...row,
          target: dangling ? { phandle: 0x99 } : { key: 'viommu0' },
          place,
        })),
        leftover: 0,
        bytes: rows.length * 16,
        place,
      };
      const changed = { ...host, iommuMap, iommuMapMask: { value: mask, place } };
      const it = explain(
        { ...facts, tree: { ...tree, hosts: [changed] } },
        { label: 'x', location: { kind: 'pci', segment: 0, rid } },
      );
      expect(it.conclusions).toHaveLength(2);
    }),
  );
});
