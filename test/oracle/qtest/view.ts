import { ByteView } from '../../../src/bytes/index.ts';
import type { IommuDevice, Mapping } from '../../../src/iommu/index.ts';
import {
  VIRTIO_IOMMU_ATTACH_F_BYPASS,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_MAP_F_MMIO,
  VIRTIO_IOMMU_REQ_ATTACH,
  VIRTIO_IOMMU_REQ_DETACH,
  VIRTIO_IOMMU_REQ_MAP,
  VIRTIO_IOMMU_REQ_PROBE,
  VIRTIO_IOMMU_REQ_UNMAP,
  VIRTIO_IOMMU_T_ATTACH,
  VIRTIO_IOMMU_T_DETACH,
  VIRTIO_IOMMU_T_MAP,
  VIRTIO_IOMMU_T_PROBE,
  VIRTIO_IOMMU_T_UNMAP,
} from '../../../src/spec/virtio-iommu.ts';
import { LAST_ADDRESS } from './layout.ts';
import type { Wire } from './side.ts';

const LAYOUTS = {
  [VIRTIO_IOMMU_T_ATTACH]: VIRTIO_IOMMU_REQ_ATTACH,
  [VIRTIO_IOMMU_T_DETACH]: VIRTIO_IOMMU_REQ_DETACH,
  [VIRTIO_IOMMU_T_MAP]: VIRTIO_IOMMU_REQ_MAP,
  [VIRTIO_IOMMU_T_UNMAP]: VIRTIO_IOMMU_REQ_UNMAP,
  [VIRTIO_IOMMU_T_PROBE]: VIRTIO_IOMMU_REQ_PROBE,
} as const;

/** Bytes of the device-readable part of a type; undefined for a type that is none. */
export function requestSize(type: number): number | undefined {
  return (LAYOUTS as Readonly<Record<number, { readonly size: number }>>)[type]?.size;
}

export interface DomainView {
  readonly bypass: boolean;
  readonly endpoints: readonly number[];
}

/** A request and the state of our device before it, as the deviations look at them. */
export class View {
  readonly wire: Wire;
  readonly type: number;
  /** Whether type and all fields are there. */
  readonly whole: boolean;
  readonly domain: number = 0;
  readonly endpoint: number = 0;
  readonly flags: number = 0;
  readonly start: bigint = 0n;
  readonly end: bigint = 0n;
  readonly phys: bigint = 0n;
  /** Whether a `reserved` field of the body is set. */
  readonly reserved: boolean = false;
  readonly #device: IommuDevice;

  constructor(wire: Wire, device: IommuDevice) {
    this.wire = wire;
    this.#device = device;
    this.type = wire.readable[0] ?? -1;
    const size = requestSize(this.type);
    this.whole = size !== undefined && wire.readable.length >= size;
    if (!this.whole) return;
    const view = new ByteView(wire.readable, 'le', 'request');
    if (this.type === VIRTIO_IOMMU_T_ATTACH) {
      const { domain, endpoint, flags, reserved } = VIRTIO_IOMMU_REQ_ATTACH.read(view, 0);
      Object.assign(this, { domain, endpoint, flags, reserved: reserved.some((b) => b !== 0) });
    } else if (this.type === VIRTIO_IOMMU_T_DETACH) {
      const { domain, endpoint } = VIRTIO_IOMMU_REQ_DETACH.read(view, 0);
      Object.assign(this, { domain, endpoint });
    } else if (this.type === VIRTIO_IOMMU_T_PROBE) {
      this.endpoint = VIRTIO_IOMMU_REQ_PROBE.read(view, 0).endpoint;
    } else if (this.type === VIRTIO_IOMMU_T_MAP) {
      const { domain, flags, virt_start, virt_end, phys_start } = VIRTIO_IOMMU_REQ_MAP.read(
        view,
        0,
      );
      Object.assign(this, { domain, flags, start: virt_start, end: virt_end, phys: phys_start });
    } else {
      const { domain, virt_start, virt_end } = VIRTIO_IOMMU_REQ_UNMAP.read(view, 0);
      Object.assign(this, { domain, start: virt_start, end: virt_end });
    }
  }

