import { sizeOf } from '../../bytes/index.ts';
import { VIRTIO_IOMMU_MAP_F_READ, VIRTIO_IOMMU_MAP_F_WRITE } from '../../spec/virtio-iommu.ts';
import type { DeviceEvent } from '../../scenario/index.ts';
import type { Model } from '../../topology/index.ts';
import { endpointNames } from './names.ts';
import type { RecordedRun } from './recorder.ts';

/** One letter for each kind of event, in the order of the page's legend. */
const LETTERS = {
  probe: 'p',
  attach: 'a',
  detach: 'd',
  map: 'm',
  unmap: 'u',
  translated: 't',
  bypassed: 'b',
  msi: 'i',
  fault: 'f',
  'host-call': 'h',
  'host-fault': 'g',
} as const;

const HOST_CALLS = { map: 'm', unmap: 'u', 'unmap-all': 'a' } as const;
const REASONS = { unknown: '?', domain: 'd', mapping: 'm' } as const;

/** Digits of a fraction of a second: events are nearer to each other than a microsecond. */
const TICKS = 1e7;

/**
 * Events as the page's script reads them (templates/report/data.js): one column for each field, so
 * that a hundred thousand of them stay a few megabytes. Addresses are hexadecimal without `0x`.
 */
export interface PageEvents {
  /** What `at` counts: ticks of 100 ns since the machine started, or events where there is no clock. */
  readonly clock: 'time' | 'order';
  readonly kinds: string;
  /** Row of `endpoints`; of `domains` for map and unmap. */
  readonly who: readonly number[];
  /** Distance from the event before. */
  readonly at: readonly number[];
  /** Address, separated by blanks; `-` where there is none. */
  readonly address: string;
  /** Bytes; `-` where they are not known. */
  readonly size: string;
  /** Of each map: the physical address. */
  readonly physical: string;
  /** One letter each: `r`, `w`, `x` (read and write); a fault's reason in `reasons`. */
  readonly flags: string;
  /** Of each fault: `?`, `d` (domain) or `m` (mapping). */
  readonly reasons: string;
  /** Of each attach and detach: its row of `domains`. */
  readonly domain: readonly number[];
  /** Event → status, where it is not OK. */
  readonly status: Readonly<Record<number, number>>;
  readonly endpoints: readonly PageEndpoint[];
  readonly domains: readonly { readonly viommu: string; readonly domain: number }[];
}

export interface PageEndpoint {
  readonly name: string;
  readonly id: number;
  readonly viommu: string;
  /** The element of the drawing that stands for it. */
  readonly drawn?: string;
}

/** Rows of a table that are found by their key. */
class Rows<T> {
  readonly rows: T[] = [];
  readonly #index = new Map<string, number>();

  of(key: string, make: () => T): number {
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    this.#index.set(key, this.rows.length);
    this.rows.push(make());
    return this.rows.length - 1;
  }
}

export function encodeEvents(model: Model, run: RecordedRun): PageEvents {
  const clock = run.events.every(({ time }) => time !== undefined) ? 'time' : 'order';
  const nameOf = endpointNames(model);
  const endpoints = new Rows<PageEndpoint>();
  const domains = new Rows<{ viommu: string; domain: number }>();
  const endpointRow = ({ viommu = '' }: DeviceEvent, id: number): number =>
    endpoints.of(`${viommu}/${id}`, () => ({ ...nameOf(viommu, id), id, viommu }));
  const domainRow = ({ viommu = '' }: DeviceEvent, domain: number): number =>
    domains.of(`${viommu}/${domain}`, () => ({ viommu, domain }));
  const out = {
    kinds: [] as string[],
    who: [] as number[],
    at: [] as number[],
    address: [] as string[],
    size: [] as string[],
    physical: [] as string[],
    flags: [] as string[],
    reasons: [] as string[],
    domain: [] as number[],
    status: {} as Record<number, number>,
  };
  let last = 0;
  for (const [index, event] of run.events.entries()) {
    const now = clock === 'time' ? Math.round((event.time ?? 0) * TICKS) : index;
    out.at.push(Math.max(0, now - last));
    last = Math.max(last, now);
    if (event.status !== undefined && event.status !== 0) out.status[index] = event.status;
    out.kinds.push(LETTERS[event.kind === 'access' ? event.how : event.kind]);
    const isMapping = event.kind === 'map' || event.kind === 'unmap';
    out.who.push(isMapping ? domainRow(event, event.domain) : endpointRow(event, event.endpoint));
    const { address, size, flags } = fieldsOf(event);
    out.address.push(address);
    out.size.push(size);
    out.flags.push(flags);
    if (event.kind === 'map') out.physical.push(event.phys.toString(16));
    if (event.kind === 'fault') out.reasons.push(REASONS[event.reason]);
    if (event.kind === 'attach' || event.kind === 'detach') {
      out.domain.push(domainRow(event, event.domain));
    }
  }
  return {
    clock,
    kinds: out.kinds.join(''),
    who: out.who,
    at: out.at,
    address: out.address.join(' '),
    size: out.size.join(' '),
    physical: out.physical.join(' '),
    flags: out.flags.join(''),
    reasons: out.reasons.join(''),
    domain: out.domain,
    status: out.status,
    endpoints: endpoints.rows,
    domains: domains.rows,
  };
}

interface Fields {
  readonly address: string;
  readonly size: string;
  readonly flags: string;
}

const NO_FIELDS: Fields = { address: '-', size: '-', flags: '-' };

function fieldsOf(event: DeviceEvent): Fields {
  switch (event.kind) {
    case 'map': {
      const { virt, flags } = event;
      const read = (flags & VIRTIO_IOMMU_MAP_F_READ) !== 0;
      const write = (flags & VIRTIO_IOMMU_MAP_F_WRITE) !== 0;
      const letter = read ? (write ? 'x' : 'r') : write ? 'w' : '-';
      return { ...rangeFields(virt), flags: letter };
    }
    case 'unmap':
      return { ...rangeFields(event.virt), flags: '-' };
    case 'access': {
      const { iova, length, write } = event;
      const size = length === undefined ? '-' : length.toString(16);
      return { address: iova.toString(16), size, flags: write ? 'w' : 'r' };
    }
    case 'fault': {
      const { address, write } = event;
      const flags = write === undefined ? '-' : write ? 'w' : 'r';
      return { address: address?.toString(16) ?? '-', size: '-', flags };
    }
    case 'host-call': {
      const { virt, call } = event;
      const range = virt === undefined ? NO_FIELDS : { ...NO_FIELDS, ...rangeFields(virt) };
      return { ...range, flags: HOST_CALLS[call] };
    }
    case 'host-fault':
      return { address: event.address.toString(16), size: '-', flags: event.write ? 'w' : 'r' };
    case 'msi':
      return { address: event.address.toString(16), size: '-', flags: 'w' };
    case 'attach':
      return { ...NO_FIELDS, flags: event.bypass === true ? 'b' : '-' };
    default:
      return NO_FIELDS;
  }
}

function rangeFields(range: { readonly start: bigint; readonly end: bigint }): {
  readonly address: string;
  readonly size: string;
} {
  return { address: range.start.toString(16), size: sizeOf(range).toString(16) };
}
