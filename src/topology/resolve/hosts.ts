import { contains, covers, hex, overlaps, type Range } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { SourcePlace } from '../diagnostic.ts';
import type { Board, PciBridge, PciHost } from '../model.ts';
import type { BridgeInput, PciHostInput } from '../schema/machine.ts';
import { BOARDS, share } from './boards.ts';
import type { Context } from './context.ts';
import {
  BRIDGE_BUSES,
  BUS_OUTSIDE_HOST,
  ENDPOINT_ID_RANGE,
  HOST_KIND,
  HOST_OVERLAP,
  HOST_VIOMMU_UNSTATED,
} from './problems.ts';

const BUS_BYTES = 1n << 20n;
const SEGMENT_ECAM = 256n * BUS_BYTES;
/** Windows are shared out in pieces that suit the bridges inside. */
const UNITS = { io: 0x1000n, mem32: 1n << 20n, mem64: 1n << 30n } as const;

/** `0x10-0x1f` of buses, for messages. */
function showBuses({ start, end }: Range<number>): string {
  return start === end ? hex(start, 2) : `${hex(start, 2)}-${hex(end, 2)}`;
}

export function resolveHosts(context: Context, board: Board): PciHost[] {
  const inputs = context.input.pci?.hosts ?? [];
  const hosts: PciHost[] = [];
  const bySegment = new Map<number, PciHost[]>();
  inputs.forEach((input, index) => {
    if (!context.define('host', input.id, context.idPlace('pci', 'hosts', index))) return;
    const host = resolveHost(context, board, input, index, inputs);
    const beside = bySegment.get(host.segment) ?? [];
    const other = beside.find((h) => overlaps(h.buses, host.buses));
    if (other === undefined) {
      hosts.push(host);
      bySegment.set(host.segment, [...beside, host]);
      return;
    }
    context.partial = true;
    const place = context.place('pci', 'hosts', index, 'buses');
    const message =
      `the hosts "${other.id}" (buses ${showBuses(other.buses)}) and "${host.id}" ` +
      `(buses ${showBuses(host.buses)}) share buses of segment ${host.segment}`;
    const related = [{ place: other.place, message: `"${other.id}" is here` }];
    context.report(HOST_OVERLAP, place, message, { related });
  });
  checkKinds(context, board, hosts);
  return hosts;
}

function resolveHost(
  context: Context,
  board: Board,
  input: PciHostInput,
  index: number,
  inputs: readonly PciHostInput[],
): PciHost {
  const map = BOARDS[board];
  const at = ['pci', 'hosts', index] as const;
  const segment = input.segment ?? (board === 'q35' ? 0 : index);
  const buses = input.buses ?? { start: 0, end: 0xff };
  const ecamStart =
    input.ecam ??
    map.ecam +
      BigInt(buses.start) * BUS_BYTES +
      (map.ecamPerHost ? BigInt(index) * SEGMENT_ECAM : 0n);
  const io = input.io ?? (map.io && share(map.io, index, inputs.length, UNITS.io));
  const mem64 = input.mem64 ?? (map.mem64 && share(map.mem64, index, inputs.length, UNITS.mem64));
  const viommu = only(context, input, index, 'viommu');
  const doorbell = only(context, input, index, 'doorbell');
  const dmaRange = input['dma-range'];
  const host: PciHost = {
    id: input.id,
    kind: input.kind ?? 'root',
    segment,
    buses,
    ecam: {
      start: ecamStart,
      end: ecamStart + BigInt(buses.end - buses.start + 1) * BUS_BYTES - 1n,
    },
    ...(io === undefined ? {} : { io }),
    mem32: input.mem32 ?? share(map.mem32, index, inputs.length, UNITS.mem32),
    ...(mem64 === undefined ? {} : { mem64 }),
    endpointIdBase: idBase(context, input, index, segment),
    ...(viommu === undefined ? {} : { viommu }),
    ...(doorbell === undefined ? {} : { doorbell }),
    ...(dmaRange === undefined ? {} : { dmaRange }),
    bridges: [],
    place: context.idPlace(...at),
  };
  return { ...host, bridges: resolveBridges(context, host, input.bridges ?? [], index) };
}

/** The base of derived IDs; reported when the host's last ID would not fit 32 bits. */
function idBase(context: Context, input: PciHostInput, index: number, segment: number): number {
  const base = input['endpoint-id-base'] ?? segment * 0x1_0000;
  const last = base + ((input.buses?.end ?? 0xff) << 8) + 0xff;
  if (last > 0xffff_ffff) {
    const place = context.place('pci', 'hosts', index, 'endpoint-id-base');
    const message = `the last endpoint ID of "${input.id}" would be 0x${last.toString(16)}`;
    context.report(ENDPOINT_ID_RANGE, place, message, { cure: 'lower its `endpoint-id-base`' });
    context.partial = true;
  }
  return base;
}

