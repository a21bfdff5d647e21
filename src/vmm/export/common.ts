import { sizeOf } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Endpoint, EndpointDevice, Model, PciLocation } from '../../topology/index.ts';
import type { Loss } from '../loss.ts';

/** An endpoint with a device on PCI. */
export interface PciEndpoint {
  readonly endpoint: Endpoint;
  readonly device: EndpointDevice;
  readonly location: PciLocation;
  readonly bdf: string;
}

/** RAM in MiB, rounded up. */
export function memoryMib(model: Model): bigint {
  return (model.memory.reduce((sum, range) => sum + sizeOf(range), 0n) + 0xfffffn) >> 20n;
}

export function consoleName(model: Model): string {
  return model.arch === 'arm64' ? 'ttyAMA0' : 'ttyS0';
}

/** Devices on PCI, in the order of the topology. */
export function pciEndpoints(model: Model): PciEndpoint[] {
  return model.endpoints.flatMap((endpoint) => {
    const { device, location } = endpoint;
    if (device === undefined || location.kind !== 'pci') return [];
    return [{ endpoint, device, location, bdf: showBdf(location.rids.start, location.segment) }];
  });
}

/** A shell variable for an endpoint: `disk0` and `HOST` make `DISK0_HOST`. */
export function variableName(id: string, what: string): string {
  return `${id.toUpperCase().replaceAll(/[^A-Z0-9]/gu, '_')}_${what}`.replace(/^(?=\d)/u, '_');
}

/** What no VMM but QEMU takes: firmware of somebody else's making, and devices of a test bench. */
export function commonLosses(model: Model, vmm: string): Loss[] {
  const { overrides } = model.firmware;
  return [
    {
      text: `${vmm} writes its own firmware: endpoint IDs and doorbells are those that it chooses`,
    },
    ...(overrides === undefined
      ? []
      : [{ text: 'firmware.overrides: nothing of what is wrong on purpose is' }]),
    ...model.endpoints.flatMap((endpoint): Loss[] =>
      endpoint.device !== undefined && endpoint.location.kind === 'platform'
        ? [{ subject: endpoint.id, text: 'a platform device; it is left out' }]
        : [],
    ),
    ...model.reserved.map(({ id, type }) => ({
      subject: id,
      text: `the ${type} region cannot be given; the vIOMMU reports its own`,
    })),
  ];
}

/** What differs of a vIOMMU when there can be one, at a place and with properties of the VMM's choice. */
export function viommuLosses(model: Model, fixed: ViommuFacts): Loss[] {
  const [first, ...others] = model.viommus;
  if (first === undefined) return [];
  const { transport } = first;
  return [
    ...others.map(({ id }) => ({
      subject: id,
      text: `there is one vIOMMU at most; its endpoints go behind ${first.id}`,
    })),
    {
      subject: first.id,
      text:
        transport.kind === 'mmio'
          ? 'there is no virtio-iommu over virtio-mmio; it becomes a PCI function'
          : `the vIOMMU gets a slot of the VMM's choice, not ${showBdf(transport.rid, transport.segment)}`,
    },
    ...(first.bootBypass === fixed.bootBypass
      ? []
      : [
          {
            subject: first.id,
            text: `boot-bypass is always ${fixed.bootBypass ? 'on' : 'off'}`,
          },
        ]),
  ];
}

export interface ViommuFacts {
  readonly bootBypass: boolean;
}

/** Bridges that a VMM with one flat bus per segment does not have. */
export function bridgeLosses(model: Model): Loss[] {
  return model.hosts.flatMap((host) =>
    host.bridges.map(({ id, kind }) => ({
      subject: id,
      text: `there is no ${kind}; what is below gets a place on the root bus`,
    })),
  );
}
