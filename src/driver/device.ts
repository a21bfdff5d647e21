import type { Dma } from './dma.ts';
import type { Asker, TransportView } from './firmware/view.ts';
import type { IommuGroup } from './iommu/group.ts';
import { nameOf, type PciFound } from './pci/function.ts';

/** What a driver made of a device. */
export interface BoundDriver {
  /** As sysfs calls it: `virtio_blk`. */
  readonly name: string;
  /** Lets go of the device: it is quiet afterwards, and nothing of it is mapped. */
  remove(): void;
}

/** How a device interrupts, and how often it did. */
export interface InterruptUse {
  readonly kind: 'msi-x' | 'none';
  readonly vectors: number;
  /** Interrupts taken. */
  readonly count: number;
}

/** A device of the guest: a PCI function, or a virtio-mmio transport. */
export class Device {
  /** `0000:00:02.0`, `a000000.virtio_mmio`. */
  readonly name: string;
  readonly asker: Asker;
  readonly pci: PciFound | undefined;
  readonly transport: TransportView | undefined;
  dma: Dma;
  group: IommuGroup | undefined;
  /** Endpoint IDs by which its IOMMU knows it. */
  endpointIds: readonly number[] = [];
  driver: BoundDriver | undefined;
  /** Why its driver waits. */
  deferred: string | undefined;
  interrupts: { kind: InterruptUse['kind']; vectors: number; count: number } = {
    kind: 'none',
    vectors: 0,
    count: 0,
  };

  constructor(at: { pci: PciFound; asker: Asker } | { transport: TransportView }, dma: Dma) {
    this.dma = dma;
    if ('pci' in at) {
      this.pci = at.pci;
      this.asker = at.asker;
      this.name = nameOf(at.pci);
    } else {
      this.transport = at.transport;
      this.asker = { kind: 'mmio', base: at.transport.base };
      this.name = `${at.transport.base.toString(16)}.virtio_mmio`;
    }
  }

  /** As the kernel's messages call it: bus, then name. */
  get logName(): string {
    return `${this.pci === undefined ? 'platform' : 'pci'} ${this.name}`;
  }
}
