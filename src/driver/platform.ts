import type { DmaSpace } from '../memory/index.ts';

/** Memory-mapped I/O as the guest's CPU does it: 1, 2 or 4 bytes, addresses below 2^53. */
export interface MmioAccess {
  read(address: number, size: number): number;
  write(address: number, size: number, value: number): void;
}

/** An interrupt as it reaches the CPU's interrupt controllers. */
export type PlatformInterrupt =
  | { readonly kind: 'line'; readonly number: number; readonly level: boolean }
  | { readonly kind: 'edge'; readonly number: number }
  | { readonly kind: 'its'; readonly deviceId: number; readonly eventId: number }
  | { readonly kind: 'apic'; readonly destination: number; readonly vector: number };

/** Everything the model guest runs on. It knows nothing else of the machine. */
export interface GuestPlatform {
  /** The CPU's view of RAM: guest-physical addresses. */
  readonly memory: DmaSpace;
  readonly bus: MmioAccess;
  /** Interrupts since the last call, oldest first. */
  takeInterrupts(): readonly PlatformInterrupt[];
  /**
   * Lets devices do what they put off. False when nothing is left that could happen by itself: a
   * guest that still waits then waits for ever.
   */
  run(): boolean;
}

/** How the guest's CPU finds its firmware. */
export type GuestFirmware =
  | { readonly kind: 'device-tree'; readonly blob: Uint8Array }
  | {
      readonly kind: 'acpi';
      /** Memory that holds the tables. */
      readonly images: readonly { readonly base: bigint; readonly bytes: Uint8Array }[];
      readonly rsdp: bigint;
      /** RAM: on ACPI machines the boot loader tells, not a table. */
      readonly memory: readonly { readonly start: bigint; readonly end: bigint }[];
    };

/** The kernel that is imitated, where kernels differ. */
export interface KernelModel {
  readonly major: number;
  readonly minor: number;
  /** Bytes: 4096, 16384 or 65536. */
  readonly pageSize: bigint;
}
