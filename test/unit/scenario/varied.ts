import type { DeviceEvent, MachineRecord, Observation } from '../../../src/scenario/index.ts';
import { VIRTIO_IOMMU_S_INVAL } from '../../../src/spec/virtio-iommu.ts';
import type { GuestTarget, Model } from '../../../src/topology/index.ts';
import { endpoint, PLACE, sampleGuest, sampleModel, sampleObservation } from './samples.ts';

/** disk0, an edu, and disk2 below a port that takes it at run time; everything is tried. */
export function variedModel(defaultDomain: NonNullable<GuestTarget['defaultDomain']>): Model {
  const base = sampleModel();
  const bridge = {
    id: 'rp1',
    kind: 'root-port',
    rid: 0x28,
    buses: { start: 1, end: 1 },
    hotplug: true,
    place: PLACE,
  } as const;
  return {
    ...base,
    guest: { ...base.guest, defaultDomain, checks: ['rebind', 'hotplug', 'reboot'] },
    hosts: base.hosts.map((host) => ({ ...host, bridges: [bridge] })),
    viommus: base.viommus.map((viommu) => ({
      ...viommu,
      features: [...viommu.features, 'BYPASS_CONFIG' as const],
    })),
    endpoints: [
      endpoint('disk0', 0x10, 'virtio-blk'),
      endpoint('edu0', 0x20, 'edu'),
      endpoint('disk2', 0x100, 'virtio-blk'),
    ],
  };
}

export function machineRecord(changes: Partial<MachineRecord> = {}): MachineRecord {
  const known = [0x10, 0x20];
  const unbind = { viommu: 'viommu0', others: [], mappings: [], count: 0, counted: 0 };
  return {
    starts: [
      { viommu: 'viommu0', moment: 'power-on', endpoints: known, passing: known, domains: 0 },
    ],
    unmaps: { count: 5, largestBatch: 1, left: [], leftCount: 0 },
    unbinds: [
      { ...unbind, endpoint: 0x10 },
      { ...unbind, endpoint: 0x100 },
    ],
    ...changes,
  };
}

/** The second of two boots in which everything was tried, and went well. */
export function variedObservation(
  changes: Partial<MachineRecord> = {},
  guest: Partial<Observation['guest']> = {},
): Observation {
  const base = sampleObservation({
    guest: sampleGuest({
      rebinds: [
        { device: '0000:00:02.0', driver: 'virtio-pci' },
        { device: '0000:01:00.0', driver: 'virtio-pci' },
      ],
      plugs: [{ device: '0000:01:00.0', driver: 'virtio-pci', group: 3 }],
      overlaps: [
        { device: '0000:00:04.0', virt: { start: 0n, end: 0xfffn }, status: VIRTIO_IOMMU_S_INVAL },
      ],
      ...guest,
    }),
  });
  const seen = { ...base, device: { ...base.device, machine: machineRecord(changes) } };
  return { ...seen, before: seen };
}

/** A boot in which devices pass: ATTACH with that flag, and nothing else. */
export function passingObservation(bypass = true, mapped = false): Observation {
  const events: DeviceEvent[] = [
    { order: 0, kind: 'attach', endpoint: 0x10, domain: 0, bypass },
    { order: 1, kind: 'access', endpoint: 0x10, iova: 0n, write: true, how: 'bypassed' },
  ];
  const virt = { start: 0n, end: 0xfffn };
  if (mapped) events.push({ order: 2, kind: 'map', domain: 0, virt, phys: 0n, flags: 3 });
  return sampleObservation({ events });
}
