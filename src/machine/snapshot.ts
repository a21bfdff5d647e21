import { FormatError } from '../bytes/index.ts';
import type { GuestMemory } from '../memory/index.ts';
import { isBridge, type PciHostState } from '../pci/index.ts';
import type { MmioState } from '../virtio/index.ts';
import { restorePages, savePages, type MemoryPage } from './sparse.ts';
import type { MachineHost, Unit } from './unit.ts';

const VERSION = 1;

/** A whole machine as plain data: RAM, every register, everything in flight. */
export interface MachineState {
  readonly version: number;
  /** Absent: RAM was left out, being a VMM's to keep, and is left alone by a restore. */
  readonly memory?: readonly MemoryPage[];
  /** By topology id of the host bridge. */
  readonly hosts: Readonly<Record<string, PciHostState>>;
  /** By topology id of the device. */
  readonly mmio: Readonly<Record<string, MmioState>>;
  /** Events until then. */
  readonly order: number;
}

/** The parts of a machine that have a state. */
export interface Parts {
  readonly memory: GuestMemory;
  readonly hosts: readonly MachineHost[];
  readonly units: readonly Unit[];
}

export function saveMachine(
  { memory, hosts, units }: Parts,
  order: number,
  ram: boolean,
): MachineState {
  return {
    version: VERSION,
    ...(ram ? { memory: savePages(memory) } : {}),
    hosts: Object.fromEntries(hosts.map(({ host, pci }) => [host.id, pci.snapshot()])),
    mmio: Object.fromEntries(
      units.flatMap(({ id, mmio }) =>
        mmio === undefined ? [] : [[id, mmio.transport.snapshot()]],
      ),
    ),
    order,
  };
}

/**
 * Into a machine of the same topology with the same devices plugged in.
 *
 * @param placed called when the bus numbers are those of the snapshot: vIOMMUs need their endpoints
 * before their own state
 * @throws FormatError `machine/snapshot` when the state is of another version or machine
 */
export function restoreMachine(parts: Parts, state: MachineState, placed: () => void): void {
  if (state.version !== VERSION) throw damaged(`version ${state.version}`);
  const strange = parts.hosts.find(({ host }) => state.hosts[host.id] === undefined);
  if (strange !== undefined) throw damaged(`host ${strange.host.id} is missing`);
  for (const { host, pci } of parts.hosts) {
    const functions = state.hosts[host.id]?.functions ?? {};
    const here = [...pci.walk()];
    if (here.length !== Object.keys(functions).length) throw damaged(`functions of ${host.id}`);
    for (const { path, fn } of here) {
      const saved = functions[path];
      if (saved === undefined) throw damaged(`${fn.name} at ${path} is missing`);
      if (isBridge(fn)) fn.restore(saved);
    }
  }
  if (state.memory !== undefined) restorePages(parts.memory, state.memory);
  placed();
  for (const { host, pci } of parts.hosts) {
    const saved = state.hosts[host.id];
    if (saved !== undefined) pci.restore(saved);
  }
  for (const { id, mmio } of parts.units) {
    if (mmio === undefined) continue;
    const saved = state.mmio[id];
    if (saved === undefined) throw damaged(`${id} is missing`);
    mmio.transport.restore(saved);
  }
}

function damaged(what: string): FormatError {
  return new FormatError('machine/snapshot', 0, `machine snapshot: ${what}`);
}
