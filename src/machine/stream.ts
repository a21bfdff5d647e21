import type { IommuEvent, IommuEventKind } from '../iommu/index.ts';
import type { MsiMessage } from '../pci/index.ts';
import type { VirtioEvent } from '../virtio/index.ts';
import type { HostEvent } from './passthrough.ts';

/** What happened in the machine. `order` grows by one with each event that somebody listened to. */
export type MachineEvent = { readonly order: number } & (
  | { readonly source: 'viommu'; readonly viommu: string; readonly event: IommuEvent }
  /** A message-signalled interrupt that a device sent, or could not. */
  | {
      readonly source: 'message';
      readonly device: string;
      /** Where it is translated, when it is. */
      readonly viommu?: string;
      readonly endpointId?: number;
      readonly message: MsiMessage;
    }
  /** The host of a passed-through device: what its container was asked, and what it let through. */
  | {
      readonly source: 'host';
      readonly device: string;
      readonly viommu?: string;
      readonly endpointId?: number;
      readonly event: HostEvent;
    }
  | { readonly source: 'virtio'; readonly device: string; readonly event: VirtioEvent }
);

/**
 * Called within the step of the machine that the event belongs to; it must not step the machine.
 */
export type MachineListener = (event: MachineEvent) => void;

/** What a listener is told of. */
export interface ListenOptions {
  /** Kinds of vIOMMU events; default all but `translation`, which is as frequent as DMA. */
  readonly iommu?: readonly IommuEventKind[];
}
