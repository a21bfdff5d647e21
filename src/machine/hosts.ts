import { sizeOf } from '../bytes/index.ts';
import { TranslatedDma } from '../memory/index.ts';
import {
  PciHost as HostBridge,
  pciePciBridge,
  RootPort,
  type PciBridge as BridgeFunction,
  type PciBus,
  type PciFunction,
} from '../pci/index.ts';
import { PCI_SECONDARY_BUS, PCI_PRIMARY_BUS } from '../spec/pci-config.ts';
import { VIRT_PCIE_SPI } from '../spec/virt-board.ts';
import type { Board, PciBridge, PciHost } from '../topology/index.ts';
import { Route } from './route.ts';
import type { MachineHost, Unit } from './unit.ts';
import { bellSink, type Workshop } from './workshop.ts';

/** GSI of INTA of q35's root complex. */
const Q35_PCIE_GSI = 16;

function intxBase(board: Board): number {
  return board === 'q35' ? Q35_PCIE_GSI : VIRT_PCIE_SPI;
}

/**
 * A host bridge with its configuration space and windows on the bus.
 *
 * @param renumbered told when a guest may have given bridges other bus numbers
 */
export function makeHost(shop: Workshop, host: PciHost, renumbered: () => void): MachineHost {
  const windows = host.mem64 === undefined ? [host.mem32] : [host.mem32, host.mem64];
  const first = intxBase(shop.model.board);
  const pci = new HostBridge({
    segment: host.segment,
    buses: host.buses,
    windows,
    intx: (line, level) => shop.lines.set(first + line, host.id, level),
  });
  shop.bus.add({
    name: `configuration space of ${host.id}`,
    base: Number(host.ecam.start),
    size: Math.min(pci.ecamSize, Number(sizeOf(host.ecam))),
    read: (offset, size) => pci.ecamRead(offset, size),
    write: (offset, size, value) => {
      pci.ecamWrite(offset, size, value);
      if (touchesBusNumbers(offset & 0xfff, size)) renumbered();
    },
  });
  for (const window of windows) {
    const base = Number(window.start);
    shop.bus.add({
      name: `memory window of ${host.id}`,
      base,
      size: Number(sizeOf(window)),
      read: (offset, size) => pci.read(base + offset, size),
      write: (offset, size, value) => pci.write(base + offset, size, value),
    });
  }
  return { host, pci };
}

function touchesBusNumbers(register: number, size: number): boolean {
  return register < PCI_PRIMARY_BUS + 4 && register + size > PCI_SECONDARY_BUS;
}

/** The bridges of a host, plugged in above one another in the order of their buses. */
export function plugBridges(shop: Workshop, at: MachineHost): Unit[] {
  const ordered = at.host.bridges.toSorted((a, b) => a.buses.start - b.buses.start);
  return ordered.map((bridge, index) => {
    const unit = makeBridge(shop, at, bridge, index);
    const { fn } = unit.pci ?? {};
    if (fn !== undefined) busOf(at, bridge.rid >> 8).plug(bridge.rid & 0xff, fn);
    return unit;
  });
}

function makeBridge(shop: Workshop, at: MachineHost, bridge: PciBridge, index: number): Unit {
  const route = new Route();
  const held: { fn?: PciFunction } = {};
  const dma = new TranslatedDma(
    shop.memory,
    route,
    0,
    bellSink(shop, at, () => held.fn),
  );
  const common = { name: bridge.id, dma };
  const fn: BridgeFunction =
    bridge.kind === 'root-port'
      ? new RootPort({ ...common, slot: index + 1, hotplug: bridge.hotplug })
      : pciePciBridge(common);
  held.fn = fn;
  const conventional = bridge.kind === 'pcie-pci-bridge';
  return { id: bridge.id, kind: 'bridge', pci: { at, fn }, route, translates: true, conventional };
}

/**
 * The bus that has this number in the topology: below the bridge of which it is the secondary bus.
 * The guest gives the same numbers when the topology names those that a guest gives.
 *
 * @throws RangeError when no bridge leads there, which the topology's checks rule out
 */
export function busOf({ host, pci }: MachineHost, number: number): PciBus {
  if (number === host.buses.start) return pci.root;
  const above = host.bridges.find(({ buses }) => buses.start === number);
  if (above === undefined) throw new RangeError(`${host.id} has no bus ${number}`);
  const fn = busOf({ host, pci }, above.rid >> 8).at(above.rid & 0xff);
  if (fn === undefined || !('secondary' in fn)) throw new RangeError(`${above.id} is not there`);
  return (fn as BridgeFunction).secondary;
}

/** Whether functions on that bus are on a conventional one. */
export function isConventional({ host }: MachineHost, number: number): boolean {
  return host.bridges.some(
    ({ kind, buses }) => kind === 'pcie-pci-bridge' && number >= buses.start && number <= buses.end,
  );
}

/** The root port that an endpoint on that bus sits in, for hot-plug events. */
export function portAbove(at: MachineHost, number: number): RootPort | undefined {
  const above = at.host.bridges.find(({ buses }) => buses.start === number);
  if (above === undefined) return undefined;
  const fn = busOf(at, above.rid >> 8).at(above.rid & 0xff);
  return fn instanceof RootPort ? fn : undefined;
}