/** The vIOMMU or doorbell of a host: the one it names, or the only one there is. */
function only(
  context: Context,
  input: PciHostInput,
  index: number,
  key: 'viommu' | 'doorbell',
): string | undefined {
  const kind = key === 'viommu' ? 'vIOMMU' : 'doorbell';
  const stated = input[key];
  if (stated !== undefined) {
    return context.lookUp([kind], stated, context.place('pci', 'hosts', index, key));
  }
  const names = context.names([kind]);
  if (names.length <= 1) return names[0];
  const place = context.idPlace('pci', 'hosts', index);
  const some = names.slice(0, 4).join(', ') + (names.length > 4 ? ', …' : '');
  const message = `the host "${input.id}" does not say which ${kind} of ${some} is its`;
  context.report(HOST_VIOMMU_UNSTATED, place, message);
  return undefined;
}

function resolveBridges(
  context: Context,
  host: PciHost,
  inputs: readonly BridgeInput[],
  hostIndex: number,
): PciBridge[] {
  const bridges: PciBridge[] = [];
  inputs.forEach((input, index) => {
    const at = ['pci', 'hosts', hostIndex, 'bridges', index] as const;
    if (!context.define('bridge', input.id, context.idPlace(...at))) return;
    const bridge: PciBridge = {
      id: input.id,
      kind: input.kind ?? 'root-port',
      rid: input.at.rid,
      buses: input.buses,
      hotplug: input.hotplug ?? false,
      place: context.place(...at),
    };
    const wrong = misplaced(host, input, bridges);
    if (wrong !== undefined) {
      const details = wrong.other
        ? { related: [{ place: wrong.other.place, message: `"${wrong.other.id}" is here` }] }
        : {};
      context.report(BRIDGE_BUSES, context.place(...at, wrong.key), wrong.message, details);
    }
    bridges.push(bridge);
  });
  return bridges;
}

interface Misplaced {
  readonly key: 'at' | 'buses';
  readonly message: string;
  readonly other?: PciBridge;
}

function misplaced(
  host: PciHost,
  bridge: BridgeInput,
  earlier: readonly PciBridge[],
): Misplaced | undefined {
  const bus = bridge.at.rid >> 8;
  const segment = bridge.at.segment ?? host.segment;
  const buses = `buses ${showBuses(bridge.buses)} of the bridge "${bridge.id}"`;
  if (segment !== host.segment || !contains(host.buses, bus)) {
    const where = showBdf(bridge.at.rid, segment);
    return { key: 'at', message: `the bridge "${bridge.id}" at ${where} is not in "${host.id}"` };
  }
  if (!covers(host.buses, bridge.buses)) {
    return { key: 'buses', message: `${buses} are not in "${host.id}" (${showBuses(host.buses)})` };
  }
  if (bridge.buses.start <= bus) {
    return { key: 'buses', message: `${buses} are not above its own bus` };
  }
  // Two runs of buses are side by side, or one bridge is behind the other.
  const other = earlier.find(
    (b) =>
      overlaps(b.buses, bridge.buses) &&
      !(covers(b.buses, bridge.buses) && contains(b.buses, bus)) &&
      !(covers(bridge.buses, b.buses) && contains(bridge.buses, b.rid >> 8)),
  );
  return other && { key: 'buses', message: `${buses} overlap those of "${other.id}"`, other };
}

function checkKinds(context: Context, board: Board, hosts: readonly PciHost[]): void {
  const roots = hosts.filter((host) => host.kind === 'root');
  const [first, second] = roots;
  const place = hosts[0]?.place;
  if (first === undefined && place !== undefined) {
    context.report(HOST_KIND, place, 'there is no host of kind root');
  }
  if (first !== undefined && second !== undefined && board !== 'emulator') {
    const related = [{ place: first.place, message: `"${first.id}" is a root as well` }];
    const message = `"${second.id}" is a second root: ${board} has one`;
    context.report(HOST_KIND, second.place, message, { related });
  }
}

/** The host whose buses hold all of `rids`; reports when there is none. */
export function hostOf(
  context: Context,
  hosts: readonly PciHost[],
  segment: number,
  rids: Range<number>,
  place: SourcePlace,
): PciHost | undefined {
  const buses = { start: rids.start >> 8, end: rids.end >> 8 };
  const host = hosts.find((h) => h.segment === segment && covers(h.buses, buses));
  if (host !== undefined) return host;
  const near = hosts.filter((h) => h.segment === segment);
  const message =
    near.length === 0
      ? `no PCI host has segment ${segment}`
      : `no PCI host of segment ${segment} has bus ${showBuses(buses)}`;
  const related = near.map((h) => ({
    place: h.place,
    message: `"${h.id}" has buses ${showBuses(h.buses)}`,
  }));
  context.report(BUS_OUTSIDE_HOST, place, message, { related });
  return undefined;
}
