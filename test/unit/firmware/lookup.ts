import type {
  Model,
  TreeDescription,
  TreeHost,
  ViotDescription,
} from '../../../src/topology/index.ts';

/** Who translates a requester ID, `viommu id / endpoint ID`, or `none`. */
export type Answer = string;

/** Linux' of_map_id, line by line and without any cleverness: the first row that matches. */
export function treeLookup(
  model: Model,
  tree: TreeDescription,
  host: TreeHost,
  rid: number,
): Answer {
  const masked = (rid & (host.iommuMapMask?.value ?? 0xffff_ffff)) >>> 0;
  for (const { ridBase, length, target, outputBase } of host.iommuMap?.rows ?? []) {
    if (masked < ridBase || masked >= ridBase + length) continue;
    const node = 'key' in target ? tree.iommus.find(({ key }) => key === target.key) : undefined;
    const at = node?.location;
    const found = model.viommus.find(({ id, transport }) => {
      if (id === node?.key) return true;
      if (at?.kind === 'mmio') return transport.kind === 'mmio' && transport.base === at.base;
      const index = tree.hosts.findIndex(({ key }) => key === at?.host);
      const segment = tree.hosts[index]?.segment ?? index;
      return transport.kind === 'pci' && transport.segment === segment && transport.rid === at?.rid;
    });
    return answer(found?.id, outputBase + (masked - ridBase));
  }
  return 'none';
}

/** Linux' viot_pci_dev_iommu_init: nodes are put at the head of a list, so the last one wins. */
export function viotLookup(
  model: Model,
  viot: ViotDescription,
  segment: number,
  rid: number,
): Answer {
  for (const node of viot.nodes.toReversed()) {
    if (node.type !== 'pci-range') continue;
    const { segments, rids, endpointStart, output } = node;
    if (segment < segments.start || segment > segments.end) continue;
    if (rid < rids.start || rid > rids.end) continue;
    const iommu = viot.nodes.find(({ offset }) => offset === output);
    const found = model.viommus.find(({ transport }) => {
      if (iommu?.type === 'mmio-iommu') {
        return transport.kind === 'mmio' && transport.base === iommu.base;
      }
      return (
        iommu?.type === 'pci-iommu' &&
        transport.kind === 'pci' &&
        transport.rid === iommu.rid &&
        transport.segment === iommu.segment
      );
    });
    // A PCI IOMMU is not put behind itself (-EINVAL).
    if (found?.transport.kind === 'pci') {
      if (found.transport.rid === rid && found.transport.segment === segment) return 'none';
    }
    return answer(
      found?.id,
      ((segment - segments.start) << 16) + (rid - rids.start) + endpointStart,
    );
  }
  return 'none';
}

/** What the model itself says. */
export function modelLookup(model: Model, segment: number, rid: number): Answer {
  const row = model.coverage.find(
    (it) => it.segment === segment && it.rids.start <= rid && rid <= it.rids.end,
  );
  return row === undefined ? 'none' : answer(row.viommu, row.endpointId + (rid - row.rids.start));
}

export function answer(viommu: string | undefined, endpointId: number): Answer {
  return `${viommu ?? 'nobody'} / 0x${endpointId.toString(16)}`;
}
