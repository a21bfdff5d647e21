import type { Facts, Finding, Rule } from '../facts.ts';

/** `1,0`; the function is left out when it is 0 only in the short form, which dtc takes too. */
function unitAddresses(rid: number): string[] {
  const device = ((rid >> 3) & 0x1f).toString(16);
  const full = `${device},${(rid & 7).toString(16)}`;
  return (rid & 7) === 0 ? [full, device] : [full];
}

export const iommuNodeName: Rule = {
  id: 'iommu-node-name',
  catalogue: [40],
  summary: 'The unit address of an IOMMU’s node is its device and function, or its base.',
  severity: 'warning',
  effect: 'None in Linux; dtc warns (pci_device_reg: "PCI unit address format error").',
  cure: 'Name the node iommu@DEVICE,FUNCTION in hexadecimal, or virtio@BASE.',
  *check({ tree }: Facts): Iterable<Finding> {
    for (const iommu of tree?.iommus ?? []) {
      const { location, nodeName } = iommu;
      const unit = nodeName.split('@')[1] ?? '';
      const allowed =
        location.kind === 'pci' ? unitAddresses(location.rid) : [location.base.toString(16)];
      if (!iommu.virtio || allowed.includes(unit)) continue;
      yield {
        place: iommu.place,
        message: `the node ${nodeName} of ${iommu.key} should have the unit address ${allowed[0] ?? ''}`,
        ...(location.kind === 'mmio' && {
          effect: 'None in Linux; dtc warns (simple_bus_reg) on a simple-bus.',
        }),
      };
    }
  },
};
