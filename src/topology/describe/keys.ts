import { splitRequesterId } from '../../spec/pci.ts';
import type { Model, PciBridge, PciHost } from '../model.ts';

/** `4010000000`: a unit address. */
export function unit(address: bigint): string {
  return address.toString(16);
}

/** `1,0`, or `1` for function 0 when `short`: the unit address of a PCI function. */
export function pciUnit(rid: number): string {
  const { device, fn } = splitRequesterId(rid);
  return `${device.toString(16)},${fn}`;
}

/** The node of a host, named after its configuration space. */
export function hostPath(host: PciHost): string {
  return `/pcie@${unit(host.ecam.start)}`;
}

/** Bridges on the way from a host to a bus, outermost first. */
export function bridgesTo(host: PciHost, bus: number): PciBridge[] {
  return host.bridges
    .filter((bridge) => bridge.buses.start <= bus && bus <= bridge.buses.end)
    .toSorted((a, b) => b.buses.end - b.buses.start - (a.buses.end - a.buses.start));
}

/** The node that is the parent of functions on `bus`: nested `pci@` nodes for bridges. */
export function busPath(host: PciHost, bus: number): string {
  const below = bridgesTo(host, bus).map((bridge) => `/pci@${pciUnit(bridge.rid)}`);
  return hostPath(host) + below.join('');
}

/**
 * Added to a requester ID to make the DeviceID that the ITS of a board sees. QEMU's has 16 bits
 * and no segments; the emulator's counts segments, as endpoint IDs do.
 */
export function deviceIdBase(model: Model, host: PciHost): number {
  return model.board === 'emulator' ? host.segment * 0x1_0000 : 0;
}
