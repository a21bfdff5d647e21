import type {
  IortDescription,
  McfgDescription,
  NodeRef,
  RidMap,
  RidMapRow,
  TreeDescription,
  TreeDevice,
  TreeHost,
  TreeIommu,
  TreeMsiController,
  TreeRegion,
  ViotDescription,
  ViotNode,
} from '../../src/topology/description.ts';
import {
  DEFAULT_KERNEL,
  type Diagnostic,
  type Place,
  type SourcePlace,
} from '../../src/topology/diagnostic.ts';
import { runRule, type Facts } from '../../src/topology/facts.ts';
import type {
  Doorbell,
  Endpoint,
  Model,
  PciHost,
  ReservedRegion,
  Viommu,
} from '../../src/topology/model.ts';
import { rules } from '../../src/topology/rules/index.ts';

// Facts by hand: a machine with one host, one vIOMMU at 00:01.0 and two disks behind it, told
// alike by a model, a device tree, a VIOT, an IORT and an MCFG. Tests change one thing.

let line = 0;

/** A place of its own for each call, so that tests can tell which one a finding names. */
export function at(): SourcePlace {
  line++;
  return { kind: 'source', file: 'hand.yaml', line, column: 1, start: 0, limit: 1 };
}

export function ref(target: string | number): NodeRef {
  return typeof target === 'string' ? { key: target } : { phandle: target };
}

export function row(
  ridBase: number,
  target: string | number,
  outputBase: number,
  length: number,
): RidMapRow {
  return { ridBase, target: ref(target), outputBase, length, place: at() };
}

export function ridMap(rows: readonly RidMapRow[], leftover = 0): RidMap {
  return { rows, leftover, bytes: rows.length * 16 + leftover * 4, place: at() };
}

export function treeHost(change: Partial<TreeHost> = {}): TreeHost {
  return {
    key: 'pcie0',
    path: '/pcie@4010000000',
    segment: 0,
    buses: { start: 0, end: 0xff },
    iommuMap: ridMap([row(0, 'viommu0', 0, 8), row(9, 'viommu0', 9, 0xfff7)]),
    msiMap: ridMap([row(0, 'its0', 0, 0x10000)]),
    dmaCoherent: true,
    place: at(),
    ...change,
  };
}

export function treeIommu(change: Partial<TreeIommu> = {}): TreeIommu {
  return {
    key: 'viommu0',
    path: '/pcie@4010000000/iommu@1,0',
    phandle: 1,
    location: { kind: 'pci', parent: 'pcie0', host: 'pcie0', rid: 8 },
    compatible: ['virtio,pci-iommu', 'pci1af4,1057'],
    nodeName: 'iommu@1,0',
    iommuCells: 1,
    enabled: true,
    virtio: true,
    place: at(),
    ...change,
  };
}

export function treeDevice(change: Partial<TreeDevice> = {}): TreeDevice {
  return {
    key: 'dma0',
    path: '/virtio@a003c00',
    base: 0xa003c00n,
    compatible: ['virtio,mmio'],
    iommus: [],
    memoryRegions: [],
    place: at(),
    ...change,
  };
}

export function treeRegion(change: Partial<TreeRegion> = {}): TreeRegion {
  return { key: 'r0', path: '/reserved-memory/r0', addresses: [], place: at(), ...change };
}

export function its(change: Partial<TreeMsiController> = {}): TreeMsiController {
  return {
    key: 'its0',
    path: '/intc/its@8080000',
    phandle: 2,
    kind: 'its',
    msiCells: 1,
    window: { start: 0x8090000n, end: 0x809ffffn },
    place: at(),
    ...change,
  };
}

export function tree(change: Partial<TreeDescription> = {}): TreeDescription {
  return {
    hosts: [treeHost()],
    iommus: [treeIommu()],
    devices: [],
    regions: [],
    msiControllers: [its()],
    memory: [{ start: 0x4000_0000n, end: 0x5fff_ffffn }],
    formProblems: [],
    place: at(),
    ...change,
  };
}

type NodeFields = ViotNode extends infer N
  ? N extends ViotNode
    ? Omit<N, 'place'>
    : never
  : never;

export function node(fields: NodeFields): ViotNode {
  return { ...fields, place: at() };
}

export function viotRange(
  offset: number,
  first: number,
  last: number,
  change: Partial<Extract<ViotNode, { type: 'pci-range' }>> = {},
): ViotNode {
  return {
    type: 'pci-range',
    offset,
    endpointStart: first,
    segments: { start: 0, end: 0 },
    rids: { start: first, end: last },
    output: 48,
    place: at(),
    ...change,
  };
}

export function viot(change: Partial<ViotDescription> = {}): ViotDescription {
  const nodes = change.nodes ?? [
    node({ type: 'pci-iommu', offset: 48, segment: 0, rid: 8 }),
    viotRange(64, 0, 0xffff),
  ];
  return {
    nodes,
    nodeCount: nodes.length,
    nodeOffset: 48,
    formProblems: [],
    place: at(),
    ...change,
  };
}

