import type { PlainState } from './device.ts';
import type { FeatureRefusal } from './features.ts';
import type { QueueError } from './queue-error.ts';
import type { QueueSlotState } from './queue-slot.ts';

/** What happened to a device, for whoever watches. */
export type VirtioEvent =
  | { readonly kind: 'status'; readonly from: number; readonly to: number }
  | {
      readonly kind: 'features';
      readonly chosen: bigint;
      readonly refusal: FeatureRefusal | undefined;
    }
  | { readonly kind: 'needs-reset'; readonly why: string | QueueError };

/** A device with all its driver set up, as plain data. */
export interface VirtioState {
  readonly status: number;
  readonly chosen: bigint;
  readonly features: bigint;
  readonly generation: number;
  readonly queues: readonly QueueSlotState[];
  readonly early: readonly number[];
  readonly pending: readonly number[];
  readonly config: Uint8Array;
  readonly device: PlainState;
}
