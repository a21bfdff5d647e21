import {
  VIRTIO_IOMMU_ATTACH_F_BYPASS,
  VIRTIO_IOMMU_MAP_F_MMIO,
  VIRTIO_IOMMU_MAP_F_READ,
  VIRTIO_IOMMU_MAP_F_WRITE,
  VIRTIO_IOMMU_REQ_HEAD,
  VIRTIO_IOMMU_REQ_TAIL,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
  VIRTIO_IOMMU_S_UNSUPP,
  VIRTIO_IOMMU_T_PROBE,
} from '../../../src/spec/virtio-iommu.ts';
import { detachBytes, unmapBytes } from '../../support/iommu-rig.ts';
import { LAST_ADDRESS } from './layout.ts';
import type { Wire } from './side.ts';
import { requestSize, type View } from './view.ts';

/** A difference that is known: what each does, and the rule that one of them breaks. */
export interface Deviation {
  readonly id: string;
  /** `D…` of docs/reference/conformance.md; `silent` where VIRTIO says nothing. */
  readonly rule: string;
  readonly stimulus: string;
  readonly qemu: string;
  readonly ours: string;
}

/** A request that brings both devices in step again; not one of those that are compared. */
export interface FollowUp {
  readonly wire: Wire;
  /** Statuses that QEMU may answer; when ours is another, the deviation has shown itself. */
  readonly theirs: readonly number[] | 'any';
}

/** A deviation that a request and our state before it give away. */
export interface RequestDeviation extends Deviation {
  applies(view: View): boolean;
  /** What QEMU may answer. */
  status(view: View): readonly number[];
  /** How QEMU writes it; default: `struct virtio_iommu_req_tail` alone, at the start. */
  readonly form?: 'probe';
  after?(view: View): readonly FollowUp[];
}

const TAIL = VIRTIO_IOMMU_REQ_TAIL.size;
const MAP_FLAGS = VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE | VIRTIO_IOMMU_MAP_F_MMIO;

export function plainWire(readable: Uint8Array): Wire {
  return { readable, writable: TAIL, cuts: { readable: [], writable: [] }, indirect: true };
}

const detach = (domain: number, endpoint: number): Wire => plainWire(detachBytes(domain, endpoint));
const unmap = (domain: number, start: bigint, end: bigint): Wire =>
  plainWire(unmapBytes(domain, start, end));

const isAnswerable = ({ wire }: View): boolean =>
  wire.readable.length >= VIRTIO_IOMMU_REQ_HEAD.size && wire.writable >= TAIL;

/** QEMU looks at flags, then at the endpoint, leaves the old domain, and then at the new one. */
function qemuAttach(view: View): number {
  const { target, attachedTo, domain } = view;
  if (!view.exists(view.endpoint & 0xffff)) return VIRTIO_IOMMU_S_NOENT;
  const vanishes = attachedTo === domain && target?.endpoints.length === 1;
  if (target === undefined || vanishes) return VIRTIO_IOMMU_S_OK;
  return target.bypass === view.wantsBypass ? VIRTIO_IOMMU_S_OK : VIRTIO_IOMMU_S_INVAL;
}

function leaveBoth(view: View): FollowUp[] {
  const ids = new Set([view.attachedTo, view.domain]);
  return [...ids].flatMap((id) =>
    id === undefined ? [] : [{ wire: detach(id, view.endpoint), theirs: 'any' as const }],
  );
}

const hasGoodFlags = (view: View): boolean =>
  view.isAttach && (view.flags & ~VIRTIO_IOMMU_ATTACH_F_BYPASS) === 0;

const isAttachable = (view: View): boolean => hasGoodFlags(view) && view.exists();

/** Whether one mapping covers a reversed range, which QEMU's comparison takes for a match. */
function coversReversed(view: View): boolean {
  const { start, end } = view;
  return view.mappings(end, start).some((one) => one.start <= end && one.end >= start);
}

/** Flags, domain, bypass, overlap: that is all QEMU looks at. */
function qemuMap(view: View): number {
  const { target } = view;
  if (target === undefined) return VIRTIO_IOMMU_S_NOENT;
  if (target.bypass) return VIRTIO_IOMMU_S_INVAL;
  const met = view.isReversed ? coversReversed(view) : view.mappings().length > 0;
  return met ? VIRTIO_IOMMU_S_INVAL : VIRTIO_IOMMU_S_OK;
}

/** A mapping that only QEMU has. A reversed one cannot be removed but with its domain. */
function dropMapping(view: View): FollowUp[] {
  const { domain, start, end, target } = view;
  if (target === undefined || qemuMap(view) !== VIRTIO_IOMMU_S_OK) return [];
  if (!view.isReversed) return [{ wire: unmap(domain, start, end), theirs: [VIRTIO_IOMMU_S_OK] }];
  return target.endpoints.map((id) => ({ wire: detach(domain, id), theirs: [VIRTIO_IOMMU_S_OK] }));
}

