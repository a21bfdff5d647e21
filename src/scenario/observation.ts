import type { Range } from '../bytes/index.ts';
import type { GuestCheck, TreeDescription, ViotDescription } from '../topology/index.ts';
import type { Diagnostic } from '../topology/index.ts';
import type { DeviceRecord } from './device-record.ts';
import type { Capability } from './events.ts';
import type { UserspaceObservation } from './userspace.ts';

/** Everything a backend saw of one run, in the same words whatever the backend. */
export interface Observation {
  readonly capabilities: ReadonlySet<Capability>;
  readonly device: DeviceRecord;
  readonly guest: GuestObservation;
  /** The firmware that was passed, set against the guest's own copy. */
  readonly firmware: readonly FirmwareComparison[];
  /** What the guest's own copy says (or what was passed, when the guest never got to tell). */
  readonly described: DescribedFirmware;
  readonly ending: Ending;
  readonly environment: Environment;
  /** The boot before this one, when the topology asks for a reboot. */
  readonly before?: Observation;
  /** Checks of the topology that this backend does not make. */
  readonly skipped: readonly GuestCheck[];
}

/** How the run ended. */
export interface Ending {
  readonly kind: 'completed' | 'time-limit' | 'silent' | 'panic' | 'machine-exited';
  /** One sentence with the figures: `no word from the guest for 60 s`. */
  readonly detail: string;
  /** The last lines of the console, oldest first. */
  readonly tail: readonly string[];
}

export interface FirmwareComparison {
  /** `device tree`, `VIOT`, `IORT` … */
  readonly name: string;
  readonly outcome: 'identical' | 'different' | 'missing' | 'unreadable';
  /** What differs, one line each, beyond what the backend is known to edit. */
  readonly differences: readonly string[];
  /** What the backend edits, in words: `/memory, /chosen`. */
  readonly edited: readonly string[];
  /** The image that was passed, and the guest's copy where it came out whole. */
  readonly passed?: Uint8Array;
  readonly seen?: Uint8Array;
  readonly passedSha256?: string;
  readonly seenSha256?: string;
}

/** The guest's firmware as its readers describe it, and what the rules say about it. */
export interface DescribedFirmware {
  /** `guest`: read from the copy in the guest. `passed`: from the bytes handed over. */
  readonly from: 'guest' | 'passed';
  readonly tree?: TreeDescription;
  readonly viot?: ViotDescription;
  /** Of `checkFacts` on those. */
  readonly diagnostics: readonly Diagnostic[];
}

/** The guest's report, normalised. All names are Linux's: `0000:00:03.0`, `a003c00.virtio_mmio`. */
export interface GuestObservation {
  /** Whether the init script came to speak at all. */
  readonly started: boolean;
  /** Whether it came to its last line. */
  readonly completed: boolean;
  /** `uname -r`. */
  readonly kernel?: string;
  readonly iommus: readonly GuestIommu[];
  readonly groups: readonly GuestGroup[];
  readonly devices: readonly GuestDevice[];
  /** Devices whose driver was still waiting at the end. */
  readonly deferred: readonly { readonly device: string; readonly reason: string }[];
  readonly disks: readonly DiskObservation[];
  readonly nics: readonly NicObservation[];
  readonly faultChecks: readonly FaultCheckObservation[];
  /** What was sent through NICs in earnest; absent: nobody looked. */
  readonly transfers?: readonly TransferObservation[];
  /** Devices that programs in the guest's user space drove; absent: nobody looked. */
  readonly userspace?: readonly UserspaceObservation[];
  readonly rebinds: readonly RebindObservation[];
  readonly plugs: readonly PlugObservation[];
  readonly overlaps: readonly OverlapObservation[];
  /** Kernel log, oldest first; bounded by the backend. */
  readonly log: readonly LogLine[];
}

export interface LogLine {
  /** Seconds since boot. */
  readonly time?: number;
  readonly text: string;
  /** What it means to this project, where it means anything. */
  readonly meaning?: LogMeaning;
}

/** The backend's reading of a kernel message; `guest` has the wordings. */
export interface LogMeaning {
  readonly code:
    | 'iommu-fault'
    | 'group-join'
    | 'group-leave'
    | 'oops'
    | 'warning'
    | 'panic'
    | 'deferred-timeout'
    | 'deferred-pending'
    | 'iommu-map-missing'
    | 'msi-map-missing'
    | 'iommu-map-invalid'
    | 'viot'
    | 'viommu-ready'
    | 'viommu-message'
    | 'dma-range'
    | 'probe-failed'
    | 'hang'
    | 'io-error';
  readonly endpoint?: number;
  readonly address?: bigint;
  readonly device?: string;
}

