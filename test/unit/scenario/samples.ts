import type {
  Endpoint,
  EndpointDevice,
  Model,
  Place,
  TreeDescription,
  TreeHost,
  ViotDescription,
  ViotNode,
} from '../../../src/topology/index.ts';
import {
  AccessAudit,
  DeviceRecorder,
  type DeviceEvent,
  type GuestDevice,
  type GuestObservation,
  type LogLine,
  type Observation,
} from '../../../src/scenario/index.ts';

export const PLACE: Place = { kind: 'file', file: 'sample.yaml' };

/** An endpoint function on bus 0 of segment 0; the endpoint ID is the requester ID. */
export function endpoint(
  id: string,
  rid: number,
  kind: EndpointDevice['kind'],
  viommu: string | null = 'viommu0',
): Endpoint {
  return {
    id,
    location: {
      kind: 'pci',
      host: 'pcie0',
      segment: 0,
      rids: { start: rid, end: rid },
      form: 'function',
    },
    device: { kind, accessPlatform: viommu !== null, bootable: false, options: {} },
    ...(viommu === null ? {} : { viommu, endpointId: rid }),
    explicitId: false,
    place: PLACE,
    places: {},
  };
}

/** One vIOMMU at 00:01.0, an ITS, and disk0, nic0, edu0 behind it; disk1 bypasses. */
export function sampleModel(changes: Partial<Model> = {}): Model {
  return {
    name: 'sample',
    description: '',
    file: 'sample.yaml',
    board: 'virt',
    arch: 'arm64',
    cpus: 1,
    memory: [{ start: 0x4000_0000n, end: 0x5fff_ffffn }],
    hosts: [
      {
        id: 'pcie0',
        kind: 'root',
        segment: 0,
        buses: { start: 0, end: 0xff },
        ecam: { start: 0x40_1000_0000n, end: 0x40_1fff_ffffn },
        mem32: { start: 0x1000_0000n, end: 0x3efe_ffffn },
        endpointIdBase: 0,
        viommu: 'viommu0',
        doorbell: 'its0',
        bridges: [],
        place: PLACE,
      },
    ],
    viommus: [
      {
        id: 'viommu0',
        transport: { kind: 'pci', host: 'pcie0', segment: 0, rid: 8 },
        pageSizeMask: 0xffff_f000n,
        granule: 4096n,
        inputRange: { start: 0n, end: 0xffff_ffff_ffffn },
        domainRange: { start: 0, end: 0xffff },
        probeSize: 512,
        bootBypass: true,
        features: ['MAP_UNMAP', 'PROBE'],
        requestQueue: { size: 256, ring: 'split' },
        eventQueue: { size: 256, ring: 'split' },
        place: PLACE,
        places: {},
      },
    ],
    endpoints: [
      endpoint('disk0', 0x10, 'virtio-blk'),
      endpoint('nic0', 0x18, 'virtio-net'),
      endpoint('edu0', 0x20, 'edu'),
      endpoint('disk1', 0x40, 'virtio-blk', null),
    ],
    doorbells: [
      {
        id: 'its0',
        kind: 'its',
        frame: { start: 0x808_0000n, end: 0x809_ffffn },
        window: { start: 0x809_0000n, end: 0x809_ffffn },
        delivery: 'reserved',
        place: PLACE,
      },
    ],
    reserved: [],
    coverage: [],
    firmware: { deviceTree: true, acpi: false },
    expect: { endpoints: {}, log: { present: [], absent: [] } },
    guest: { pageSize: 4096n, checks: [], transferSize: 1n << 20n },
    place: PLACE,
    ...changes,
  };
}

/** The tree that is right for {@link sampleModel}. */
export function sampleTree(host: Partial<TreeHost> = {}): TreeDescription {
  const viommu = { phandle: 5 };
  return {
    hosts: [
      {
        key: '/pcie@10000000',
        path: '/pcie@10000000',
        segment: 0,
        buses: { start: 0, end: 0xff },
        iommuMap: map([0, 5, 0, 8], [9, 5, 9, 0x37], [0x48, 5, 0x48, 0xffb8]),
        msiMap: map([0, 7, 0, 0x10000]),
        dmaCoherent: true,
        place: PLACE,
        ...host,
      },
    ],
    iommus: [
      {
        key: '/pcie@10000000/iommu@1,0',
        path: '/pcie@10000000/iommu@1,0',
        phandle: viommu.phandle,
        location: { kind: 'pci', parent: '/pcie@10000000', host: '/pcie@10000000', rid: 8 },
        compatible: ['virtio,pci-iommu', 'pci1af4,1057'],
        nodeName: 'iommu@1,0',
        iommuCells: 1,
        enabled: true,
        virtio: true,
        place: PLACE,
      },
    ],
    devices: [],
    regions: [],
    msiControllers: [
      {
        key: '/intc/its',
        path: '/intc/its',
        phandle: 7,
        kind: 'its',
        msiCells: 1,
        window: { start: 0x809_0000n, end: 0x809_ffffn },
        place: PLACE,
      },
    ],
    memory: [],
    formProblems: [],
    place: PLACE,
  };
}

type Row = readonly [ridBase: number, phandle: number, outputBase: number, length: number];

export function map(...rows: readonly Row[]): NonNullable<TreeHost['iommuMap']> {
  return {
    rows: rows.map(([ridBase, phandle, outputBase, length]) => ({
      ridBase,
      target: { phandle },
      outputBase,
      length,
      place: PLACE,
    })),
    leftover: 0,
    bytes: rows.length * 16,
    place: PLACE,
  };
}

