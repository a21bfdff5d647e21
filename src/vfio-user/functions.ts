import { join } from 'node:path';
import type { Machine } from '../machine/index.ts';
import { PCI_PRIMARY_BUS } from '../spec/pci-config.ts';
import type { Endpoint, Model, Viommu } from '../topology/index.ts';

/** One PCI function that a VMM plugs in. Bridges and root ports are the VMM's own. */
export interface ServedFunction {
  /** Topology id of the vIOMMU or endpoint. */
  readonly id: string;
  readonly kind: 'viommu' | 'endpoint';
  /** Topology id of the host bridge. */
  readonly host: string;
  readonly segment: number;
  /** Requester ID that the topology gives it: bus << 8 | device << 3 | function. */
  readonly rid: number;
  /** Path of the socket that a VMM connects to. */
  readonly socket: string;
}

/** What of a topology is served, with sockets in `directory`: vIOMMUs first, as endpoints wait for them. */
export function servedFunctions(model: Model, directory: string): ServedFunction[] {
  return [
    ...model.viommus.flatMap((viommu) => viommuFunction(viommu, directory)),
    ...model.endpoints.flatMap((endpoint) => endpointFunction(endpoint, directory)),
  ];
}

function viommuFunction({ id, transport }: Viommu, directory: string): ServedFunction[] {
  if (transport.kind !== 'pci') return [];
  const { host, segment, rid } = transport;
  return [{ id, kind: 'viommu', host, segment, rid, socket: socketOf(directory, segment, rid) }];
}

/** Nothing for ranges that only say who translates them, and for platform devices. */
export function endpointFunction(endpoint: Endpoint, directory: string): ServedFunction[] {
  const { id, location, device } = endpoint;
  if (device === undefined || location.kind !== 'pci' || location.form !== 'function') return [];
  const { host, segment, rids } = location;
  const socket = socketOf(directory, segment, rids.start);
  return [{ id, kind: 'endpoint', host, segment, rid: rids.start, socket }];
}

/** By place, not by id: a socket's path must be shorter than 108 bytes, and an id may be long. */
function socketOf(directory: string, segment: number, rid: number): string {
  return join(directory, `${segment.toString(16)}-${rid.toString(16).padStart(4, '0')}.sock`);
}

/**
 * Gives the machine's bridges the bus numbers of the topology. The bridges that a guest sees are the
 * VMM's, and it numbers those; requester IDs here are the topology's, and so are endpoint IDs.
 */
export function numberBuses(machine: Machine): void {
  for (const { host } of machine.hosts) {
    const bridges = host.bridges.toSorted((a, b) => a.buses.start - b.buses.start);
    for (const { rid, buses } of bridges) {
      const base = Number(host.ecam.start) + (rid - (host.buses.start << 8)) * 0x1000;
      const numbers = (rid >> 8) | (buses.start << 8) | (buses.end << 16);
      machine.bus.write(base + PCI_PRIMARY_BUS, 4, numbers);
    }
  }
}
