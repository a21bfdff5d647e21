import { hex, showRange } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Finding, Model, Place, Viommu } from '../../topology/index.ts';
import { hasRangeKnobs, hostOf } from '../devices.ts';
import { showQemuVersion, type QemuVersion } from '../version.ts';
import { VIRT, virtioMmioSlot } from '../virt-board.ts';
import type { PreflightRule, Wish } from './rule.ts';

/** What QEMU's virtio-iommu offers, always; measured with its trace of `get_features`. */
const FEATURES: readonly Viommu['features'][number][] = [
  'INPUT_RANGE',
  'DOMAIN_RANGE',
  'MAP_UNMAP',
  'PROBE',
  'MMIO',
  'BYPASS_CONFIG',
];
const PROBE_SIZE = 512;
const QUEUE_SIZE = 256;
const DOMAIN_END = 0xffff_ffff;
const ALL = (1n << 64n) - 1n;

/** The key of a vIOMMU that a finding is about, or the vIOMMU itself. */
function placeOf(viommu: Viommu, ...keys: string[]): Place {
  for (const key of keys) {
    const place = viommu.places[key];
    if (place !== undefined) return place;
  }
  return viommu.place;
}

function qemuModel(model: Model): boolean {
  return model.board !== 'emulator';
}

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

function* place({ model }: Wish): Iterable<Finding> {
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

function* pageSizes({ model, version }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    const granules = hasRangeKnobs(version) ? [0x1000n, 0x2000n, 0x4000n, 0x10000n] : [0x1000n];
    const at = placeOf(viommu, 'granule', 'page-sizes', 'page-size-mask');
    if (!granules.includes(viommu.granule)) {
      yield {
        place: at,
        message: `${viommu.id} has a granule of ${viommu.granule >> 10n} KiB; ${qemuHas(version)} ${granules.map((g) => `${g >> 10n}`).join(', ')} KiB`,
      };
    } else if (viommu.pageSizeMask !== (ALL & ~(viommu.granule - 1n))) {
      yield {
        place: at,
        message: `${viommu.id} has page sizes ${hex(viommu.pageSizeMask)}; ${qemuHas(version)} all from the granule up: ${hex(ALL & ~(viommu.granule - 1n))}`,
      };
    }
  }
}

function qemuHas(version: QemuVersion): string {
  return `QEMU ${showQemuVersion(version)} has`;
}

function* ranges({ model, version }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    const { start, end } = viommu.inputRange;
    const bits = end.toString(2).length;
    const power = end === (1n << BigInt(bits)) - 1n;
    const possible = start === 0n && (hasRangeKnobs(version) ? power && bits >= 32 : end === ALL);
    if (!possible) {
      yield {
        place: placeOf(viommu, 'input-range'),
        message: `${viommu.id} has input range ${showRange(viommu.inputRange)}; ${qemuHas(version)} ${hasRangeKnobs(version) ? '0 to 2^n-1, n from 32 to 64' : showRange({ start: 0n, end: ALL })}`,
      };
    }
    if (viommu.domainRange.start !== 0 || viommu.domainRange.end !== DOMAIN_END) {
      yield {
        place: placeOf(viommu, 'domain-range'),
        message: `${viommu.id} has domain range ${showRange(viommu.domainRange)}; ${qemuHas(version)} 0x0-0xffffffff`,
      };
    }
    if (viommu.probeSize !== PROBE_SIZE) {
      yield {
        place: placeOf(viommu, 'probe-size'),
        message: `${viommu.id} has probe size ${viommu.probeSize}; ${qemuHas(version)} ${PROBE_SIZE}`,
      };
    }
  }
}

function* features({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    const missing = FEATURES.filter((name) => !viommu.features.includes(name));
    const extra = viommu.features.filter((name) => !FEATURES.includes(name));
    if (missing.length + extra.length === 0) continue;
    const parts = [
      ...(missing.length > 0 ? [`offers ${missing.join(', ')} too`] : []),
      ...(extra.length > 0 ? [`does not offer ${extra.join(', ')}`] : []),
    ];
    yield {
      place: placeOf(viommu, 'features'),
      message: `${viommu.id}: QEMU's device ${parts.join(' and ')}`,
    };
  }
}

function* queues({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    const both = [viommu.requestQueue, viommu.eventQueue];
    const at = placeOf(viommu, 'queues');
    if (both.some((queue) => queue.size !== QUEUE_SIZE)) {
      yield { place: at, message: `${viommu.id}: QEMU's queues have ${QUEUE_SIZE} descriptors` };
    }
    if (viommu.requestQueue.ring !== viommu.eventQueue.ring) {
      yield { place: at, message: `${viommu.id}: packed rings are for both queues or for none` };
    }
  }
}

const knobs = 'Leave the key out, or run it on the emulator board, whose vIOMMU has the knob.';

/** Rules on the vIOMMUs themselves. */
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
    check: place,
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
  {
    id: 'qemu-page-sizes',
    summary: 'Page sizes are those that QEMU offers.',
    severity: 'error',
    effect: 'The guest is offered other page sizes than the topology promises.',
    cure: `${knobs} QEMU has granules from 9.1 on.`,
    check: pageSizes,
  },
  {
    id: 'qemu-ranges',
    summary: 'Input range, domain range and probe size are those that QEMU offers.',
    severity: 'error',
    effect: 'The guest is offered other limits than the topology promises.',
    cure: `${knobs} QEMU has aw-bits from 9.1 on.`,
    check: ranges,
  },
  {
    id: 'qemu-features',
    summary: "The feature bits are those of QEMU's device.",
    severity: 'error',
    effect: 'The guest is offered other features than the topology promises.',
    cure: knobs,
    check: features,
  },
  {
    id: 'qemu-queues',
    summary: 'Queues have 256 descriptors and one ring format.',
    severity: 'error',
    effect: 'The guest is offered other queues than the topology promises.',
    cure: knobs,
    check: queues,
  },
];
