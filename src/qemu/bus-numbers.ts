import type { Model, PciBridge, PciHost } from '../topology/index.ts';

/** The number a bridge's secondary bus gets from whoever enumerates, beside what the model says. */
export interface BusNumber {
  readonly host: PciHost;
  readonly bridge: PciBridge;
  /** Secondary bus as firmware or Linux will number it. */
  readonly actual: number;
}

/**
 * How the buses of a host come out, measured for Linux 6.12 without firmware (arm64) and for
 * SeaBIOS (q35): depth first, bridges in order of their requester ID, each taking the next number;
 * a hot-plug port takes one bus whether or not something is in it, none is kept in reserve.
 *
 * Only the order of bridges decides, so the model's own numbers serve to find a bridge's children;
 * a bridge whose parent cannot be found that way is left out (a rule of its own reports it).
 */
export function busNumbers(host: PciHost): BusNumber[] {
  const numbers: BusNumber[] = [];
  let next = host.buses.start + 1;
  const visited = new Set<PciBridge>();
  const scan = (bus: number): void => {
    const here = host.bridges
      .filter((bridge) => bridge.rid >> 8 === bus && !visited.has(bridge))
      .toSorted((a, b) => a.rid - b.rid);
    for (const bridge of here) {
      visited.add(bridge);
      numbers.push({ host, bridge, actual: next });
      next += 1;
      scan(bridge.buses.start);
    }
  };
  scan(host.buses.start);
  return numbers;
}

/** What QEMU calls the bus a function sits on, or undefined when no bridge leads there. */
export function busName(model: Model, hostId: string, rid: number): string | undefined {
  const host = model.hosts.find((candidate) => candidate.id === hostId);
  if (host === undefined) return undefined;
  const bus = rid >> 8;
  if (bus === host.buses.start) return rootBusName(host);
  const bridge = host.bridges.find((candidate) => candidate.buses.start === bus);
  return bridge === undefined ? undefined : qemuId(bridge.id);
}

/** The board's own root bus is `pcie.0`; an extra host's bus is named as its device. */
export function rootBusName(host: PciHost): string {
  return host.kind === 'root' ? 'pcie.0' : qemuId(host.id);
}

/** An id that QEMU accepts: it starts with a letter; then letters, digits, `-`, `.`, `_`. */
export function qemuId(id: string): string {
  const clean = id.replaceAll(/[^A-Za-z0-9._-]/g, '_');
  return /^[A-Za-z]/.test(clean) ? clean : `x${clean}`;
}