export function iort(change: Partial<IortDescription> = {}): IortDescription {
  const mapping = {
    input: { start: 0, end: 0xffff },
    outputBase: 0,
    target: 'its' as const,
    place: at(),
  };
  return {
    rootComplexes: [{ segment: 0, mappings: [mapping], place: at() }],
    formProblems: [],
    place: at(),
    ...change,
  };
}

export function mcfg(change: Partial<McfgDescription> = {}): McfgDescription {
  return {
    hosts: [{ segment: 0, buses: { start: 0, end: 0xff }, ecam: 0x40_1000_0000n, place: at() }],
    place: at(),
    ...change,
  };
}

export function host(change: Partial<PciHost> = {}): PciHost {
  return {
    id: 'pcie0',
    kind: 'root',
    segment: 0,
    buses: { start: 0, end: 0xff },
    ecam: { start: 0x40_1000_0000n, end: 0x40_1fff_ffffn },
    mem32: { start: 0x1000_0000n, end: 0x3eff_ffffn },
    endpointIdBase: 0,
    viommu: 'viommu0',
    doorbell: 'its0',
    bridges: [],
    place: at(),
    ...change,
  };
}

export function viommu(change: Partial<Viommu> = {}): Viommu {
  return {
    id: 'viommu0',
    transport: { kind: 'pci', host: 'pcie0', segment: 0, rid: 8 },
    pageSizeMask: 0xffff_ffff_ffff_f000n,
    granule: 0x1000n,
    inputRange: { start: 0n, end: 0xffff_ffff_ffff_ffffn },
    domainRange: { start: 0, end: 0xffff_ffff },
    probeSize: 512,
    bootBypass: true,
    features: ['INPUT_RANGE', 'DOMAIN_RANGE', 'MAP_UNMAP', 'PROBE', 'MMIO', 'BYPASS_CONFIG'],
    requestQueue: { size: 256, ring: 'split' },
    eventQueue: { size: 256, ring: 'split' },
    place: at(),
    places: {},
    ...change,
  };
}

export function disk(id: string, rid: number, change: Partial<Endpoint> = {}): Endpoint {
  return {
    id,
    location: {
      kind: 'pci',
      host: 'pcie0',
      segment: 0,
      rids: { start: rid, end: rid },
      form: 'function',
    },
    device: { kind: 'virtio-blk', accessPlatform: true, bootable: false, options: {} },
    viommu: 'viommu0',
    endpointId: rid,
    explicitId: false,
    place: at(),
    places: {},
    ...change,
  };
}

export function doorbell(change: Partial<Doorbell> = {}): Doorbell {
  return {
    id: 'its0',
    kind: 'its',
    frame: { start: 0x808_0000n, end: 0x809_ffffn },
    window: { start: 0x809_0000n, end: 0x809_ffffn },
    delivery: 'reserved',
    place: at(),
    ...change,
  };
}

export const X86_DOORBELL: Partial<Doorbell> = {
  kind: 'x86',
  frame: { start: 0xfee0_0000n, end: 0xfeef_ffffn },
  window: { start: 0xfee0_0000n, end: 0xfeef_ffffn },
};

export function region(change: Partial<ReservedRegion> = {}): ReservedRegion {
  return {
    id: 'r0',
    range: { start: 0x2000_0000n, end: 0x2000_ffffn },
    type: 'reserved',
    via: ['probe'],
    endpoints: [],
    viommu: 'viommu0',
    place: at(),
    ...change,
  };
}

export function model(change: Partial<Model> = {}): Model {
  const place: Place = at();
  const half = { host: 'pcie0', segment: 0, viommu: 'viommu0' };
  return {
    name: 'hand',
    description: '',
    file: 'hand.yaml',
    board: 'virt',
    arch: 'arm64',
    cpus: 1,
    memory: [{ start: 0x4000_0000n, end: 0x5fff_ffffn }],
    hosts: [host()],
    viommus: [viommu()],
    endpoints: [disk('disk0', 0x10), disk('disk1', 0x18)],
    doorbells: [doorbell()],
    reserved: [],
    coverage: [
      { ...half, rids: { start: 0, end: 7 }, endpointId: 0, place: at() },
      { ...half, rids: { start: 9, end: 0xffff }, endpointId: 9, place: at() },
    ],
    firmware: { deviceTree: true, acpi: true },
    expect: { endpoints: {}, log: { present: [], absent: [] } },
    guest: { pageSize: 0x1000n, checks: [], transferSize: 1n << 20n },
    place,
    ...change,
  };
}

/** The whole machine, right in every respect. */
export function machine(change: Partial<Facts> = {}): Facts {
  return {
    model: model(),
    tree: tree(),
    viot: viot(),
    iort: iort(),
    mcfg: mcfg(),
    ...context(),
    ...change,
  };
}

/** Facts of firmware alone. */
export function firmware(change: Partial<Facts>): Facts {
  return { ...context(), ...change };
}

function context(): Pick<Facts, 'kernel' | 'guestPage'> {
  return { kernel: DEFAULT_KERNEL, guestPage: 0x1000n };
}

/** What one rule says. */
export function check(id: string, facts: Facts): Diagnostic[] {
  const rule = rules.find((it) => it.id === id);
  if (rule === undefined) throw new Error(`no rule ${id}`);
  return runRule(rule, facts);
}
