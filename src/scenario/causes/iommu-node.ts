import { hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Model, TreeDescription, TreeIommu, Viommu } from '../../topology/index.ts';
import type { Case, Cause, CauseFinder } from '../cause.ts';
import { nodeOfViommu, ownRow, showRow, viommuOfNode } from '../firmware-reading/tree.ts';
import { placeName } from '../names.ts';
import { fromLog, type Evidence } from '../promise.ts';

/** The vIOMMUs' own nodes in the tree: there, at the right slot, enabled, with a driver's needs. */
export const iommuNode: CauseFinder = (facts) => {
  const { model, observation } = facts;
  const { tree } = observation.described;
  if (tree === undefined) return [];
  return model.viommus.flatMap((viommu) => {
    const node = nodeOfViommu(model, tree, viommu.id);
    if (node === undefined) return [missing(facts, tree, viommu)];
    if (node.enabled) return [];
    return [
      {
        id: 'iommu-node-disabled',
        message: `${node.path}, the node of ${viommu.id}, has status "disabled": Linux never binds it and its endpoints bypass`,
        endpoints: behind(model, viommu),
        cure: 'remove the status property, or make it "okay"',
        evidence: [],
      },
    ];
  });
};

function missing(facts: Case, tree: TreeDescription, viommu: Viommu): Cause {
  const { model } = facts;
  const stray = tree.iommus.find(
    (node) => node.virtio && viommuOfNode(model, tree, node) === undefined,
  );
  const evidence = oops(facts);
  const where = placeName(viommu.transport);
  if (stray === undefined) {
    return {
      id: 'iommu-node-missing',
      message: `${viommu.id} is at ${where}, but the tree has no node for it${crash(viommu)}`,
      endpoints: behind(model, viommu),
      cure: nodeCure(viommu),
      evidence,
    };
  }
  return {
    id: 'iommu-node-place',
    message: `${stray.path} says a virtio-iommu is at ${strayPlace(stray)}; ${viommu.id} is at ${where}${crash(viommu)}`,
    endpoints: behind(model, viommu),
    cure: nodeCure(viommu),
    evidence,
  };
}

/** What a PCI vIOMMU without a firmware node does (measured on Linux 6.12 and 7.3). */
function crash({ transport }: Viommu): string {
  return transport.kind === 'pci' ? '; Linux crashes in viommu_probe_device' : '';
}

function nodeCure({ transport }: Viommu): string {
  return transport.kind === 'pci'
    ? `give the host bridge a child node with reg = <${hex(transport.rid << 8)} 0 0 0 0>`
    : `add a virtio,mmio node with reg ${hex(transport.base)} and #iommu-cells`;
}

function strayPlace({ location }: TreeIommu): string {
  return location.kind === 'pci' ? showBdf(location.rid) : hex(location.base);
}

function oops({ findings }: Case): Evidence[] {
  return findings
    .filter(({ kind }) => kind === 'oops')
    .slice(0, 2)
    .map(({ line }) => fromLog(line));
}

function behind(model: Model, viommu: Viommu): string[] {
  return model.endpoints
    .filter((endpoint) => endpoint.viommu === viommu.id && endpoint.device !== undefined)
    .map(({ id }) => id);
}

/** The IOMMU that waits for itself. */
export const iommuHole: CauseFinder = ({ model, observation, findings }) => {
  const { tree } = observation.described;
  const own = tree === undefined ? undefined : ownRow(model, tree);
  if (own === undefined) return [];
  return [
    {
      id: 'iommu-behind-itself',
      message: `${own.viommu} (${own.bdf}) is inside its own iommu-map: row ${showRow(own.row)} of ${own.host.path} has no hole for it, so Linux makes it wait for itself and defers every endpoint`,
      endpoints: [],
      cure: `split the row around requester ID ${hex(ridOf(model, own.viommu))}`,
      evidence: findings
        .filter(({ kind }) => kind === 'deferred')
        .slice(0, 2)
        .map(({ line }) => fromLog(line)),
    },
  ];
};

function ridOf(model: Model, id: string): number {
  const transport = model.viommus.find((viommu) => viommu.id === id)?.transport;
  return transport?.kind === 'pci' ? transport.rid : 0;
}
