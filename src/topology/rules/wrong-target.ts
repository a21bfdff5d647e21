import type { RidMap, TreeDescription, TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { badLength, keyOf } from './support/rid-map.ts';

function* checkMap(
  host: TreeHost,
  map: RidMap | undefined,
  property: 'iommu-map' | 'msi-map',
  providers: ReadonlySet<string>,
): Generator<Finding> {
  if (map === undefined || badLength(map)) return;
  const seen = new Set<string>();
  for (const row of map.rows) {
    const key = keyOf(row.target);
    if (key === undefined || providers.has(key) || seen.has(key)) continue;
    seen.add(key);
    const what = property === 'iommu-map' ? 'an IOMMU' : 'an MSI controller';
    yield {
      place: row.place,
      message: `the ${property} of ${host.key} leads to ${key}, which is not ${what}`,
      ...(property === 'msi-map' && {
        effect: 'The devices have no MSI: they fall back to INTx, or fail where there is none.',
      }),
    };
  }
}

function providersOf(tree: TreeDescription): { iommus: Set<string>; msi: Set<string> } {
  return {
    iommus: new Set(tree.iommus.map((it) => it.key)),
    msi: new Set(tree.msiControllers.map((it) => it.key)),
  };
}

export const wrongTarget: Rule = {
  id: 'wrong-target',
  summary: 'iommu-map and iommus lead to IOMMUs, msi-map and msi-parent to MSI controllers.',
  severity: 'error',
  effect:
    'Linux waits for a driver of the target that never registers an IOMMU: the devices are deferred for 10 s, then work untranslated.',
  cure: 'Refer to the node of the vIOMMU or MSI controller.',
  *check({ tree, model }: Facts): Iterable<Finding> {
    if (tree === undefined) return;
    const { iommus, msi } = providersOf(tree);
    // A vIOMMU on PCI that has no node has a rule of its own.
    for (const { id, transport } of model?.viommus ?? []) {
      if (transport.kind === 'pci') iommus.add(id);
    }
    for (const host of tree.hosts) {
      yield* checkMap(host, host.iommuMap, 'iommu-map', iommus);
      yield* checkMap(host, host.msiMap, 'msi-map', msi);
      const parent = host.msiParent && keyOf(host.msiParent.target);
      if (host.msiParent !== undefined && parent !== undefined && !msi.has(parent)) {
        yield {
          place: host.msiParent.place,
          message: `the msi-parent of ${host.key} is ${parent}, which is not an MSI controller`,
          effect: 'The devices have no MSI: they fall back to INTx, or fail where there is none.',
        };
      }
    }
    for (const device of tree.devices) {
      for (const entry of device.iommus) {
        const key = keyOf(entry.target);
        if (key === undefined || iommus.has(key)) continue;
        const message = `iommus of ${device.key} leads to ${key}, which is not an IOMMU`;
        yield { place: entry.place, message };
      }
    }
  },
};
