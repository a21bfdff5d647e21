import { describe, expect, test } from 'vitest';
import { buildFirmware, inspect } from '../../../src/firmware/index.ts';
import { checkFacts, DEFAULT_KERNEL, type Facts } from '../../../src/topology/index.ts';
import { shipped, shippedModel } from './shipped.ts';

/** A tree and a VIOT, read from the bytes of the named topologies. */
function facts(treeOf: string, viotOf: string): Facts | undefined {
  const { dtb } = buildFirmware(shippedModel(treeOf));
  const { viot } = buildFirmware(shippedModel(viotOf));
  if (dtb === undefined || viot === undefined) return undefined;
  const [one, two] = [inspect(dtb, 'topology.dtb'), inspect(viot, 'viot.aml')];
  if (one.format !== 'dtb' || two.format !== 'viot') throw new Error('not what was built');
  return { tree: one.tree, viot: two.viot, kernel: DEFAULT_KERNEL, guestPage: 0x1000n };
}

function disagreements(given: Facts): string[] {
  return checkFacts(given)
    .filter(({ rule, severity }) => rule === 'tree-and-viot-disagree' && severity === 'error')
    .map(({ message }) => message);
}

describe('tree and VIOT, as read from their bytes', () => {
  test('of one topology agree, for every one that is shipped', () => {
    let compared = 0;
    for (const name of shipped) {
      const both = facts(name, name);
      if (both === undefined) continue;
      compared++;
      expect([name, ...disagreements(both)]).toEqual([name]);
    }
    expect(compared).toBeGreaterThan(5);
  });

  test('of two machines: each IOMMU that one lacks, each requester ID that differs', () => {
    const mixed = facts('two-viommus.yaml', 'its.yaml');
    expect(mixed && disagreements(mixed)).toEqual([
      'VIOT has an IOMMU at 00:01.0: the device tree has none there',
      'the device tree has the IOMMU /virtio@a000000: VIOT has none there',
      'the device tree has the IOMMU /virtio@a000200: VIOT has none there',
      '00:00.0-0f:1f.7: the device tree says /virtio@a000000, endpoint ID 0x0; VIOT says the IOMMU at 00:01.0, endpoint ID 0x0',
      '0001:10:00.0-1f:1f.7: the device tree says /virtio@a000200, endpoint ID 0x1000; VIOT says no IOMMU',
    ]);
    const turned = facts('its.yaml', 'two-viommus.yaml');
    expect(turned && disagreements(turned)).toContain(
      'VIOT translates segment 1: the device tree has no host there',
    );
  });
});
