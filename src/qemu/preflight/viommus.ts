import { hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Finding, Viommu } from '../../topology/index.ts';
import { hostOf } from '../devices.ts';
import { VIRT, virtioMmioSlot } from '../virt-board.ts';
import { placeOf, qemuModel, type PreflightRule, type Wish } from './rule.ts';

function* count({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  const pci = model.viommus.filter((viommu) => viommu.transport.kind === 'pci');
  const [first, ...more] = pci;
  if (first === undefined) return;
  for (const viommu of more) {
    yield {
      place: viommu.place,
      message: `${viommu.id} is a second virtio-iommu-pci beside ${first.id}`,
      related: [{ place: first.place, message: 'the first one' }],
    };
  }
}

function* position({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    const { transport } = viommu;
    if (transport.kind !== 'pci') continue;
    const host = model.hosts.find((candidate) => candidate.id === transport.host);
    if (host === undefined) continue;
    const where = showBdf(transport.rid, transport.segment);
    if (host.kind !== 'root' || transport.rid >> 8 !== host.buses.start) {
      const behind = host.kind === 'root' ? 'behind a bridge' : `on the extra host ${host.id}`;
      yield {
        place: placeOf(viommu, 'at'),
        message: `${viommu.id} at ${where} is ${behind}`,
      };
    }
  }
}

function* mmio({ model }: Wish): Iterable<Finding> {
  for (const viommu of model.viommus) {
    const { transport } = viommu;
    if (transport.kind !== 'mmio' || !qemuModel(model)) continue;
    const at = placeOf(viommu, 'mmio', 'at');
    if (model.board === 'q35') {
      yield {
        place: at,
        message: `${viommu.id} is a virtio-mmio device, q35 has no place for one`,
      };
      continue;
    }
    const slot = virtioMmioSlot(transport.base);
    if (slot === undefined) {
      yield {
        place: at,
        message: `${viommu.id}: virt has no virtio-mmio slot at ${hex(transport.base)}`,
      };
    } else if (transport.interrupt !== VIRT.virtioMmioSpi + slot) {
      yield {
        place: placeOf(viommu, 'interrupt', 'mmio'),
        message: `${viommu.id}: the slot at ${hex(transport.base)} has interrupt ${VIRT.virtioMmioSpi + slot}, not ${transport.interrupt}`,
      };
    }
  }
  const legacy = model.viommus.filter(
    ({ transport }) => transport.kind === 'mmio' && transport.legacy,
  );
  const modern = model.viommus.find(
    ({ transport }) => transport.kind === 'mmio' && !transport.legacy,
  );
  if (modern === undefined || !qemuModel(model)) return;
  for (const viommu of legacy) {
    yield {
      place: placeOf(viommu, 'legacy'),
      message: `${viommu.id} is legacy, ${modern.id} is not; QEMU can only make all of them so`,
    };
  }
}

/** Each vIOMMU of QEMU has one root bus and all that is below; who translates what follows. */
function* reach({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  const owners = new Map<string, Viommu>();
  for (const row of model.coverage) {
    const viommu = model.viommus.find((candidate) => candidate.id === row.viommu);
    if (viommu === undefined) continue;
    const owner = owners.get(row.host) ?? viommu;
    owners.set(row.host, owner);
    if (owner !== viommu) {
      yield {
        place: row.place,
        message: `${owner.id} and ${viommu.id} share the buses of ${row.host}; QEMU gives a root bus to one vIOMMU`,
        related: [{ place: owner.place, message: 'the other one' }],
      };
    }
    const home = hostOf(model, viommu);
    if (viommu.transport.kind === 'mmio' && home?.kind === 'pxb' && row.host !== home.id) {
      yield {
        place: row.place,
        message: `${viommu.id} belongs to the bus of ${home.id} and cannot have ${row.host} too`,
      };
    }
  }
}

/** QEMU itself enforces the bypass bit, whatever the firmware says. */
function* bypass({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    if (viommu.bootBypass) continue;
    const home = hostOf(model, viommu);
    for (const endpoint of model.endpoints) {
      const { location, device } = endpoint;
      if (device === undefined || endpoint.viommu !== undefined || location.kind !== 'pci')
        continue;
      if (location.host !== home?.id || !dmaIsTranslated(device.kind, device.accessPlatform))
        continue;
      yield {
        place: endpoint.place,
        message: `${endpoint.id} is to bypass, but ${viommu.id} has boot-bypass: false and QEMU blocks all that is not attached`,
        related: [{ place: placeOf(viommu, 'boot-bypass'), message: 'bypass is off here' }],
      };
    }
    if (model.board !== 'q35') continue;
    for (const endpoint of model.endpoints) {
      if (endpoint.device?.bootable === true && endpoint.device.accessPlatform) {
        yield {
          place: endpoint.place,
          message: `${endpoint.id} is bootable: SeaBIOS uses it before Linux has a driver for ${viommu.id}`,
          effect: 'SeaBIOS waits for ever for a disk whose DMA is refused.',
          cure: 'Set `bootable: false`; the kernel comes from the command line.',
        };
      }
    }
  }
}

function dmaIsTranslated(kind: string, accessPlatform: boolean): boolean {
  return accessPlatform || !kind.startsWith('virtio-');
}

/** Rules on the vIOMMUs and where they are. */
export const viommuRules: readonly PreflightRule[] = [
  {
    id: 'qemu-viommu-count',
    summary: 'There is at most one vIOMMU over PCI.',
    severity: 'error',
    effect: 'QEMU refuses to start: "virt machine does not support multiple IOMMUs".',
    cure: 'Put each vIOMMU on virtio-mmio (`mmio: 0xa000000`, board virt), one for each PCI host.',
    check: count,
  },
  {
    id: 'qemu-viommu-place',
    summary: "A vIOMMU over PCI sits on the board's root bus.",
    severity: 'error',
    effect: 'QEMU refuses to start: the device "must be plugged on the root bus".',
    cure: 'Place it at 00:xx.y, or use virtio-mmio.',
    check: position,
  },
  {
    id: 'qemu-viommu-mmio',
    summary: 'A vIOMMU over virtio-mmio is in one of the 32 slots of virt.',
    severity: 'error',
    effect: 'QEMU refuses to start, or the guest looks for the device where it is not.',
    cure: 'Use base 0xa000000 + n * 0x200 and interrupt 16 + n, n from 0 to 31, on board virt.',
    check: mmio,
  },
  {
    id: 'qemu-viommu-reach',
    summary: 'Each PCI host has at most one vIOMMU.',
    severity: 'error',
    effect:
      'The vIOMMU created last silently takes the bus; endpoints of the other stay untranslated.',
    cure: 'Give each vIOMMU a host of its own (kind: pxb, with a segment of its own).',
    check: reach,
  },
  {
    id: 'qemu-bypass-blocked',
    summary: 'With boot-bypass off, nothing on the buses of the vIOMMU relies on bypass.',
    severity: 'error',
    effect: 'QEMU refuses its DMA: "unknown fault from EP …", and input and output hang.',
    cure: 'Set `boot-bypass: true`, or put the endpoint behind the vIOMMU.',
    check: bypass,
  },
];
