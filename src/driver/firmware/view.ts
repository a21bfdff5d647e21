import type { Range } from '../../bytes/index.ts';
import type { KernelLog } from '../kernel-log.ts';

/** A PCI host bridge as firmware describes it. */
export interface HostView {
  /** Position among the hosts. */
  readonly index: number;
  /** For messages: a node's path, or the name of an ACPI device. */
  readonly name: string;
  readonly segment: number;
  readonly buses: Range<number>;
  /** Configuration space of bus `buses.start`. */
  readonly ecam: bigint;
  /** Memory windows, bus addresses as the CPU sees them. */
  readonly windows: readonly (Range & { readonly wide: boolean })[];
  /** What devices may address, where firmware limits it. */
  readonly dma?: Range;
}

/** A virtio-mmio transport. */
export interface TransportView {
  readonly base: bigint;
  readonly size: bigint;
  /** SPI on arm64 (from 0), GSI on x86-64. */
  readonly interrupt?: number;
}

/** Who asks: a PCI function, or a platform device by its first register. */
export type Asker =
  | {
      readonly kind: 'pci';
      readonly host: HostView;
      readonly rid: number;
      /** Other requester IDs that its requests may have (bridges to conventional PCI). */
      readonly aliases: readonly number[];
      /** Device and function numbers from the root bus down to it. */
      readonly path: readonly number[];
    }
  | { readonly kind: 'mmio'; readonly base: bigint };

/** What firmware says of a device's IOMMU. */
export type IommuAnswer =
  | { readonly kind: 'none' }
  /** `key` names the IOMMU, see {@link FirmwareView.iommuKey}. */
  | { readonly kind: 'iommu'; readonly key: string; readonly ids: readonly number[] };

/** Who takes a function's messages. */
export type MsiAnswer =
  | { readonly kind: 'none' }
  | { readonly kind: 'gicv2m'; readonly frame: bigint; readonly spis?: Range<number> }
  | { readonly kind: 'its'; readonly page: bigint; readonly deviceId: number }
  | { readonly kind: 'apic' };

/** A piece of IOVA space that firmware speaks of. */
export interface RegionView {
  readonly range: Range;
  readonly type: 'reserved' | 'direct';
}

/** Device tree or ACPI, read as Linux reads it. */
export interface FirmwareView {
  readonly kind: 'device-tree' | 'acpi';
  readonly memory: readonly Range[];
  /** RAM that is not the kernel's. */
  readonly reserved: readonly Range[];
  readonly hosts: readonly HostView[];
  readonly transports: readonly TransportView[];
  /**
   * Devices were enumerated: firmware that names IOMMUs by place is settled now.
   *
   * @param exists whether a PCI function is at that place
   */
  settle(exists: (segment: number, rid: number) => boolean): void;
  /** False: the device's node says that it is not to be used. */
  enabled(device: Asker): boolean;
  /** Under which name others refer to this device as their IOMMU; undefined: nothing can. */
  iommuKey(device: Asker): string | undefined;
  iommu(device: Asker): IommuAnswer;
  msi(device: Asker): MsiAnswer;
  /** Wired interrupt of a function's pin (1–4) at the root bus. */
  intx(host: HostView, slot: number, pin: number): number | undefined;
  regions(device: Asker): readonly RegionView[];
}

/** What all readers get. */
export interface ReadContext {
  readonly log: KernelLog;
}
