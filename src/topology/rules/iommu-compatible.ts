import type { Facts, Finding, Rule } from '../facts.ts';

export const iommuCompatible: Rule = {
  id: 'iommu-compatible',
  summary: 'The node of a virtio-iommu has the compatible of its binding.',
  severity: 'warning',
  effect: 'Linux does not read it for a PCI device; dt-validate refuses the node.',
  cure: 'PCI: "virtio,pci-iommu", "pci1af4,1057" (the last is required). virtio-mmio: "virtio,mmio".',
  *check({ tree }: Facts): Iterable<Finding> {
    for (const { key, location, virtio, compatible, place } of tree?.iommus ?? []) {
      const want = location.kind === 'pci' ? 'pci1af4,1057' : 'virtio,mmio';
      if (!virtio || compatible.includes(want)) continue;
      const has = compatible.length === 0 ? 'none' : compatible.map((it) => `"${it}"`).join(', ');
      yield {
        place,
        message: `compatible of ${key} lacks "${want}" (it is ${has})`,
        ...(location.kind === 'mmio' && {
          effect: 'Linux binds no driver to the node: its endpoints are deferred and then bypass.',
          severity: 'error' as const,
        }),
      };
    }
  },
};