  get isAttach(): boolean {
    return this.whole && this.type === VIRTIO_IOMMU_T_ATTACH;
  }

  get isDetach(): boolean {
    return this.whole && this.type === VIRTIO_IOMMU_T_DETACH;
  }

  get isMap(): boolean {
    return this.whole && this.type === VIRTIO_IOMMU_T_MAP;
  }

  get isUnmap(): boolean {
    return this.whole && this.type === VIRTIO_IOMMU_T_UNMAP;
  }

  get isProbe(): boolean {
    return this.whole && this.type === VIRTIO_IOMMU_T_PROBE;
  }

  get wantsBypass(): boolean {
    return (this.flags & VIRTIO_IOMMU_ATTACH_F_BYPASS) !== 0;
  }

  get granule(): bigint {
    const mask = this.#device.state.settings.pageSizeMask;
    return mask & -mask;
  }

  get probeSize(): number {
    return this.#device.state.settings.probeSize;
  }

  get hasBypassConfig(): boolean {
    return this.#device.state.has(VIRTIO_IOMMU_F_BYPASS_CONFIG);
  }

  /** MMIO set without its feature. */
  get strangeMmio(): boolean {
    const flag = (this.flags & VIRTIO_IOMMU_MAP_F_MMIO) !== 0;
    return flag && !this.#device.state.has(VIRTIO_IOMMU_F_MMIO);
  }

  /** Whether the endpoint exists; in QEMU's eyes only its lower 16 bits count. */
  exists(id: number = this.endpoint): boolean {
    return this.#device.state.endpoints.has(id);
  }

  get isAlias(): boolean {
    return this.endpoint > 0xffff && this.exists(this.endpoint & 0xffff);
  }

  /** Domain that the endpoint is in. */
  get attachedTo(): number | undefined {
    return this.#device.state.endpoints.get(this.endpoint)?.domain?.id;
  }

  get target(): DomainView | undefined {
    const domain = this.#device.state.domains.get(this.domain);
    return (
      domain && { bypass: domain.bypass, endpoints: [...domain.endpoints].map(({ id }) => id) }
    );
  }

  /** Mappings of the domain that have an address of the range; none of a reversed one. */
  mappings(start: bigint = this.start, end: bigint = this.end): Mapping[] {
    const domain = this.#device.state.domains.get(this.domain);
    if (domain === undefined || end < start) return [];
    return [...domain.mappings.entries({ start, end })];
  }

  /** Whether the range meets the MSI window of an endpoint of the domain. */
  get meetsReserved(): boolean {
    const domain = this.#device.state.domains.get(this.domain);
    return [...(domain?.endpoints ?? [])].some(({ regions }) =>
      regions.list.some(({ range }) => range.start <= this.end && this.start <= range.end),
    );
  }

  get isReversed(): boolean {
    return this.end < this.start;
  }

  get isMisaligned(): boolean {
    return (this.start | this.phys | (this.end + 1n)) % this.granule !== 0n;
  }

  /** Whether the physical range passes 2^64 - 1. */
  get wrapsPhysical(): boolean {
    return this.phys + (this.end - this.start) > LAST_ADDRESS;
  }

  /** For a difference: what was asked of what. */
  toString(): string {
    const { readable, writable, indirect, cuts } = this.wire;
    const hex = Buffer.from(readable).toString('hex');
    const target = this.target;
    return [
      `request ${hex} + ${writable} writable, cut ${JSON.stringify(cuts)}, indirect ${indirect}`,
      `type ${this.type} domain ${this.domain} endpoint ${this.endpoint} flags ${this.flags}`,
      `virt 0x${this.start.toString(16)}-0x${this.end.toString(16)} phys 0x${this.phys.toString(16)}`,
      `attached to ${this.attachedTo}, target ${JSON.stringify(target)}`,
      `mappings there ${this.mappings().length}`,
    ].join('\n  ');
  }
}
