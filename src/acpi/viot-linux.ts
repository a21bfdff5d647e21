import { ByteView } from '../bytes/index.ts';
import {
  ACPI_VIOT_FIELDS,
  ACPI_VIOT_HEADER,
  ACPI_VIOT_MMIO,
  ACPI_VIOT_NODE_MMIO,
  ACPI_VIOT_NODE_PCI_RANGE,
  ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO,
  ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI,
  ACPI_VIOT_PCI_RANGE,
  ACPI_VIOT_VIRTIO_IOMMU_MMIO,
  ACPI_VIOT_VIRTIO_IOMMU_PCI,
} from '../spec/viot.ts';
import { ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import { VIOT_FIXED_SIZE, type Viot } from './viot-reader.ts';

/** An IOMMU that an endpoint node led Linux to; `offset` is where, in bytes. */
export type LinuxIommu = { readonly offset: number } & (
  | { readonly kind: 'pci'; readonly segment: number; readonly bdf: number }
  | { readonly kind: 'mmio'; readonly base: bigint }
);

/** A PCI range that Linux keeps. */
export interface LinuxPciRange {
  readonly offset: number;
  readonly segmentStart: number;
  readonly segmentEnd: number;
  readonly bdfStart: number;
  readonly bdfEnd: number;
  readonly endpointStart: number;
  readonly iommu: LinuxIommu;
}

/** A platform endpoint that Linux keeps. */
export interface LinuxMmioEndpoint {
  readonly offset: number;
  readonly base: bigint;
  readonly endpoint: number;
  readonly iommu: LinuxIommu;
}

/** What Linux 6.12 has in its lists after reading a VIOT, in the order it searches them. */
export interface LinuxViotView {
  /** The last node of the table is first: the first match wins. */
  readonly pciRanges: readonly LinuxPciRange[];
  readonly mmioEndpoints: readonly LinuxMmioEndpoint[];
  /** The IOMMUs that those point to, by offset. */
  readonly iommus: readonly LinuxIommu[];
  /** What the guest's log has about the table, without the `ACPI: VIOT: ` before it. */
  readonly messages: readonly string[];
}

/** The endpoint ID a device gets and the IOMMU it is behind. */
export interface LinuxLookup {
  readonly endpoint: number;
  readonly iommu: LinuxIommu;
}

/**
 * Reads the table as Linux's drivers/acpi/viot.c does and returns what that keeps, supposing
 * that every IOMMU the table names exists in the machine.
 */
export function linuxView(viot: Viot): LinuxViotView {
  const walk = new Walk(viot.bytes);
  walk.run();
  return {
    pciRanges: walk.pciRanges.toReversed(),
    mmioEndpoints: walk.mmioEndpoints.toReversed(),
    iommus: [...walk.iommus.values()].toSorted((a, b) => a.offset - b.offset),
    messages: walk.messages,
  };
}

/** What Linux finds for a PCI function, or undefined when it stays without an IOMMU. */
export function linuxPciLookup(
  view: LinuxViotView,
  segment: number,
  bdf: number,
): LinuxLookup | undefined {
  const range = view.pciRanges.find(
    (it) =>
      segment >= it.segmentStart &&
      segment <= it.segmentEnd &&
      bdf >= it.bdfStart &&
      bdf <= it.bdfEnd,
  );
  if (range === undefined) return undefined;
  const { iommu } = range;
  // An IOMMU inside its own range is left alone: no hole is needed.
  if (iommu.kind === 'pci' && iommu.segment === segment && iommu.bdf === bdf) return undefined;
  const endpoint =
    ((segment - range.segmentStart) * 0x10000 + (bdf - range.bdfStart) + range.endpointStart) >>> 0;
  return { endpoint, iommu };
}

/** What Linux finds for a platform device whose first memory resource starts at `base`. */
export function linuxMmioLookup(view: LinuxViotView, base: bigint): LinuxLookup | undefined {
  const found = view.mmioEndpoints.find((it) => it.base === base);
  return found && { endpoint: found.endpoint, iommu: found.iommu };
}

class Walk {
  readonly pciRanges: LinuxPciRange[] = [];
  readonly mmioEndpoints: LinuxMmioEndpoint[] = [];
  readonly iommus: Map<number, LinuxIommu> = new Map();
  readonly messages: string[] = [];
  readonly #view: ByteView;
  readonly #nodeOffset: number;
  readonly #nodeCount: number;

  constructor(bytes: Uint8Array) {
    this.#view = new ByteView(bytes, 'le', 'viot');
    const fields = ACPI_VIOT_FIELDS.read(this.#view, ACPI_TABLE_HEADER.size);
    this.#nodeOffset = fields.nodeOffset;
    this.#nodeCount = fields.nodeCount;
  }

  run(): void {
    let at = this.#nodeOffset;
    for (let index = 0; index < this.#nodeCount; index++) {
      const length = this.#node(at);
      if (length === undefined) return;
      at += length;
    }
  }

  /** Takes one node; its length, or undefined when parsing stops here. */
  #node(at: number): number | undefined {
    const head = this.#head(at);
    if (head === undefined) return undefined;
    const { type, length } = head;
    if (type === ACPI_VIOT_NODE_PCI_RANGE) {
      if (!this.#holds(at, length, ACPI_VIOT_PCI_RANGE.size, 'PCI')) return undefined;
      const raw = ACPI_VIOT_PCI_RANGE.read(this.#view, at);
      const { segmentStart, segmentEnd, bdfStart, bdfEnd, endpointStart } = raw;
      const iommu = this.#iommu(raw.outputNode);
      const range = { segmentStart, segmentEnd, bdfStart, bdfEnd, endpointStart };
      if (iommu !== undefined) this.pciRanges.push({ offset: at, ...range, iommu });
    } else if (type === ACPI_VIOT_NODE_MMIO) {
      if (!this.#holds(at, length, ACPI_VIOT_MMIO.size, 'MMIO')) return undefined;
      const { base, endpoint, outputNode } = ACPI_VIOT_MMIO.read(this.#view, at);
      const iommu = this.#iommu(outputNode);
      if (iommu !== undefined) this.mmioEndpoints.push({ offset: at, base, endpoint, iommu });
    } else if (
      type !== ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI &&
      type !== ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO
    ) {
      this.messages.push(`Unsupported node ${type.toString(16)}`);
    }
    return length;
  }

  /** viot_check_bounds */
  #head(at: number): { readonly type: number; readonly length: number } | undefined {
    const start = Math.max(VIOT_FIXED_SIZE, this.#nodeOffset);
    if (at < start || at + ACPI_VIOT_HEADER.size > this.#view.length) {
      this.messages.push('[Firmware Bug]: Node pointer overflows');
      return undefined;
    }
    const head = ACPI_VIOT_HEADER.read(this.#view, at);
    if (head.length >= ACPI_VIOT_HEADER.size) return head;
    this.messages.push('[Firmware Bug]: Empty node');
    return undefined;
  }

  /** Linux looks at the length alone and reads past a table that was cut; we do not. */
  #holds(at: number, length: number, size: number, kind: string): boolean {
    if (length < size) this.messages.push(`[Firmware Bug]: Invalid ${kind} node size`);
    return length >= size && at + size <= this.#view.length;
  }

  /** viot_get_iommu: whatever lies at `offset`, whether a node of the walk starts there or not. */
  #iommu(offset: number): LinuxIommu | undefined {
    const known = this.iommus.get(offset);
    if (known !== undefined) return known;
    const head = this.#head(offset);
    const found = head && this.#iommuNode(offset, head.type, head.length);
    if (found === undefined) this.messages.push('No IOMMU node found');
    else this.iommus.set(offset, found);
    return found;
  }

  #iommuNode(offset: number, type: number, length: number): LinuxIommu | undefined {
    const view = this.#view;
    const size = ACPI_VIOT_VIRTIO_IOMMU_PCI.size;
    if (length < size || offset + size > view.length) return undefined;
    if (type === ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI) {
      const { segment, bdf } = ACPI_VIOT_VIRTIO_IOMMU_PCI.read(view, offset);
      return { offset, kind: 'pci', segment, bdf };
    }
    if (type !== ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO) return undefined;
    return { offset, kind: 'mmio', base: ACPI_VIOT_VIRTIO_IOMMU_MMIO.read(view, offset).base };
  }
}
