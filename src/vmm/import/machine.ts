import { Document, type YAMLMap } from 'yaml';
import { hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { DeviceKind } from '../../topology/index.ts';

/** A function on a bus, as another VMM's configuration has it. */
export interface ImportedDevice {
  readonly id: string;
  readonly kind: DeviceKind;
  /** Requester ID, with the bus numbers that a guest gives. */
  readonly rid: number;
  /** VIRTIO_F_ACCESS_PLATFORM; undefined: the usual. */
  readonly accessPlatform?: boolean;
  readonly passthrough?: boolean;
}

export interface ImportedBridge {
  readonly id: string;
  readonly kind: 'root-port' | 'pcie-pci-bridge';
  readonly rid: number;
  readonly buses: readonly [number, number];
}

export interface ImportedHost {
  readonly id: string;
  readonly kind: 'root' | 'pxb';
  readonly buses: readonly [number, number];
  /** False: nothing on it is behind the vIOMMU. */
  readonly translated: boolean;
  readonly bridges: readonly ImportedBridge[];
}

export interface ImportedViommu {
  readonly id: string;
  /** A PCI function, or virtio-mmio registers. */
  readonly at: { readonly rid: number } | { readonly mmio: number };
  readonly bootBypass?: boolean;
}

/** A machine read from somewhere else. */
export interface ImportedMachine {
  readonly name: string;
  /** A template of this package. */
  readonly template: 'virt-arm64' | 'virt-arm64-gicv2' | 'q35';
  /** Whether a GICv3 has its ITS. */
  readonly its: boolean;
  readonly memoryMib: number;
  readonly cpus: number;
  readonly hosts: readonly ImportedHost[];
  readonly viommus: readonly ImportedViommu[];
  readonly devices: readonly ImportedDevice[];
  /** What was left out or assumed; sentences. */
  readonly notes: readonly string[];
}

/** What is wrong with the thing to be imported. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
  readonly cure: string;

  constructor(message: string, cure: string) {
    super(message);
    this.cure = cure;
  }
}

/** Disks come without their contents; this is what a boot needs of one. */
const DISK_SIZE = '16M';

/** The machine as a topology, with its notes as a comment at the head. */
export function machineYaml(machine: ImportedMachine): string {
  const { template, memoryMib, cpus, name } = machine;
  const arm = template !== 'q35';
  const document = new Document({
    name,
    extends: template,
    machine: { cpus, memory: `${memoryMib}M` },
    ...(arm && !machine.its ? { doorbells: [] } : {}),
    pci: { hosts: machine.hosts.map((host) => hostOf(host, machine)) },
    viommus: machine.viommus.map(viommuOf),
    endpoints: machine.devices.map((device) => deviceOf(device, machine)),
  });
  for (const key of ['viommus', 'endpoints']) {
    const list = document.get(key) as { items: YAMLMap[] };
    for (const item of list.items) item.flow = true;
  }
  document.commentBefore = [
    ' Imported by viommu-topo.',
    ...machine.notes.map((note) => ` - ${note}`),
  ]
    .join('\n')
    .replaceAll(/[^\x20-\x7e\n]/gu, '?');
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

function bus(range: readonly [number, number]): string {
  return `${hex(range[0], 2)}-${hex(range[1], 2)}`;
}

function hostOf(host: ImportedHost, machine: ImportedMachine): object {
  const arm = machine.template !== 'q35';
  const segment = arm && host.kind === 'pxb' ? pxbSegment(host, machine) : 0;
  const [viommu] = machine.viommus;
  const doorbell = machine.its || !arm ? doorbellName(machine.template) : 'none';
  return {
    id: host.id,
    kind: host.kind,
    ...(segment === 0 ? {} : { segment, 'endpoint-id-base': 0 }),
    buses: bus(host.buses),
    ...(viommu === undefined ? {} : { viommu: host.translated ? viommu.id : 'none' }),
    ...(host.kind === 'root' && machine.its ? {} : { doorbell }),
    ...(host.bridges.length === 0
      ? {}
      : {
          bridges: host.bridges.map(({ id, kind, rid, buses }) => ({
            id,
            kind,
            at: showBdf(rid, segment),
            buses: bus(buses),
          })),
        }),
  };
}

/** In a device tree each host bridge is a segment of its own. */
function pxbSegment(host: ImportedHost, { hosts }: ImportedMachine): number {
  return hosts.filter(({ kind }) => kind === 'pxb').findIndex(({ id }) => id === host.id) + 1;
}

function doorbellName(template: ImportedMachine['template']): string {
  return { 'virt-arm64': 'its0', 'virt-arm64-gicv2': 'v2m0', q35: 'x86' }[template];
}

function place(rid: number, machine: ImportedMachine): string {
  const number = rid >> 8;
  const host = machine.hosts.find(({ buses }) => number >= buses[0] && number <= buses[1]);
  const arm = machine.template !== 'q35';
  return showBdf(rid, arm && host?.kind === 'pxb' ? pxbSegment(host, machine) : 0);
}

function viommuOf({ id, at, bootBypass }: ImportedViommu): object {
  return {
    id,
    ...('mmio' in at ? { mmio: hex(at.mmio) } : { at: showBdf(at.rid) }),
    ...(bootBypass === undefined ? {} : { 'boot-bypass': bootBypass }),
  };
}

function deviceOf(device: ImportedDevice, machine: ImportedMachine): object {
  const { id, kind, rid, accessPlatform, passthrough } = device;
  const options = {
    ...(kind === 'virtio-blk' || kind === 'nvme' ? { size: DISK_SIZE } : {}),
    ...(accessPlatform === undefined ? {} : { 'access-platform': accessPlatform }),
  };
  return {
    id,
    at: place(rid, machine),
    device: Object.keys(options).length === 0 ? kind : { kind, ...options },
    ...(passthrough === true ? { passthrough: true } : {}),
  };
}