export interface GuestIommu {
  /** Name in `/sys/class/iommu`. */
  readonly name: string;
  /** The device it is: `0000:00:01.0`, `a000000.virtio_mmio`. */
  readonly device?: string;
  /** The endpoints it lists. */
  readonly endpoints: readonly string[];
}

export interface GuestGroup {
  readonly id: number;
  /** `DMA`, `DMA-FQ`, `identity`, `unmanaged` … */
  readonly type: string;
  readonly devices: readonly string[];
  readonly reserved: readonly { readonly range: Range; readonly type: string }[];
}

export interface GuestDevice {
  readonly name: string;
  readonly driver?: string;
  readonly group?: number;
  /** The device of the IOMMU it is linked to, or that IOMMU's name. */
  readonly iommu?: string;
  /** Interrupts it has set up; absent when the guest did not come to list them. */
  readonly interrupts?: {
    readonly kind: 'msi-x' | 'msi' | 'none';
    readonly vectors: number;
    /** Interrupts taken, over all vectors, where the guest counts them. */
    readonly count?: number;
  };
}

export interface DiskObservation {
  readonly device: string;
  readonly read?: { readonly bytes: number; readonly sha256: string };
  /** sha256 of the same bytes, from who made the disk. */
  readonly referenceSha256?: string;
  readonly write?: {
    readonly bytes: number;
    /** Of what the guest meant to write. */
    readonly sha256: string;
    /** Of what it read back. */
    readonly readBackSha256?: string;
    /** Of what lies in the disk's backing file afterwards. */
    readonly backingSha256?: string;
  };
  readonly error?: string;
}

export interface NicObservation {
  readonly device: string;
  readonly sent?: number;
  readonly received?: number;
  /** What was tried: `ping`, `dhcp`, `http`. */
  readonly method: string;
  readonly ok: boolean;
  readonly error?: string;
}

/** DHCP, ping and TCP through one NIC. */
export interface TransferObservation {
  readonly device: string;
  /** By DHCP. */
  readonly address?: string;
  readonly error?: string;
  readonly pinged: boolean;
  readonly sent?: TransferStep;
  readonly taken?: TransferStep;
  /** What the CRC-32 of either must be, in hexadecimal. */
  readonly reference: { readonly sent: string; readonly taken: string };
}

export interface TransferStep {
  /** CRC-32 of what arrived, as who got it says; empty when nobody said anything. */
  readonly crc: string;
  /** Of the guest's time. */
  readonly seconds?: number;
  readonly error?: string;
}

/** A driver that was taken away and given back. */
export interface RebindObservation {
  readonly device: string;
  /** Driver afterwards. */
  readonly driver?: string;
  readonly error?: string;
}

/** A device that was plugged in while the guest ran. */
export interface PlugObservation {
  readonly device: string;
  readonly driver?: string;
  readonly group?: number;
}

/** A MAP sent on purpose over a live mapping. */
export interface OverlapObservation {
  readonly device: string;
  readonly virt: Range;
  /** Status that the vIOMMU answered. */
  readonly status: number;
}

/** What a DMA of a fault check was aimed at. */
export type FaultAim = 'unmapped' | 'read-only' | 'reserved' | 'foreign';

/** A DMA sent on purpose to an address where it is not allowed. */
export interface FaultCheckObservation {
  readonly device: string;
  readonly aim: FaultAim;
  readonly address: bigint;
  readonly write: boolean;
  /** Whether the memory it aimed at (or read into) kept its content. Absent: not found out. */
  readonly memoryUnchanged?: boolean;
  /** Whether the device said it was done; without it the check never ran. */
  readonly ran: boolean;
  readonly error?: string;
}

/** What the run was made of; printed with every verdict. */
export interface Environment {
  readonly backend: string;
  readonly kernel?: {
    readonly release: string;
    readonly sha256?: string;
    readonly origin?: string;
  };
  readonly initramfsSha256?: string;
  /** The machine: `QEMU 7.2.22`. */
  readonly machine?: string;
  /** `kvm` or `tcg`, and why. */
  readonly accelerator?: { readonly name: string; readonly why: string };
  /** Where the guest's firmware came from. */
  readonly firmware?: string;
  /** Which of the two kinds the guest was given. */
  readonly firmwareKind?: 'device-tree' | 'acpi';
  /** The command line that repeats the run. */
  readonly command?: readonly string[];
  readonly seed?: string;
  /** Seconds. */
  readonly timings: Readonly<Record<string, number>>;
  /** The serial log that was kept. */
  readonly serialLog?: string;
  /** Anything else, in order. */
  readonly notes: readonly string[];
}
