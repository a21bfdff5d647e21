import { overlaps, type Range } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type {
  IortDescription,
  McfgDescription,
  ViotDescription,
  ViotNode,
} from '../../topology/index.ts';
import { coveredByViot } from './coverage.ts';
import { plain } from './plain-yaml.ts';
import {
  hexValue,
  HOSTS_MAX,
  limitHosts,
  rangeValue,
  translationOf,
  type CoveredHost,
  type YamlMap,
} from './yaml-parts.ts';

type ViotIommu = ViotNode & { readonly type: 'pci-iommu' | 'mmio-iommu' };

/** A topology of a VIOT; hosts are those of the MCFG, or one for each segment that it names. */
export function viotTopology(
  viot: ViotDescription,
  mcfg: McfgDescription | undefined,
  iort: IortDescription | undefined,
  name: string,
): YamlMap {
  const iommus = viot.nodes.filter((node): node is ViotIommu => {
    return node.type === 'pci-iommu' || node.type === 'mmio-iommu';
  });
  const names = new Map(iommus.map((node, index) => [node.offset, `viommu${index}`]));
  const places = mcfg === undefined ? segmentsOf(viot) : mcfg.hosts;
  limitHosts(places.length);
  // A table with devices at addresses, or with an IORT beside it, is not from a q35.
  const arm = iort !== undefined || viot.nodes.some(({ type }) => type.startsWith('mmio'));
  const hosts = places.map((place, index) => hostOf(viot, place, index));
  const parts = hosts.map((it) => {
    return { it, ...translationOf(it, (offset) => names.get(Number(offset))) };
  });
  const board = boardOf(viot, arm, hosts);
  const its = iort?.rootComplexes.some(({ mappings }) => mappings.some((m) => m.target === 'its'));
  const doorbell = board === 'q35' ? 'x86' : its === true ? 'its' : undefined;
  return {
    name,
    description: 'read from a VIOT',
    board: plain(board),
    machine: board !== 'q35' && its === true ? { gic: { version: 3 } } : undefined,
    pci: {
      hosts: parts.map(({ it, viommu, endpointIdBase }, index) => ({
        id: plain(it.id),
        kind: plain(index === 0 || board === 'emulator' ? 'root' : 'pxb'),
        segment: it.segment,
        buses: rangeValue(it.buses),
        ecam: hexValue(ecamOf(mcfg?.hosts[index])),
        viommu: plain(viommu),
        'endpoint-id-base': hexValue(endpointIdBase),
        doorbell: plain(doorbell !== undefined && hasDoorbell(it, iort) ? 'doorbell0' : 'none'),
      })),
    },
    viommus: iommus.map((node) => ({
      id: plain(names.get(node.offset) ?? ''),
      at: node.type === 'pci-iommu' ? plain(showBdf(node.rid, node.segment)) : undefined,
      mmio: node.type === 'mmio-iommu' ? hexValue(node.base) : undefined,
    })),
    endpoints: [...platformEndpoints(viot, names), ...parts.flatMap((part) => part.endpoints)],
    doorbells: doorbell === undefined ? [] : [{ id: plain('doorbell0'), kind: plain(doorbell) }],
    firmware: { 'device-tree': false, acpi: true },
  };
}

/** Whether MSIs of a host go somewhere: on x86 always, with an IORT where it maps them to an ITS. */
function hasDoorbell({ segment, buses }: CoveredHost, iort: IortDescription | undefined): boolean {
  if (iort === undefined) return true;
  const rids = { start: buses.start << 8, end: (buses.end << 8) | 0xff };
  return iort.rootComplexes.some(
    (complex) =>
      complex.segment === segment &&
      complex.mappings.some(({ input, target }) => target === 'its' && overlaps(input, rids)),
  );
}

/** QEMU has no endpoint IDs above 16 bits and no platform devices behind a vIOMMU. */
function boardOf(
  viot: ViotDescription,
  arm: boolean,
  hosts: readonly CoveredHost[],
): 'virt' | 'q35' | 'emulator' {
  const wide = hosts.some(({ covered }) =>
    covered.some(({ rids, endpointId }) => endpointId + (rids.end - rids.start) > 0xffff),
  );
  if (wide || viot.nodes.some(({ type }) => type === 'mmio-endpoint')) return 'emulator';
  return arm ? 'virt' : 'q35';
}

/** A topology has the address of the first bus, MCFG that of bus 0. */
function ecamOf(host: McfgDescription['hosts'][number] | undefined): bigint | undefined {
  return host && BigInt.asUintN(64, host.ecam + (BigInt(host.buses.start) << 20n));
}

interface HostPlace {
  readonly segment: number;
  readonly buses: Range<number>;
}

/** Without an MCFG every segment that is named has all buses. */
function segmentsOf(viot: ViotDescription): HostPlace[] {
  const segments = new Set<number>();
  for (const node of viot.nodes) {
    if (node.type === 'pci-iommu') segments.add(node.segment);
    if (node.type !== 'pci-range') continue;
    const { start, end } = node.segments;
    for (let at = start; at <= end && segments.size <= HOSTS_MAX; at++) segments.add(at);
  }
  const sorted = [...segments].toSorted((a, b) => a - b);
  return sorted.map((segment) => ({ segment, buses: { start: 0, end: 0xff } }));
}

function hostOf(viot: ViotDescription, { segment, buses }: HostPlace, index: number): CoveredHost {
  const [first, last] = [buses.start << 8, (buses.end << 8) | 0xff];
  const own = new Set<number>();
  for (const node of viot.nodes) {
    if (node.type === 'pci-iommu' && node.segment === segment) own.add(node.rid);
  }
  const covered = coveredByViot(viot, segment).flatMap((run) => {
    const start = Math.max(run.rids.start, first);
    const end = Math.min(run.rids.end, last);
    const endpointId = run.endpointId + (start - run.rids.start);
    return start > end ? [] : [{ ...run, rids: { start, end }, endpointId }];
  });
  const inside = new Set([...own].filter((rid) => first <= rid && rid <= last));
  return { id: `pcie${index}`, segment, buses, covered, own: inside };
}

function platformEndpoints(viot: ViotDescription, names: ReadonlyMap<number, string>): YamlMap[] {
  const out: YamlMap[] = [];
  for (const node of viot.nodes) {
    if (node.type !== 'mmio-endpoint') continue;
    const viommu = names.get(node.output);
    out.push({
      id: plain(`device${out.length}`),
      mmio: hexValue(node.base),
      viommu: plain(viommu ?? 'none'),
      'endpoint-id': viommu === undefined ? undefined : hexValue(node.endpoint),
    });
  }
  return out;
}
