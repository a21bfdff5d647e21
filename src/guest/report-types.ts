import type { Range } from '../bytes/index.ts';
import type { KernelEvent } from './kernel-log.ts';

/** A table or tree as the guest sees it. */
export interface GuestBlob {
  /** `fdt`, or the name of a file in `/sys/firmware/acpi/tables`: `VIOT`, `APIC`, `SSDT1`. */
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  /** Present when the guest sent them; they are `size` bytes with that hash. */
  readonly bytes?: Uint8Array;
}

export interface GuestIommu {
  /** What `/sys/class/iommu` calls it, after the device it is: `0000:00:02.0`. */
  readonly name: string;
  /** PCI function or platform device of the vIOMMU. */
  readonly at: string;
  readonly path: string;
  /** Devices behind it. */
  readonly devices: readonly string[];
}

export interface GuestGroup {
  readonly id: number;
  /** Of the default domain: `DMA`, `DMA-FQ`, `identity`, `blocked`, `unmanaged`. */
  readonly type: string;
  readonly devices: readonly string[];
  readonly reserved: readonly (Range & { readonly type: string })[];
}

export interface GuestPciFunction {
  /** `0000:00:03.0` */
  readonly at: string;
  readonly vendor: number;
  readonly device: number;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly class: number;
  readonly driver: string | undefined;
  readonly group: number | undefined;
  /** Name of the IOMMU in front of it. */
  readonly iommu: string | undefined;
  readonly bars: readonly (Range & { readonly index: number; readonly flags: bigint })[];
  readonly msi: readonly { readonly irq: number; readonly mode: string }[];
  /** Interrupts taken so far, over all of `msi` and all CPUs; absent without `msi`. */
  readonly interruptsTaken: number | undefined;
}

export interface GuestPlatformDevice {
  readonly at: string;
  /** Where its registers are, when `/proc/iomem` tells. */
  readonly base: bigint | undefined;
  readonly driver: string | undefined;
  readonly group: number | undefined;
  readonly iommu: string | undefined;
}

export interface GuestVirtioDevice {
  readonly name: string;
  readonly at: string;
  /** VIRTIO 1.3, "Device Types". */
  readonly device: number;
  readonly driver: string | undefined;
  /** Negotiated, bit 0 is feature 0. */
  readonly features: bigint;
}

/** The guest's devices at the moment of an `inventory` action. */
export interface GuestInventory {
  /** Number of the report line it begins with. */
  readonly number: number;
  readonly iommus: readonly GuestIommu[];
  readonly groups: readonly GuestGroup[];
  readonly pci: readonly GuestPciFunction[];
  readonly platform: readonly GuestPlatformDevice[];
  readonly virtio: readonly GuestVirtioDevice[];
  readonly blocks: readonly {
    readonly name: string;
    readonly at: string;
    readonly sectors: bigint;
  }[];
  readonly nets: readonly { readonly name: string; readonly at: string; readonly mac: string }[];
  readonly deferred: readonly { readonly device: string; readonly reason: string }[];
}

/** `0`: done; `absent`: no such device; `timeout`: stuck; any other: the program's exit code. */
export type GuestStatus = string;

/** The outcome of one action; `number` is that of its report line. */
export type GuestResult =
  | {
      readonly verb: 'disk';
      readonly number: number;
      readonly at: string;
      readonly status: GuestStatus;
      readonly name: string;
      /** Of the whole disk, in bytes. */
      readonly size: number;
      readonly offset: number;
      readonly bytes: number;
      readonly sha256: string;
      readonly error: string;
    }
  | {
      readonly verb: 'write';
      readonly number: number;
      readonly at: string;
      readonly status: GuestStatus;
      readonly name: string;
      readonly offset: number;
      readonly bytes: number;
      /** Of the pattern, and of what was read back. */
      readonly sha256: string;
      readonly reread: string;
      readonly error: string;
    }
  | {
      readonly verb: 'nic';
      readonly number: number;
      readonly at: string;
      readonly status: GuestStatus;
      readonly name: string;
      readonly target: string;
      /** Pings sent and answered. */
      readonly sent: number;
      readonly received: number;
      readonly rxBytes: number;
      readonly txBytes: number;
      readonly error: string;
    }
  | {
      readonly verb: 'edu';
      readonly number: number;
      /** Line that was written right before the DMA: faults of this DMA come after it. */
      readonly startNumber: number;
      readonly at: string;
      readonly status: GuestStatus;
      readonly dir: string;
      readonly group: number | undefined;
      readonly iova: bigint;
      readonly bytes: number;
      /** Guest-physical address of the watched page. */
      readonly gpa: bigint;
      /** Whether the watched page is another than before. */
      readonly changed: boolean;
    }
  | {
      readonly verb: 'dma';
      readonly number: number;
      readonly at: string;
      /** `none`: the machine knew no such address. */
      readonly status: GuestStatus;
      readonly aim: string;
      readonly dir: string;
      readonly group: number | undefined;
      readonly iova: bigint;
      /** The engine's STATUS register. */
      readonly state: number;
      /** Whether the watched page or the engine's buffer is another than before. */
      readonly changed: boolean;
    }
  | {
      readonly verb:
        | 'bind'
        | 'unbind'
        | 'type'
        | 'wait'
        | 'remove'
        | 'rescan'
        | 'mark'
        | 'awaited'
        | 'plug'
        | 'transfer'
        | 'vfio'
        | 'vfioend';
      readonly number: number;
      readonly at: string;
      /** `driver`, `group`, `type`, `tag`, `answer`, `error`, as the verb has them. */
      readonly fields: ReadonlyMap<string, string>;
    };

/** Everything a guest said. */
export interface GuestReport {
  /** The end was seen and no line is missing. */
  readonly complete: boolean;
  /** The end was seen; lines before it may be missing, so that not all it says is known. */
  readonly ended: boolean;
  /** Report lines read. */
  readonly lines: number;
  /** Numbers that never came. */
  readonly missing: number;
  /** Lines of the plan the guest did not understand, lines that did not parse. */
  readonly complaints: readonly string[];
  readonly release: string | undefined;
  readonly version: string | undefined;
  readonly cmdline: string;
  /** Seconds from the kernel's start to the init script's, and to its end. */
  readonly initTime: number | undefined;
  readonly endTime: number | undefined;
  readonly modules: readonly {
    readonly name: string;
    readonly status: GuestStatus;
    readonly error: string;
  }[];
  readonly firmware: ReadonlyMap<string, GuestBlob>;
  /** Oldest first. */
  readonly inventories: readonly GuestInventory[];
  readonly results: readonly GuestResult[];
  readonly kernel: readonly KernelEvent[];
  /** The last lines of the console, for when something broke. */
  readonly tail: readonly string[];
}
