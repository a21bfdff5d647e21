import { hex, showRange } from '../../bytes/index.ts';
import type { Doorbell, Finding, Model } from '../../topology/index.ts';
import { hostOf } from '../devices.ts';
import { VIRT } from '../virt-board.ts';
import type { PreflightRule, Wish } from './rule.ts';

/** The MSI region that the machine adds to PROBE by itself, with a vIOMMU over PCI. */
function machineWindow(model: Model): { what: string; start: bigint; end: bigint } | undefined {
  if (!model.viommus.some(({ transport }) => transport.kind === 'pci')) return undefined;
  if (model.board === 'q35') return { what: 'x86', start: 0xfee0_0000n, end: 0xfeef_ffffn };
  if (model.gic?.version === 2) {
    return { what: 'gicv2m', start: VIRT.gicV2m, end: VIRT.gicV2m + 0xfffn };
  }
  if (!model.doorbells.some(({ kind }) => kind === 'its')) return undefined;
  return { what: 'its', start: VIRT.gicIts + 0x1_0000n, end: VIRT.gicIts + 0x1_ffffn };
}

/** The doorbell that the board has, or undefined: with a GICv3 there may be none. */
function boardDoorbell(model: Model): Doorbell['kind'] | undefined {
  if (model.board === 'q35') return 'x86';
  return model.gic?.version === 2 ? 'gicv2m' : 'its';
}

function* doorbell({ model }: Wish): Iterable<Finding> {
  if (model.board === 'emulator') return;
  const wanted = boardDoorbell(model);
  for (const bell of model.doorbells) {
    if (bell.kind !== wanted) {
      yield {
        place: bell.place,
        message: `${bell.id} is ${bell.kind}; the machine has ${String(wanted)}`,
      };
      continue;
    }
    const base =
      bell.kind === 'gicv2m' ? VIRT.gicV2m : bell.kind === 'its' ? VIRT.gicIts : bell.frame.start;
    if (bell.frame.start !== base) {
      yield {
        place: bell.place,
        message: `${bell.id} is at ${hex(bell.frame.start)}; virt has it at ${hex(base)}`,
      };
    }
    if (model.viommus.length > 0) yield* delivery(model, bell);
  }
  if (
    model.board === 'virt' &&
    model.gic?.version === 2 &&
    model.doorbells.length === 0 &&
    machineWindow(model) !== undefined
  ) {
    yield {
      place: model.gic.place,
      message: 'the topology has no doorbell, but with a GICv2 the machine reserves the v2m frame',
      cure: 'Use a GICv3: without an `its` doorbell the machine has none.',
    };
  }
}

function* delivery(model: Model, bell: Doorbell): Iterable<Finding> {
  const window = machineWindow(model);
  const at = bell.place;
  if (bell.delivery === 'mapped' && window !== undefined) {
    yield {
      place: at,
      message: `${bell.id} is to be mapped by the guest; QEMU's virtio-iommu-pci reserves it`,
    };
  } else if (bell.delivery === 'reserved' && window === undefined) {
    yield {
      place: at,
      message: `${bell.id} is to be a reserved region; QEMU's virtio-iommu-device reserves none`,
      cure: 'Write `delivery: mapped`, or put the vIOMMU on PCI.',
    };
  } else if (
    window !== undefined &&
    (bell.window.start !== window.start || bell.window.end !== window.end)
  ) {
    yield {
      place: at,
      message: `${bell.id} has window ${showRange(bell.window)}; the machine reserves ${showRange(window)}`,
    };
  }
}

function* regions({ model }: Wish): Iterable<Finding> {
  if (model.board === 'emulator') return;
  const window = machineWindow(model);
  for (const region of model.reserved) {
    if (!region.via.includes('probe')) continue;
    const owner = model.viommus.find(
      ({ id }) =>
        id === region.viommu ||
        model.endpoints.some((e) => e.viommu === id && region.endpoints.includes(e.id)),
    );
    if (owner?.transport.kind === 'mmio') {
      yield {
        place: region.place,
        message: `${region.id}: ${owner.id} is a virtio-iommu-device, which has no reserved regions`,
      };
    } else if (window !== undefined) {
      yield {
        place: region.place,
        message: `${region.id}: the machine has set the reserved regions already (${showRange(window)}, msi)`,
      };
    } else if (region.viommu === undefined) {
      yield {
        place: region.place,
        message: `${region.id} is for single endpoints; QEMU's regions are those of the whole vIOMMU`,
        cure: 'State `viommu:` instead of `endpoints:`, or boot it with `--backend model`.',
      };
    }
  }
}

/** MSI needs a path: with a vIOMMU that translates, somebody must reserve or map the doorbell. */
function* hostDoorbell({ model }: Wish): Iterable<Finding> {
  if (model.board !== 'q35') return;
  for (const viommu of model.viommus) {
    const host = hostOf(model, viommu);
    if (host !== undefined && host.doorbell === undefined) {
      yield {
        place: host.place,
        message: `${host.id} has no doorbell; on q35 its devices use MSI all the same`,
      };
    }
  }
}

/** Rules on doorbells and reserved regions. */
export const regionRules: readonly PreflightRule[] = [
  {
    id: 'qemu-doorbell',
    summary: "Doorbells are the machine's, delivered as its vIOMMU delivers them.",
    severity: 'error',
    effect:
      'The guest sees other reserved regions than the topology says, or loses its interrupts.',
    cure: 'Reserved: a vIOMMU over PCI. Mapped: a vIOMMU over virtio-mmio on virt. Other doorbells: `--backend model`.',
    check: doorbell,
  },
  {
    id: 'qemu-host-doorbell',
    summary: 'The translated host of a q35 has the x86 doorbell.',
    severity: 'error',
    effect: 'QEMU reserves the window anyway: the guest sees a region that the topology lacks.',
    cure: 'Write `doorbell: x86`.',
    check: hostDoorbell,
  },
  {
    id: 'qemu-reserved-regions',
    summary: 'Regions told by PROBE are of a whole vIOMMU on a machine without an MSI region.',
    severity: 'error',
    effect: 'QEMU refuses to start: "array size property … may not be set more than once".',
    cure: 'Use virt with a GICv3 and no `its` doorbell, say it in the device tree, or boot it with `--backend model`.',
    check: regions,
  },
];
