import { Document, parse, type YAMLMap } from 'yaml';
import { toTopologyYaml, type Inspection } from '../../firmware/index.ts';
import { hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import {
  lookUpCoverage,
  parseTopology,
  type DeviceKind,
  type Model,
} from '../../topology/index.ts';
import { Names } from './kinds.ts';

/** A PCI function of a running machine, as sysfs shows it. */
export interface SeenFunction {
  readonly segment: number;
  readonly rid: number;
  /** Its configuration space; the first 64 bytes, which everybody may read. */
  readonly config: Uint8Array;
  /** `features` of the virtio device it is, if it is one: a character for each bit. */
  readonly features?: string;
}

/** `vendor:device`, both as in configuration space. */
const KINDS: Readonly<Record<string, DeviceKind>> = {
  '1af4:1000': 'virtio-net',
  '1af4:1001': 'virtio-blk',
  '1af4:1005': 'virtio-rng',
  '1af4:1041': 'virtio-net',
  '1af4:1042': 'virtio-blk',
  '1af4:1044': 'virtio-rng',
  '1234:11e8': 'edu',
  '8086:10d3': 'e1000e',
  '1b36:0010': 'nvme',
  '1b36:000d': 'xhci',
};
const VIRTIO_IOMMU = '1af4:1057';
/** VIRTIO_F_ACCESS_PLATFORM. */
const ACCESS_PLATFORM = 33;

/** Class codes (PCI Code and ID Assignment): base class and sub-class. */
const CLASS_BRIDGE = 0x06;
const CLASS_PCI_BRIDGE = 0x0604;
const CLASS_SMBUS = 0x0c05;

interface Host {
  readonly segment?: number;
  readonly buses?: string;
  bridges?: object[];
  readonly [key: string]: unknown;
}

interface Plain {
  readonly pci?: { readonly hosts?: readonly Host[] };
  readonly endpoints?: readonly object[];
  readonly [key: string]: unknown;
}

/**
 * A topology from a machine that runs: what its tables (or its tree) say, and the functions that
 * are there.
 *
 * @throws FormatError as `toTopologyYaml` does
 */
export function importRunning(
  inspections: readonly Inspection[],
  functions: readonly SeenFunction[],
  name: string,
): string {
  const described = toTopologyYaml(inspections, name);
  const { model } = parseTopology(described, name);
  const base = parse(described) as Plain;
  const notes: string[] = [];
  const names = new Names();
  const endpoints = functions.flatMap((one) => endpointOf(one, model, names, notes));
  for (const host of base.pci?.hosts ?? []) {
    const bridges = functions.flatMap((one) => bridgeOf(one, host));
    if (bridges.length > 0) host.bridges = bridges;
  }
  const document = new Document({ ...base, endpoints: [...(base.endpoints ?? []), ...endpoints] });
  const listed = document.get('endpoints') as { items: YAMLMap[] };
  for (const item of listed.items) item.flow = true;
  document.commentBefore = [
    ' Imported by viommu-topo from a running machine.',
    ...notes.map((note) => ` - ${note}`),
  ].join('\n');
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

function word(config: Uint8Array, offset: number): number {
  return (config[offset] ?? 0) | ((config[offset + 1] ?? 0) << 8);
}

function identity(config: Uint8Array): string {
  const part = (offset: number): string => word(config, offset).toString(16).padStart(4, '0');
  return `${part(0)}:${part(2)}`;
}

/** Base class and sub-class. */
function classOf(config: Uint8Array): number {
  return word(config, 0x0a);
}

function endpointOf(
  one: SeenFunction,
  model: Model | undefined,
  names: Names,
  notes: string[],
): object[] {
  const { segment, rid, config, features } = one;
  const id = identity(config);
  const code = classOf(config);
  if (id === VIRTIO_IOMMU || code >> 8 === CLASS_BRIDGE || code === CLASS_SMBUS) return [];
  const kind = KINDS[id] ?? 'generic';
  const at = showBdf(rid, segment);
  if (kind === 'generic') notes.push(`${at} is a ${id} of class ${hex(code, 4)}: a generic device`);
  const options = {
    ...(kind === 'virtio-blk' || kind === 'nvme' ? { size: '16M' } : {}),
    ...(features === undefined || !kind.startsWith('virtio-')
      ? {}
      : { 'access-platform': features[ACCESS_PLATFORM] === '1' }),
  };
  const device = Object.keys(options).length === 0 ? kind : { kind, ...options };
  const name = names.take(undefined, kind.replace(/^virtio-/u, ''));
  return [{ id: name, at, device, ...translation(one, model) }];
}

/** Who translates a function according to its firmware: a range there may say otherwise than its host. */
function translation({ segment, rid }: SeenFunction, model: Model | undefined): object {
  const row = lookUpCoverage(model?.coverage ?? [], segment, rid);
  if (row === undefined) return { viommu: 'none' };
  return { viommu: row.viommu, 'endpoint-id': row.endpointId };
}

/** A bridge on this host, with the bus numbers that stand in its header (PCI-to-PCI Bridge 3.2.5). */
function bridgeOf({ segment, rid, config }: SeenFunction, host: Host): object[] {
  if (classOf(config) !== CLASS_PCI_BRIDGE || segment !== (host.segment ?? 0)) return [];
  const [first, last] = (host.buses ?? '0x0-0xff').split('-').map(Number);
  const bus = rid >> 8;
  if (bus < (first ?? 0) || bus > (last ?? 0xff)) return [];
  const [secondary, subordinate] = [config[0x19] ?? 0, config[0x1a] ?? 0];
  // A bridge that firmware and kernel left alone has no bus.
  if (secondary === 0 || subordinate < secondary) return [];
  return [
    {
      id: `rp-${bus.toString(16)}-${(rid & 0xff).toString(16)}`,
      kind: 'root-port',
      at: showBdf(rid, segment),
      buses: `${hex(secondary, 2)}-${hex(subordinate, 2)}`,
    },
  ];
}