/** A VIOT of these nodes, 16 and 24 bytes each from offset 0x30. */
export function sampleViot(nodes: readonly Omit<ViotNode, 'offset' | 'place'>[]): ViotDescription {
  let offset = 48;
  const placed = nodes.map((node) => {
    const here = { ...node, offset, place: PLACE } as ViotNode;
    offset += node.type === 'pci-iommu' || node.type === 'mmio-iommu' ? 16 : 24;
    return here;
  });
  return { nodes: placed, nodeCount: nodes.length, nodeOffset: 48, formProblems: [], place: PLACE };
}

/** The events of a good boot: PROBE, ATTACH, MAP, access of 0x10 and 0x18; ATTACH of 0x20. */
export function sampleEvents(): DeviceEvent[] {
  const events: DeviceEvent[] = [];
  const push = (event: Record<string, unknown>): void =>
    void events.push({ order: events.length, ...event } as DeviceEvent);
  for (const [domain, id] of [
    [0, 0x10],
    [1, 0x18],
    [2, 0x20],
  ] as const) {
    push({ kind: 'probe', endpoint: id, text: `probe ${id}` });
    push({ kind: 'attach', endpoint: id, domain, text: `attach ${id}` });
    if (id === 0x20) continue;
    push({ kind: 'map', domain, virt: { start: 0n, end: 0xfffn }, phys: 0n, flags: 3 });
    push({ kind: 'access', endpoint: id, iova: 0n, write: true, how: 'translated' });
    push({ kind: 'msi', endpoint: id, address: 0x809_0040n });
  }
  push({ kind: 'fault', endpoint: 0x20, reason: 'mapping', address: 0x1000_0000n, write: true });
  return events;
}

const DRIVEN = {
  driver: 'virtio-pci',
  interrupts: { kind: 'msi-x', vectors: 2, count: 9 },
} as const;

export function sampleDevices(): GuestDevice[] {
  const iommu = '0000:00:01.0';
  return [
    { name: '0000:00:01.0', driver: 'virtio-pci' },
    { name: '0000:00:02.0', group: 0, iommu, ...DRIVEN },
    { name: '0000:00:03.0', group: 1, iommu, ...DRIVEN },
    { name: '0000:00:04.0', group: 2, iommu, driver: 'pci-stub' },
    { name: '0000:00:08.0', ...DRIVEN },
  ];
}

export const FAULT_LINE: LogLine = {
  time: 3.5,
  text: 'virtio_iommu virtio0: page fault from EP 32 at 0x10000000 []',
  meaning: { code: 'iommu-fault', endpoint: 32, address: 0x1000_0000n },
};

/** What the guest of a good boot says. */
export function sampleGuest(changes: Partial<GuestObservation> = {}): GuestObservation {
  const reserved = [{ range: { start: 0x809_0000n, end: 0x809_ffffn }, type: 'msi' }];
  const disk = (device: string): GuestObservation['disks'][number] => ({
    device,
    read: { bytes: 1 << 20, sha256: 'aa'.repeat(32) },
    referenceSha256: 'aa'.repeat(32),
    write: {
      bytes: 4096,
      sha256: 'bb'.repeat(32),
      readBackSha256: 'bb'.repeat(32),
      backingSha256: 'bb'.repeat(32),
    },
  });
  return {
    started: true,
    completed: true,
    kernel: '6.12.95+deb12-arm64',
    iommus: [{ name: '0000:00:01.0', device: '0000:00:01.0', endpoints: [] }],
    groups: [
      { id: 0, type: 'DMA', devices: ['0000:00:02.0'], reserved },
      { id: 1, type: 'DMA-FQ', devices: ['0000:00:03.0'], reserved },
      { id: 2, type: 'DMA', devices: ['0000:00:04.0'], reserved },
    ],
    devices: sampleDevices(),
    deferred: [],
    disks: [disk('0000:00:02.0'), disk('0000:00:08.0')],
    nics: [{ device: '0000:00:03.0', sent: 3, received: 3, method: 'ping', ok: true }],
    faultChecks: [
      {
        device: '0000:00:04.0',
        aim: 'unmapped',
        address: 0x1000_0000n,
        write: true,
        memoryUnchanged: true,
        ran: true,
      },
    ],
    rebinds: [],
    plugs: [],
    overlaps: [],
    log: [{ time: 0.5, text: 'iommu: Default domain type: Translated' }, FAULT_LINE],
    ...changes,
  };
}

/** A good boot of {@link sampleModel}, with changes. */
export function sampleObservation(
  changes: Partial<Observation> & { readonly events?: readonly DeviceEvent[] } = {},
): Observation {
  const { events = sampleEvents(), ...rest } = changes;
  const recorder = new DeviceRecorder();
  const audit = new AccessAudit(sampleModel());
  for (const event of events) {
    recorder.add(event);
    audit.add({ viommu: 'viommu0', ...event });
  }
  return {
    capabilities: new Set([
      'probe',
      'attach',
      'detach',
      'map',
      'unmap',
      'access',
      'fault',
      'status',
    ]),
    device: { ...recorder.finish(), audit: audit.finish() },
    skipped: [],
    guest: sampleGuest(),
    firmware: [{ name: 'device tree', outcome: 'identical', differences: [], edited: ['/chosen'] }],
    described: { from: 'guest', tree: sampleTree(), diagnostics: [] },
    ending: { kind: 'completed', detail: 'powered off', tail: [] },
    environment: { backend: 'sample', timings: { total: 1.5 }, notes: [] },
    ...rest,
  };
}
