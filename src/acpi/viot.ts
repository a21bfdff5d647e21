import { hex } from '../bytes/index.ts';
import { ACPI_VIOT_VIRTIO_IOMMU_PCI, VIOT_NODE_OFFSET } from '../spec/viot.ts';
import type { TableIds } from './header.ts';
import { writeViotRaw, type RawViotNode } from './viot-raw.ts';

/**
 * An IOMMU of one particular table: the only thing an endpoint node can point to.
 * Only {@link ViotBuilder} makes them.
 */
export class ViotIommu {
  /** Bytes from the start of the finished table to the IOMMU's node. */
  readonly nodeOffset: number;
  readonly #table: ViotBuilder;

  constructor(table: ViotBuilder, nodeOffset: number) {
    this.#table = table;
    this.nodeOffset = nodeOffset;
  }

  /** Whether this IOMMU is a node of `table`. */
  isOf(table: ViotBuilder): boolean {
    return this.#table === table;
  }
}

/** A run of requester IDs on consecutive segments. */
export interface ViotPciRangeInput {
  /** Endpoint ID of `bdfStart` on `segmentStart`; 32 bits. */
  readonly endpointStart: number;
  readonly segmentStart: number;
  readonly segmentEnd: number;
  readonly bdfStart: number;
  readonly bdfEnd: number;
  readonly output: ViotIommu;
}

/** `output_node` has 16 bits: an IOMMU node behind them cannot be named. */
const IOMMU_OFFSET_MAX = 0xffff;
const NODES_MAX = 0xffff;

/**
 * Writes a VIOT (ACPI 6.5, 5.2.33) that cannot be wrong: IOMMU nodes come first, in the order
 * they were added, and endpoints point to the handles that adding an IOMMU returned.
 *
 * Everything throws `RangeError` when misused: a number that does not fit its field, a range
 * that ends before it starts or whose endpoint IDs leave 32 bits, too many nodes.
 */
export class ViotBuilder {
  readonly #iommus: RawViotNode[] = [];
  readonly #endpoints: RawViotNode[] = [];

  /** A virtio-iommu that is PCI function `bdf` (16 bits) of `segment`. */
  addPciIommu(iommu: { readonly segment: number; readonly bdf: number }): ViotIommu {
    fits(iommu.segment, 0xffff, 'segment');
    fits(iommu.bdf, 0xffff, 'bdf');
    return this.#addIommu({ kind: 'pci-iommu', segment: iommu.segment, bdf: iommu.bdf });
  }

  /** A virtio-iommu over virtio-mmio; `base` lies in the `_CRS` of a device of the DSDT. */
  addMmioIommu(iommu: { readonly base: bigint }): ViotIommu {
    fitsU64(iommu.base);
    return this.#addIommu({ kind: 'mmio-iommu', base: iommu.base });
  }

  addPciRange(range: ViotPciRangeInput): void {
    const { endpointStart, segmentStart, segmentEnd, bdfStart, bdfEnd } = range;
    fits(endpointStart, 0xffffffff, 'endpointStart');
    fits(segmentEnd, 0xffff, 'segmentEnd');
    fits(segmentStart, segmentEnd, 'segmentStart');
    fits(bdfEnd, 0xffff, 'bdfEnd');
    fits(bdfStart, bdfEnd, 'bdfStart');
    const last = endpointStart + (segmentEnd - segmentStart) * 0x10000 + (bdfEnd - bdfStart);
    fits(last, 0xffffffff, 'last endpoint ID of the range');
    this.#addEndpoint(range.output, (outputNode) => ({
      kind: 'pci-range',
      endpointStart,
      segmentStart,
      segmentEnd,
      bdfStart,
      bdfEnd,
      outputNode,
    }));
  }

  /** A platform device, known by the first address of its first memory resource. */
  addMmioEndpoint(device: {
    readonly endpoint: number;
    readonly base: bigint;
    readonly output: ViotIommu;
  }): void {
    const { endpoint, base } = device;
    fits(endpoint, 0xffffffff, 'endpoint');
    fitsU64(base);
    this.#addEndpoint(device.output, (outputNode) => ({
      kind: 'mmio-endpoint',
      endpoint,
      base,
      outputNode,
    }));
  }

  /** The finished table. Every endpoint's `outputNode` is right because IOMMUs come first. */
  build(ids?: TableIds): Uint8Array {
    const nodes = [...this.#iommus, ...this.#endpoints];
    return writeViotRaw(ids === undefined ? { nodes } : { nodes, ids });
  }

  #addIommu(node: RawViotNode): ViotIommu {
    this.#roomForOne();
    const offset = VIOT_NODE_OFFSET + this.#iommus.length * ACPI_VIOT_VIRTIO_IOMMU_PCI.size;
    fits(offset, IOMMU_OFFSET_MAX, 'offset of the IOMMU node (output_node has 16 bits)');
    this.#iommus.push(node);
    return new ViotIommu(this, offset);
  }

  #addEndpoint(output: ViotIommu, make: (outputNode: number) => RawViotNode): void {
    if (!output.isOf(this)) throw new RangeError('output is an IOMMU of another table');
    this.#roomForOne();
    this.#endpoints.push(make(output.nodeOffset));
  }

  #roomForOne(): void {
    if (this.#iommus.length + this.#endpoints.length >= NODES_MAX) {
      throw new RangeError(`a VIOT has at most ${NODES_MAX} nodes`);
    }
  }
}

function fits(value: number, max: number, what: string): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${what} ${hex(value)} is not in 0..${hex(max)}`);
  }
}

function fitsU64(base: bigint): void {
  if (BigInt.asUintN(64, base) !== base) throw new RangeError(`base ${hex(base)} is not 64 bits`);
}
