import { hex, showRange } from '../bytes/index.ts';
import { HOST_BASE } from '../host-iommu/index.ts';
import { showEvent, type IommuEvent, type IommuEventKind } from '../iommu/index.ts';
import { ACCESS_WRITE } from '../memory/index.ts';
import type { Machine, MachineEvent } from '../machine/index.ts';
import type { Capability, DeviceEvent } from '../scenario/index.ts';
import { VIRTIO_IOMMU_ATTACH_F_BYPASS, VIRTIO_IOMMU_S_IOERR } from '../spec/virtio-iommu.ts';

/** Our own device hides nothing. */
export const MODEL_CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>([
  'probe',
  'attach',
  'detach',
  'map',
  'unmap',
  'access',
  'bypassed-access',
  'fault',
  'msi',
  'status',
  'viommu',
  'host',
]);

/** Kinds of vIOMMU events that the verdict is made of. */
export const WATCHED: readonly IommuEventKind[] = ['request', 'fault', 'translation'];

/** An event of the machine in the words of `scenario`; undefined for what those have no word for. */
export function deviceEvent(machine: Machine, event: MachineEvent): DeviceEvent | undefined {
  const { order } = event;
  if (event.source === 'viommu') {
    const base = { order, viommu: event.viommu };
    return iommuEvent(machine, event.viommu, base, event.event);
  }
  if (event.source === 'host') return hostEvent(event);
  if (event.source !== 'message') return undefined;
  const { endpointId, viommu, message } = event;
  if (endpointId === undefined || viommu === undefined || !message.delivered) return undefined;
  return { order, viommu, kind: 'msi', endpoint: endpointId, address: message.address };
}

function hostEvent({
  order,
  viommu,
  endpointId: endpoint,
  event,
}: Extract<MachineEvent, { source: 'host' }>): DeviceEvent | undefined {
  // Before its bus has a number, a device is nobody's endpoint.
  if (viommu === undefined || endpoint === undefined) return undefined;
  const base = { order, viommu, endpoint };
  switch (event.kind) {
    case 'access': {
      const { iova, length, access, how } = event;
      const write = (access & ACCESS_WRITE) !== 0;
      return { ...base, kind: 'access', iova, length, write, how };
    }
    case 'fault': {
      const { iova: address, access } = event;
      const write = (access & ACCESS_WRITE) !== 0;
      const text = `the host refuses ${write ? 'a write' : 'a read'} at ${hex(address)}`;
      return { ...base, kind: 'host-fault', address, write, text };
    }
    case 'call': {
      const { call, iova, mapping, result } = event.made;
      return {
        ...base,
        kind: 'host-call',
        call,
        text: `host: ${call}${iova === undefined ? '' : ` ${showRange(iova)}`}${result === undefined ? '' : `: ${result}`}`,
        ...(iova === undefined ? {} : { virt: iova }),
        ...(mapping === undefined
          ? {}
          : { phys: mapping.vaddr - HOST_BASE, access: mapping.access }),
        ...(result === undefined ? {} : { errno: result }),
      };
    }
    default:
      return event satisfies never;
  }
}

interface Base {
  readonly order: number;
  readonly viommu: string;
}

function iommuEvent(
  machine: Machine,
  viommu: string,
  base: Base,
  event: IommuEvent,
): DeviceEvent | undefined {
  switch (event.kind) {
    case 'request':
      return requestEvent(machine, viommu, base, event);
    case 'fault': {
      const { endpoint, reason, address, access } = event;
      const write = (access & ACCESS_WRITE) !== 0;
      return { ...base, kind: 'fault', endpoint, reason, address, write, text: showEvent(event) };
    }
    case 'translation': {
      const { endpoint, iova, length, access, how } = event;
      if (how === 'msi') return undefined;
      const write = (access & ACCESS_WRITE) !== 0;
      return { ...base, kind: 'access', endpoint, iova, length, write, how };
    }
    default:
      return undefined;
  }
}

function requestEvent(
  machine: Machine,
  viommu: string,
  base: Base,
  event: Extract<IommuEvent, { kind: 'request' }>,
): DeviceEvent | undefined {
  const { domain = 0, endpoint = 0, virt, phys = 0n, flags = 0 } = event.fields;
  // A buffer that goes back unwritten tells the driver that the request failed (R7).
  const answered = {
    ...base,
    status: event.status ?? VIRTIO_IOMMU_S_IOERR,
    text: showEvent(event),
  };
  switch (event.name) {
    case 'probe': {
      const known = machine.viommus.get(viommu)?.device.endpoints.get(endpoint);
      const regions = known?.regions.list.map(({ range, type }) => ({ range, type })) ?? [];
      return { ...answered, kind: 'probe', endpoint, regions };
    }
    case 'attach': {
      const bypass = (flags & VIRTIO_IOMMU_ATTACH_F_BYPASS) !== 0;
      return { ...answered, kind: 'attach', domain, endpoint, bypass };
    }
    case 'detach':
      return { ...answered, kind: 'detach', domain, endpoint };
    case 'map':
      if (virt === undefined) return undefined;
      return { ...answered, kind: 'map', domain, virt, phys, flags };
    case 'unmap':
      return virt === undefined ? undefined : { ...answered, kind: 'unmap', domain, virt };
    default:
      return undefined;
  }
}
