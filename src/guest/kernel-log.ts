/** What a message of the guest's kernel means to this project. */
export type KernelEventCode =
  /** The vIOMMU reported an access it refused: `endpoint`, `address`, `flags`, `reason`. */
  | 'iommu-fault'
  /** A device joined or left an IOMMU group: `device`, `group`. */
  | 'group-join'
  | 'group-leave'
  /** The kernel crashed: `function` where it is known. */
  | 'oops'
  | 'warning'
  | 'panic'
  /** A device's IOMMU did not come, and the kernel goes on without: `device`. */
  | 'deferred-timeout'
  | 'deferred-pending'
  /** `iommu-map` or `msi-map` has nothing for a requester ID: `id`. Normal for the vIOMMU itself. */
  | 'iommu-map-missing'
  | 'msi-map-missing'
  | 'iommu-map-invalid'
  /** Any message about the VIOT. */
  | 'viot'
  /** The vIOMMU driver is up. */
  | 'viommu-ready'
  /** Any other message of the vIOMMU driver. */
  | 'viommu-message'
  | 'dma-range'
  /** A driver gave up on a device: `device`, `error` (negative errno). */
  | 'probe-failed'
  /** I/O that does not come back, a stalled CPU. */
  | 'hang'
  | 'io-error';

/** A classified message. */
export interface KernelEvent {
  readonly code: KernelEventCode;
  /** Seconds since the kernel started. */
  readonly time: number;
  /** The message, without its time stamp. */
  readonly text: string;
  /** Number of the last report line before it: what the guest was doing. */
  readonly after: number;
  readonly device?: string;
  readonly endpoint?: number;
  readonly address?: bigint;
  /** `R`, `W`, `X`, as far as the device says; QEMU says none. */
  readonly flags?: string;
  readonly reason?: string;
  readonly group?: number;
  readonly id?: number;
  readonly error?: number;
  readonly function?: string;
}

type Details = Partial<Omit<KernelEvent, 'code' | 'time' | 'text' | 'after'>>;
type Rule = readonly [KernelEventCode, RegExp, ((match: readonly string[]) => Details)?];

const device = (match: readonly string[]): Details => ({ device: match[1] ?? '' });
const id = (match: readonly string[]): Details => ({ id: Number(match[1]) });
const failure = (match: readonly string[]): Details => ({
  device: match[1] ?? '',
  error: Number(match[2]),
});

/** The first rule that matches decides. Wordings of Linux 6.12 and 7.x. */
const RULES: readonly Rule[] = [
  [
    'iommu-fault',
    /^virtio_iommu (\S+): (\w+) fault from EP (\d{1,10})(?: at (0x[0-9a-f]{1,16}|0))? \[([RWX]*)\]/u,
    (match) => ({
      device: match[1] ?? '',
      reason: match[2] ?? '',
      endpoint: Number(match[3]),
      ...(match[4] === undefined ? {} : { address: BigInt(match[4]) }),
      flags: match[5] ?? '',
    }),
  ],
  ['group-join', /(\S+): Adding to iommu group (\d{1,9})/u, group],
  ['group-leave', /(\S+): Removing from iommu group (\d{1,9})/u, group],
  ['panic', /Kernel panic - not syncing/u],
  [
    'oops',
    /^(?:Unable to handle kernel|BUG: |Internal error: |Oops: |kernel BUG at|general protection fault)/u,
  ],
  ['warning', /^WARNING: .*? at \S+ ([\w.]+)\+0x/u, (match) => ({ function: match[1] ?? '' })],
  ['deferred-timeout', /(\S+): deferred probe timeout, ignoring dependency/u, device],
  ['deferred-pending', /(\S+): deferred probe pending/u, device],
  ['iommu-map-missing', /no iommu-map translation for id (0x[0-9a-f]{1,8})/u, id],
  ['msi-map-missing', /no msi-map translation for id (0x[0-9a-f]{1,8})/u, id],
  ['iommu-map-invalid', /(?:Bad iommu-map length|Invalid iommu-map|could not get #iommu-cells)/u],
  ['probe-failed', /(\S+): probe with driver \S+ failed with error (-\d{1,5})/u, failure],
  ['probe-failed', /probe of (\S+) failed with error (-\d{1,5})/u, failure],
  ['viot', /VIOT/u],
  ['viommu-ready', /^virtio_iommu (\S+): (?:input address|page mask): /u, device],
  ['viommu-message', /^virtio_iommu (\S+): /u, device],
  ['viommu-message', /(\S+): failed to parse viommu prop/u, device],
  ['dma-range', /specified DMA range outside IOMMU capability/u],
  ['hang', /blocked for more than \d+ seconds|rcu.*detected stall|soft lockup|hard LOCKUP/u],
  ['hang', /NETDEV WATCHDOG|nvme.*timeout|ata\d.*(?:timeout|qc timeout)/u],
  ['io-error', /I\/O error, dev (\S+),/u, device],
];

function group(match: readonly string[]): Details {
  return { device: match[1] ?? '', group: Number(match[2]) };
}

/** `pc : viommu_probe_device+0x1c/0x1d8` on arm64, `RIP: 0010:viommu_probe_device+0x20/0x190` on x86. */
const CRASH_PLACE = /^(?:pc : |RIP: [0-9a-f]{4}:)([\w.]+)\+0x/u;

/** Collects what the kernel said; bounded, and never throws. */
export class KernelLog {
  readonly #events: KernelEvent[] = [];
  readonly #seen = new Set<string>();
  /** A guest that faults without end must not fill our memory. */
  static readonly EVENTS_MAX = 10_000;

  get events(): readonly KernelEvent[] {
    return this.#events;
  }

  /** `after`: number of the last report line. A message that was seen before is ignored. */
  add(time: number, text: string, after: number): KernelEvent | undefined {
    const place = CRASH_PLACE.exec(text)?.[1];
    if (place !== undefined) this.#nameCrash(place);
    const event = classify(text);
    if (event === undefined || this.#events.length >= KernelLog.EVENTS_MAX) return undefined;
    const key = `${time.toFixed(6)} ${text}`;
    if (this.#seen.has(key)) return undefined;
    this.#seen.add(key);
    const whole = { ...event, time, text, after };
    this.#events.push(whole);
    return whole;
  }

  /** The place comes some lines after the message; only the first counts, later ones are echoes. */
  #nameCrash(place: string): void {
    for (let index = this.#events.length - 1; index >= 0; index--) {
      const event = this.#events[index];
      if (event?.code !== 'oops') continue;
      if (event.function === undefined) this.#events[index] = { ...event, function: place };
      else return;
    }
  }
}

/** What one message means, or undefined when it means nothing here. */
export function classify(text: string): (Pick<KernelEvent, 'code'> & Details) | undefined {
  for (const [code, pattern, details] of RULES) {
    const match = pattern.exec(text);
    if (match !== null) return { code, ...details?.(match) };
  }
  return undefined;
}
