/**
 * What a DMA is aimed at: nothing at all, a mapping that may only be read, a reserved region, an
 * address that only another endpoint's domain has.
 */
export type Aim = 'unmapped' | 'read-only' | 'reserved' | 'foreign';

/** What the init script is to do, in this order; `at` is a device, see {@link deviceAt}. */
export type GuestAction =
  /** Asks the machine for the plan to go on with, of as many lines as it has (protocol 1). */
  | { readonly verb: 'plan'; readonly protocol: 1 }
  /** Loads the modules of the initramfs. Nothing is loaded before a plan says so. */
  | { readonly verb: 'modules' }
  /** Device tree and ACPI tables as this guest sees them. */
  | { readonly verb: 'firmware' }
  /** IOMMUs, groups, reserved regions, devices and their drivers, as they are now. */
  | { readonly verb: 'inventory' }
  /** Messages from before the init script, for a boot with `quiet`. */
  | { readonly verb: 'klog' }
  | { readonly verb: 'rescan' }
  /** Reads bytes past the page cache and hashes them; without `bytes`, the whole disk. */
  | {
      readonly verb: 'disk';
      readonly at: string;
      /** Bytes; multiples of 512. */
      readonly offset?: number;
      readonly bytes?: number;
      readonly timeout?: number;
    }
  /** Writes `seed` and a newline over and over, reads it back past the page cache. */
  | {
      readonly verb: 'write';
      readonly at: string;
      /** Bytes; multiples of 512. Default 0 and 65536. */
      readonly offset?: number;
      readonly bytes?: number;
      readonly seed?: string;
      readonly timeout?: number;
    }
  /** Brings the interface up and pings `target` through it. */
  | {
      readonly verb: 'nic';
      readonly at: string;
      /** Default 10.0.2.2, the host on QEMU's user network. */
      readonly target?: string;
      /** With prefix length; default 10.0.2.15/24. */
      readonly address?: string;
      readonly count?: number;
      /** Payload of one packet; default 1400. */
      readonly bytes?: number;
      readonly timeout?: number;
    }
  /** One DMA of QEMU's `edu` device, without a mapping made for it. */
  | {
      readonly verb: 'edu';
      readonly at: string;
      /** `write`: device to memory; `read`: memory to device. */
      readonly dir: 'read' | 'write';
      /** Default `watch`: the physical address of a page whose content is watched. */
      readonly iova?: bigint | 'watch';
      /** Default 4: more bring one fault message each word, and Linux prints ten in 5 s. */
      readonly bytes?: number;
      /** `false`: do not bind `pci-stub` first. */
      readonly stub?: boolean;
    }
  /**
   * One DMA of 4 bytes by our DMA engine, at an address of the kind asked for; the machine says
   * which.
   */
  | {
      readonly verb: 'dma';
      readonly at: string;
      /** `write`: device to memory; `read`: memory to device. */
      readonly dir: 'read' | 'write';
      readonly aim: Aim;
    }
  /** The machine plugs the device in; waits until it has a driver. */
  | { readonly verb: 'plug'; readonly at: string; readonly timeout?: number }
  /** Binds `driver`, or whichever driver matches. */
  | { readonly verb: 'bind'; readonly at: string; readonly driver?: string }
  | { readonly verb: 'unbind'; readonly at: string }
  | { readonly verb: 'remove'; readonly at: string }
  /** Changes the default domain of the device's group; its drivers must be unbound. */
  | {
      readonly verb: 'type';
      readonly at: string;
      readonly to: 'identity' | 'DMA' | 'DMA-FQ' | 'auto';
    }
  /** Waits until a driver is bound. */
  | { readonly verb: 'wait'; readonly at: string; readonly timeout?: number }
  | { readonly verb: 'mark'; readonly tag: string }
  | { readonly verb: 'sleep'; readonly seconds: number }
  /** A shell on the machine's first UART, until it is left; needs `SHELL_FILES` in the initramfs. */
  | { readonly verb: 'shell'; readonly rows: number; readonly columns: number }
  /** Stands still until a line comes from the console. */
  | { readonly verb: 'await'; readonly tag: string; readonly timeout?: number }
  /** Hands the device to qemu/vfio-dma in the guest's user space; its arguments are these. */
  | {
      readonly verb: 'vfio';
      readonly at: string;
      /** I/O virtual address of its buffer, and how large that is. */
      readonly iova: bigint;
      readonly bytes: number;
      /** Addresses that cannot be mapped: past the range, and reserved. */
      readonly beyond?: bigint;
      readonly reserved?: bigint;
      /** Mappings to make at once, in order to have some refused. */
      readonly many?: number;
      /** 1: tells VFIO to go without isolated interrupts. */
      readonly unsafe?: number;
      readonly timeout?: number;
    }
  /** DHCP, ping and TCP each way, with checksums, by qemu/init/transfer.sh. */
  | {
      readonly verb: 'transfer';
      readonly at: string;
      readonly bytes: number;
      /** What is sent: this and a newline over and over. */
      readonly seed: string;
      readonly timeout?: number;
    }
  /** In the end the guest reboots instead of powering off. */
  | { readonly verb: 'reboot' };

/** Values need no encoding: whatever else there is would be a mistake of the caller. */
const PLAN_VALUE = /^[A-Za-z0-9_.:,/@+-]+$/u;

/**
 * The text of `/viommu/plan`: a line for each action, `verb key=value …`.
 *
 * Throws `RangeError` for a value with blanks or shell characters in it, and for byte counts that
 * are not multiples of 512 on a disk.
 */
export function formatPlan(actions: readonly GuestAction[]): string {
  return actions.map((action) => `${formatAction(action)}\n`).join('');
}

function formatAction(action: GuestAction): string {
  const words: string[] = [action.verb];
  for (const [key, value] of Object.entries(action) as [string, unknown][]) {
    if (key === 'verb' || value === undefined) continue;
    const text = planValue(value);
    if (!PLAN_VALUE.test(text)) throw new RangeError(`plan: ${action.verb} ${key}=${text}`);
    words.push(`${key}=${text}`);
  }
  if (action.verb === 'disk' || action.verb === 'write') {
    if ((action.offset ?? 0) % 512 !== 0 || (action.bytes ?? 0) % 512 !== 0)
      throw new RangeError(`plan: ${words.join(' ')}: not a multiple of 512 bytes`);
  }
  return words.join(' ');
}

function planValue(value: unknown): string {
  if (value === true) return 'yes';
  if (value === false) return 'no';
  return typeof value === 'bigint' ? `0x${value.toString(16)}` : String(value);
}

/**
 * How a plan names a device, which does not depend on the order in which Linux finds devices: a PCI
 * function by segment, bus, device and function (`0000:00:03.0`), an MMIO device by its base address.
 */
export function deviceAt(
  where: { readonly segment?: number; readonly requesterId: number } | { readonly base: bigint },
): string {
  if ('base' in where) return `mmio:0x${where.base.toString(16)}`;
  const { segment = 0, requesterId } = where;
  const bus = digits(requesterId >> 8, 2);
  const device = digits((requesterId >> 3) & 0x1f, 2);
  return `${digits(segment, 4)}:${bus}:${device}.${requesterId & 7}`;
}

function digits(value: number, width: number): string {
  return value.toString(16).padStart(width, '0');
}
