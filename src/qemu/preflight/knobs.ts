import { hex, showRange } from '../../bytes/index.ts';
import type { Finding, Viommu } from '../../topology/index.ts';
import { hasRangeKnobs } from '../devices.ts';
import { showQemuVersion, type QemuVersion } from '../version.ts';
import { placeOf, qemuModel, type PreflightRule, type Wish } from './rule.ts';

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

const knobs = 'Leave the key out, or boot it with `--backend model`, whose vIOMMU has the knob.';

/** Rules on what a vIOMMU offers. */
export const knobRules: readonly PreflightRule[] = [
  {
    id: 'qemu-page-sizes',
    summary: 'Page sizes are those that QEMU offers.',
    severity: 'error',
    effect: 'The guest is offered other page sizes than the topology promises.',
    cure: `${knobs} QEMU has granules from 9.0 on.`,
    check: pageSizes,
  },
  {
    id: 'qemu-ranges',
    summary: 'Input range, domain range and probe size are those that QEMU offers.',
    severity: 'error',
    effect: 'The guest is offered other limits than the topology promises.',
    cure: `${knobs} QEMU has aw-bits from 9.0 on.`,
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