const isMappable = (view: View): boolean =>
  view.isMap &&
  (view.flags & ~MAP_FLAGS) === 0 &&
  !view.strangeMmio &&
  view.target?.bypass === false;

const maps = {
  status: (view: View): readonly number[] => [qemuMap(view)],
  after: dropMapping,
};

const isUnmappable = (view: View): boolean => view.isUnmap && view.target?.bypass === false;

const wouldSplit = (view: View): boolean =>
  view.mappings().some(({ start, end }) => start < view.start || end > view.end);

/** In the order in which they are looked for: the first that applies explains the request. */
export const REQUEST_DEVIATIONS: readonly RequestDeviation[] = [
  {
    id: 'unknown-type',
    rule: 'D14',
    stimulus: 'a request of unknown type',
    qemu: 'UNSUPP, used length 4',
    ours: 'unwritten, used length 0',
    applies: (view) => isAnswerable(view) && requestSize(view.type) === undefined,
    status: () => [VIRTIO_IOMMU_S_UNSUPP],
  },
  {
    id: 'short-probe',
    rule: 'D16',
    stimulus: 'PROBE shorter than its struct',
    qemu: 'INVAL',
    ours: 'unwritten, used length 0',
    applies: (view) => isAnswerable(view) && view.type === VIRTIO_IOMMU_T_PROBE && !view.whole,
    status: () => [VIRTIO_IOMMU_S_INVAL],
    form: 'probe',
  },
  {
    id: 'short-request',
    rule: 'D16',
    stimulus: 'another request shorter than its struct, but with its head',
    qemu: 'INVAL',
    ours: 'unwritten, used length 0',
    applies: (view) => isAnswerable(view) && !view.whole,
    status: () => [VIRTIO_IOMMU_S_INVAL],
  },
  {
    id: 'attach-alias',
    rule: 'D19',
    stimulus: 'ATTACH of an endpoint ID above 16 bits whose lower half is an endpoint',
    qemu: 'OK (INVAL when the bypass flag does not fit): only 16 bits are looked up',
    ours: 'NOENT',
    applies: (view) => hasGoodFlags(view) && view.isAlias,
    status: (view) => [qemuAttach(view)],
    after: leaveBoth,
  },
  {
    id: 'probe-alias',
    rule: 'D43',
    stimulus: 'PROBE of such an ID',
    qemu: 'OK, with properties',
    ours: 'NOENT',
    applies: (view) => view.isProbe && view.isAlias,
    status: () => [VIRTIO_IOMMU_S_OK],
    form: 'probe',
  },
  {
    id: 'attach-reserved',
    rule: 'D17',
    stimulus: 'ATTACH with reserved bits set',
    qemu: 'done as if they were zero (NOENT when there is no such endpoint)',
    ours: 'INVAL, nothing changes',
    applies: (view) => hasGoodFlags(view) && view.reserved,
    status: (view) => [qemuAttach(view)],
    after: leaveBoth,
  },
  {
    id: 'attach-bypass-not-negotiated',
    rule: 'D18',
    stimulus: 'ATTACH with F_BYPASS, BYPASS_CONFIG not negotiated',
    qemu: 'done, a bypass domain',
    ours: 'INVAL, nothing changes',
    applies: (view) => hasGoodFlags(view) && view.wantsBypass && !view.hasBypassConfig,
    status: (view) => [qemuAttach(view)],
    after: leaveBoth,
  },
  {
    id: 'attach-bypass-mismatch',
    rule: 'D21',
    stimulus: 'ATTACH with F_BYPASS other than the domain is, of an endpoint that is attached',
    qemu: 'leaves the old domain, then INVAL; OK when that was its own, which it ended',
    ours: 'INVAL, it stays where it was',
    applies: (view) =>
      isAttachable(view) &&
      view.attachedTo !== undefined &&
      view.target !== undefined &&
      view.target.bypass !== view.wantsBypass,
    status: (view) => [qemuAttach(view)],
    after: (view) => {
      if (qemuAttach(view) === VIRTIO_IOMMU_S_OK) return leaveBoth(view);
      const wire = detach(view.attachedTo ?? 0, view.endpoint);
      return [{ wire, theirs: [VIRTIO_IOMMU_S_INVAL] }];
    },
  },
  {
    id: 'attach-again',
    rule: 'silent',
    stimulus: 'ATTACH of the only endpoint of a domain to that domain',
    qemu: 'OK, all mappings are lost',
    ours: 'OK, nothing changes (option `reattach`)',
    applies: (view) =>
      isAttachable(view) &&
      view.attachedTo === view.domain &&
      view.target?.endpoints.length === 1 &&
      view.mappings(0n, LAST_ADDRESS).length > 0,
    status: () => [VIRTIO_IOMMU_S_OK],
    after: (view) => {
      const [first] = view.mappings(0n, LAST_ADDRESS);
      const at = first?.start ?? 0n;
      return [
        { wire: unmap(view.domain, at, at), theirs: [VIRTIO_IOMMU_S_OK] },
        { wire: unmap(view.domain, 0n, LAST_ADDRESS), theirs: [VIRTIO_IOMMU_S_OK] },
      ];
    },
  },
  {
    id: 'detach-unattached',
    rule: 'D28',
    stimulus: 'DETACH of an endpoint that is not attached',
    qemu: 'NOENT when no ATTACH has named it since the reset, else INVAL',
    ours: 'INVAL: the endpoint exists',
    applies: (view) => view.isDetach && view.exists() && view.attachedTo === undefined,
    status: () => [VIRTIO_IOMMU_S_NOENT, VIRTIO_IOMMU_S_INVAL],
  },
  {
    id: 'detach-alias',
    rule: 'D27',
    stimulus: 'DETACH of an endpoint ID above 16 bits whose ATTACH QEMU refused with INVAL',
    qemu: 'INVAL: the record of it stays',
    ours: 'NOENT',
    applies: (view) => view.isDetach && view.isAlias,
    status: () => [VIRTIO_IOMMU_S_NOENT, VIRTIO_IOMMU_S_INVAL],
  },
  {
    id: 'map-mmio-not-negotiated',
    rule: 'D32',
    stimulus: 'MAP with MMIO, the feature not negotiated',
    qemu: 'done',
    ours: 'INVAL',
    applies: (view) => view.isMap && view.strangeMmio && (view.flags & ~MAP_FLAGS) === 0,
    ...maps,
  },
  {
    id: 'map-reversed',
    rule: 'silent (R15)',
    stimulus: 'MAP with virt_end below virt_start',
    qemu: 'OK (INVAL inside of a mapping)',
    ours: 'INVAL (option `reversed`)',
    applies: (view) => isMappable(view) && view.isReversed,
    ...maps,
  },
  {
    id: 'map-misaligned',
    rule: 'D30',
    stimulus: 'MAP of a range or a physical start that is not aligned to the granule',
    qemu: 'done, and translated in units of the granule',
    ours: 'RANGE',
    applies: (view) => isMappable(view) && view.isMisaligned,
    ...maps,
  },
  {
    id: 'map-physical',
    rule: 'silent',
    stimulus: 'MAP whose physical range passes 2^64 - 1',
    qemu: 'done',
    ours: 'FAULT (option `physicalOutside`)',
    applies: (view) => isMappable(view) && view.wrapsPhysical,
    ...maps,
  },
  {
    id: 'map-reserved',
    rule: 'D36',
    stimulus: 'MAP over a RESV_MEM region',
    qemu: 'done; accesses to the region do not use it',
    ours: 'INVAL',
    applies: (view) => isMappable(view) && view.meetsReserved,
    ...maps,
  },
  {
    id: 'unmap-reversed',
    rule: 'silent',
    stimulus: 'UNMAP with virt_end below virt_start',
    qemu: 'RANGE inside of a mapping, else OK; nothing is removed',
    ours: 'INVAL',
    applies: (view) => isUnmappable(view) && view.isReversed,
    status: (view) => [coversReversed(view) ? VIRTIO_IOMMU_S_RANGE : VIRTIO_IOMMU_S_OK],
  },
  {
    id: 'unmap-split',
    rule: 'D40',
    stimulus: 'UNMAP of several mappings, one of which would be split',
    qemu: 'RANGE; those that its search met earlier are gone',
    ours: 'RANGE, nothing is removed',
    applies: (view) =>
      isUnmappable(view) && !view.isReversed && view.mappings().length > 1 && wouldSplit(view),
    status: () => [VIRTIO_IOMMU_S_RANGE],
    after: (view) => {
      const met = view.mappings();
      const whole = met.filter(({ start, end }) => start >= view.start && end <= view.end);
      const hull = unmap(view.domain, met[0]?.start ?? 0n, met.at(-1)?.end ?? 0n);
      return [
        ...whole.map(({ start }) => ({
          wire: unmap(view.domain, start, start),
          theirs: [VIRTIO_IOMMU_S_OK, VIRTIO_IOMMU_S_RANGE],
        })),
        { wire: hull, theirs: [VIRTIO_IOMMU_S_OK] },
      ];
    },
  },
];
