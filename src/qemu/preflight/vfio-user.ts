import { contains, hex, showRange } from '../../bytes/index.ts';
import type { Finding } from '../../topology/index.ts';
import { VIRT } from '../virt-board.ts';
import { endpointRules } from './endpoints.ts';
import { machineRules } from './machine.ts';
import { placeOf, qemuModel, type PreflightRule, type Wish } from './rule.ts';

function* mmioViommu({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const viommu of model.viommus) {
    if (viommu.transport.kind !== 'mmio') continue;
    yield {
      place: placeOf(viommu, 'mmio', 'at'),
      message: `${viommu.id} is a virtio-mmio device`,
    };
  }
}

function* platformDevice({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  for (const { id, location, device, viommu, place, places } of model.endpoints) {
    if (location.kind !== 'platform' || (device === undefined && viommu === undefined)) continue;
    yield { place: places['mmio'] ?? place, message: `${id} is a platform device` };
  }
}

/** Doorbells that the board has, with the address that an MSI is written to. */
function boardDoorbell(model: Wish['model']): { kind: string; base: bigint; target: bigint } {
  if (model.board === 'q35') return { kind: 'x86', base: 0xfee0_0000n, target: 0xfee0_0000n };
  if (model.gic?.version === 2) {
    // MSI_SETSPI_NS; the ITS has its GITS_TRANSLATER in its second frame.
    return { kind: 'gicv2m', base: VIRT.gicV2m, target: VIRT.gicV2m + 0x40n };
  }
  return { kind: 'its', base: VIRT.gicIts, target: VIRT.gicIts + 0x1_0040n };
}

function* doorbells({ model }: Wish): Iterable<Finding> {
  if (!qemuModel(model)) return;
  const { kind, base, target } = boardDoorbell(model);
  for (const bell of model.doorbells) {
    const { id, place } = bell;
    if (bell.kind !== kind) {
      yield { place, message: `${id} is ${bell.kind}; the machine has ${kind}` };
    } else if (bell.frame.start !== base && kind !== 'x86') {
      const at = hex(bell.frame.start);
      yield { place, message: `${id} is at ${at}; virt has it at ${hex(base)}` };
    } else if (model.viommus.length === 0) {
      continue;
    } else if (bell.delivery === 'mapped') {
      yield {
        place,
        message: `${id} is to be mapped by the guest, but QEMU sends MSIs untranslated`,
      };
    } else if (!contains(bell.window, target)) {
      yield {
        place,
        message: `${id} has window ${showRange(bell.window)}; MSIs go to ${hex(target)}`,
      };
    }
  }
}

const ELSEWHERE = 'boot it with `--backend emulator` or `--backend model`';

const OWN: readonly PreflightRule[] = [
  {
    id: 'vfio-user-viommu-mmio',
    summary: 'Every vIOMMU is a PCI function.',
    severity: 'error',
    effect: 'vfio-user serves PCI functions only: the guest would find no vIOMMU there.',
    cure: `Place it on PCI (\`at: 00:01.0\`), or ${ELSEWHERE}, or \`--backend qemu\`.`,
    check: mmioViommu,
  },
  {
    id: 'vfio-user-platform-device',
    summary: 'Every device is a PCI function.',
    severity: 'error',
    effect: 'vfio-user serves PCI functions only: the guest would find no device there.',
    cure: `Give it a PCI address, or ${ELSEWHERE}.`,
    check: platformDevice,
  },
  {
    id: 'vfio-user-doorbell',
    summary: "Doorbells are the machine's, and reserved by PROBE.",
    severity: 'error',
    effect:
      'QEMU sends the MSIs of a served device by itself, past our translation: a guest that maps its doorbell gives the device an address which is no doorbell, and loses its interrupts.',
    cure: `Write \`delivery: reserved\`, or ${ELSEWHERE}.`,
    check: doorbells,
  },
];

/** Rules for endpoints that hold whoever serves them: where functions are, and bus numbers. */
const PLACES = new Set(['qemu-slot', 'qemu-bus-number', 'qemu-host-window']);

/** What must hold where our own devices are served to QEMU; the rest of QEMU's limits are its devices'. */
export const VFIO_USER_RULES: readonly PreflightRule[] = [
  ...machineRules,
  ...OWN,
  ...endpointRules.filter(({ id }) => PLACES.has(id)),
];
