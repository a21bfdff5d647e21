import { cells, empty, str, type FdtNode } from '../../fdt/index.ts';
import { PCI_REG_RID_SHIFT } from '../../spec/pci-tree.ts';
import type { PciHost, TreeHost } from '../../topology/index.ts';
import type { Filler } from './bench.ts';

/** `reg` of a PCI function: its requester ID in configuration space, and no size. */
export function setPciReg(node: FdtNode, rid: number): void {
  node.set('reg', cells((rid << PCI_REG_RID_SHIFT) >>> 0, 0, 0, 0, 0));
}

/**
 * Makes the bridges between a host and something behind them. Linux finds a PCI function's node
 * among the children of its own bus, so every bridge on the way needs one.
 */
export function bridgeFiller(host: PciHost, described: TreeHost): Filler {
  const busOf = new Map<string, number>([[described.path, described.buses.start]]);
  return (node, path, parent) => {
    const bus = busOf.get(parent);
    if (bus === undefined) return;
    const rid = (bus << 8) | deviceFunction(node.name);
    const bridge = host.bridges.find((candidate) => candidate.rid === rid);
    node.set('device_type', str('pci'));
    setPciReg(node, rid);
    node.set('#address-cells', cells(3)).set('#size-cells', cells(2)).set('ranges', empty());
    if (bridge === undefined) return;
    node.set('bus-range', cells(bridge.buses.start, bridge.buses.end));
    busOf.set(path, bridge.buses.start);
  };
}

/** Device and function of a unit address `1f,7` or `2`: device << 3 | function. */
function deviceFunction(name: string): number {
  const [device = '0', fn = '0'] = name.slice(name.indexOf('@') + 1).split(',');
  return ((Number.parseInt(device, 16) & 0x1f) << 3) | (Number.parseInt(fn, 16) & 7);
}
