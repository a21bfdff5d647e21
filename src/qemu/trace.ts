import type { Range } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_FAULT_F_ADDRESS,
  VIRTIO_IOMMU_FAULT_F_WRITE,
  VIRTIO_IOMMU_FAULT_R_DOMAIN,
  VIRTIO_IOMMU_FAULT_R_MAPPING,
  VIRTIO_IOMMU_RESV_MEM_T_MSI,
} from '../spec/virtio-iommu.ts';

/**
 * What QEMU's virtio-iommu tells through its trace points, typed.
 *
 * QEMU does not say which vIOMMU an event belongs to, nor how a request ended; with two vIOMMUs
 * only the endpoint tells them apart. Numbers that QEMU prints as signed are made unsigned here.
 */
export type TraceEvent = TraceBase &
  (
    | { readonly kind: 'features'; readonly features: bigint }
    | { readonly kind: 'status'; readonly status: number }
    | { readonly kind: 'reset'; readonly system: boolean }
    | TraceConfig
    | { readonly kind: 'set-config'; readonly bypass: boolean }
    /** PROBE answered with a region. An endpoint without regions leaves no trace of its PROBE. */
    | {
        readonly kind: 'probe-region';
        readonly endpoint: number;
        readonly type: 'reserved' | 'msi';
        readonly range: Range;
      }
    | { readonly kind: 'attach' | 'detach'; readonly domain: number; readonly endpoint: number }
    | {
        readonly kind: 'map';
        readonly domain: number;
        readonly virt: Range;
        readonly phys: bigint;
        /** VIRTIO_IOMMU_MAP_F_*. */
        readonly flags: number;
      }
    | { readonly kind: 'unmap' | 'unmap-done'; readonly domain: number; readonly virt: Range }
    | {
        readonly kind: 'endpoint' | 'endpoint-gone';
        readonly endpoint: number;
      }
    | { readonly kind: 'domain' | 'domain-gone'; readonly domain: number }
    | {
        readonly kind: 'translate';
        readonly region: string;
        readonly rid: number;
        readonly iova: bigint;
        /** IOMMU_RO 1, IOMMU_WO 2, IOMMU_RW 3. */
        readonly flag: number;
      }
    | {
        readonly kind: 'translated';
        readonly endpoint: number;
        readonly iova: bigint;
        readonly phys: bigint;
      }
    | {
        readonly kind: 'fault';
        readonly reason: 'unknown' | 'domain' | 'mapping';
        readonly endpoint: number;
        readonly write: boolean;
        readonly address?: bigint;
      }
    /** The device refused an access; QEMU's error message, not a trace point. */
    | { readonly kind: 'complaint'; readonly endpoint: number; readonly message: string }
  );

export interface TraceBase {
  /** Seconds since the epoch, with `-msg timestamp=on`. */
  readonly time?: number;
  /** The line itself. */
  readonly text: string;
}

export interface TraceConfig {
  readonly kind: 'config';
  readonly pageSizeMask: bigint;
  readonly inputRange: Range;
  readonly domainRange: Range<number>;
  readonly probeSize: number;
  readonly bypass: boolean;
}

type Body = TraceEvent extends infer T
  ? T extends TraceBase
    ? Omit<T, keyof TraceBase>
    : never
  : never;
type Groups = Readonly<Record<string, string>>;

const big = (g: Groups, name: string): bigint => BigInt.asUintN(64, BigInt(g[name] ?? '0'));
const u32 = (g: Groups, name: string): number => Number(BigInt.asUintN(32, BigInt(g[name] ?? '0')));
const virt = (g: Groups): Range => ({ start: big(g, 'start'), end: big(g, 'end') });

const HEX = '0x[0-9a-f]{1,16}';
const INT = '-?\\d{1,10}';

interface Shape {
  readonly pattern: RegExp;
  readonly make: (groups: Groups) => Body;
}

const shape = (pattern: string, make: Shape['make']): Shape => ({
  pattern: new RegExp(`^${pattern}$`),
  make,
});

/** One entry per trace point of QEMU's hw/virtio/trace-events, 7.2 to 11.1. */
const SHAPES: ReadonlyMap<string, Shape> = new Map([
  [
    'get_features',
    shape(`device supports features=(?<f>${HEX})`, (g) => ({
      kind: 'features',
      features: big(g, 'f'),
    })),
  ],
  [
    'device_status',
    shape(`driver status = (?<s>${INT})`, (g) => ({ kind: 'status', status: u32(g, 's') })),
  ],
  ['device_reset', shape('reset!', () => ({ kind: 'reset', system: false }))],
  ['device_reset_exit', shape('reset!', () => ({ kind: 'reset', system: false }))],
  ['system_reset', shape('system reset!', () => ({ kind: 'reset', system: true }))],
  [
    'get_config',
    shape(
      `page_size_mask=(?<mask>${HEX}) input range start=(?<start>${HEX}) input range end=(?<end>${HEX}) ` +
        `domain range start=(?<ds>${INT}) domain range end=(?<de>${INT}) probe_size=(?<probe>${HEX}) bypass=(?<bypass>${HEX})`,
      (g) => ({
        kind: 'config',
        pageSizeMask: big(g, 'mask'),
        inputRange: virt(g),
        domainRange: { start: u32(g, 'ds'), end: u32(g, 'de') },
        probeSize: u32(g, 'probe'),
        bypass: big(g, 'bypass') !== 0n,
      }),
    ),
  ],
  [
    'set_config',
    shape(`bypass=(?<b>${HEX})`, (g) => ({ kind: 'set-config', bypass: big(g, 'b') !== 0n })),
  ],
  [
    'fill_resv_property',
    shape(
      `dev= ?(?<ep>${INT}), type=(?<type>${INT}) start=(?<start>${HEX}) end=(?<end>${HEX})`,
      (g) => ({
        kind: 'probe-region',
        endpoint: u32(g, 'ep'),
        type: u32(g, 'type') === VIRTIO_IOMMU_RESV_MEM_T_MSI ? 'msi' : 'reserved',
        range: virt(g),
      }),
    ),
  ],
  [
    'attach',
    shape(`domain=(?<d>${INT}) endpoint=(?<ep>${INT})`, (g) => ({
      kind: 'attach',
      domain: u32(g, 'd'),
      endpoint: u32(g, 'ep'),
    })),
  ],
  [
    'detach',
    shape(`domain=(?<d>${INT}) endpoint=(?<ep>${INT})`, (g) => ({
      kind: 'detach',
      domain: u32(g, 'd'),
      endpoint: u32(g, 'ep'),
    })),
  ],
  [
    'map',
    shape(
      `domain=(?<d>${INT}) virt_start=(?<start>${HEX}) virt_end=(?<end>${HEX}) phys_start=(?<phys>${HEX}) flags=(?<flags>${INT})`,
      (g) => ({
        kind: 'map',
        domain: u32(g, 'd'),
        virt: virt(g),
        phys: big(g, 'phys'),
        flags: u32(g, 'flags'),
      }),
    ),
  ],
  [
    'unmap',
    shape(`domain=(?<d>${INT}) virt_start=(?<start>${HEX}) virt_end=(?<end>${HEX})`, (g) => ({
      kind: 'unmap',
      domain: u32(g, 'd'),
      virt: virt(g),
    })),
  ],
  [
    'unmap_done',
    shape(`domain=(?<d>${INT}) virt_start=(?<start>${HEX}) virt_end=(?<end>${HEX})`, (g) => ({
      kind: 'unmap-done',
      domain: u32(g, 'd'),
      virt: virt(g),
    })),
  ],
  [
    'get_endpoint',
    shape(`Alloc endpoint=(?<ep>${INT})`, (g) => ({ kind: 'endpoint', endpoint: u32(g, 'ep') })),
  ],
  [
    'put_endpoint',
    shape(`Free endpoint=(?<ep>${INT})`, (g) => ({
      kind: 'endpoint-gone',
      endpoint: u32(g, 'ep'),
    })),
  ],
  [
    'get_domain',
    shape(`Alloc domain=(?<d>${INT})`, (g) => ({ kind: 'domain', domain: u32(g, 'd') })),
  ],
  [
    'put_domain',
    shape(`Free domain=(?<d>${INT})`, (g) => ({ kind: 'domain-gone', domain: u32(g, 'd') })),
  ],
  [
    'translate',
    shape(
      `mr=(?<mr>\\S{1,200}) rid=(?<rid>${INT}) addr=(?<iova>${HEX}) flag=(?<flag>${INT})`,
      (g) => ({
        kind: 'translate',
        region: g['mr'] ?? '',
        rid: u32(g, 'rid'),
        iova: big(g, 'iova'),
        flag: u32(g, 'flag'),
      }),
    ),
  ],
  [
    'translate_out',
    shape(`(?<iova>${HEX}) -> (?<phys>${HEX}) for sid=(?<ep>${INT})`, (g) => ({
      kind: 'translated',
      endpoint: u32(g, 'ep'),
      iova: big(g, 'iova'),
      phys: big(g, 'phys'),
    })),
  ],
  [
    'report_fault',
    shape(
      `FAULT reason=(?<r>${INT}) flags=(?<f>${INT}) endpoint=(?<ep>${INT}) address =(?<a>${HEX})`,
      makeFault,
    ),
  ],
]);

function makeFault(g: Groups): Body {
  const flags = u32(g, 'f');
  return {
    kind: 'fault',
    reason: faultReason(u32(g, 'r')),
    endpoint: u32(g, 'ep'),
    write: (flags & VIRTIO_IOMMU_FAULT_F_WRITE) !== 0,
    // Without the flag the field holds nothing (VIRTIO 1.3, IOMMU Device / Fault reporting).
    ...((flags & VIRTIO_IOMMU_FAULT_F_ADDRESS) === 0 ? {} : { address: big(g, 'a') }),
  };
}

function faultReason(reason: number): 'unknown' | 'domain' | 'mapping' {
  if (reason === VIRTIO_IOMMU_FAULT_R_DOMAIN) return 'domain';
  return reason === VIRTIO_IOMMU_FAULT_R_MAPPING ? 'mapping' : 'unknown';
}

const LINE =
  /^(?:\d{1,10}@(?<time>\d{1,12}\.\d{1,9}):)?virtio_iommu_(?<name>[a-z_]{1,40}) ?(?<rest>.*)$/;
// error_report() of virtio_iommu_translate(): "sid=16 is not known!!", "no mapping for 0x.. for sid=16".
const COMPLAINT =
  /^(?:\S{1,40} )?\S{1,200}: (?<message>virtio_iommu_translate .{0,80}?\bsid=(?<sid>\d{1,10})\b.{0,200})$/;

/**
 * One line of QEMU's standard error: a trace event, or undefined for anything else (other trace
 * points, error messages, half lines). Never throws.
 */
export function parseTraceLine(text: string): TraceEvent | undefined {
  const groups = LINE.exec(text)?.groups;
  if (groups === undefined) return parseComplaint(text);
  const known = SHAPES.get(groups['name'] ?? '');
  const fields = known?.pattern.exec(groups['rest'] ?? '');
  if (known === undefined || fields === null || fields === undefined) return undefined;
  const time = groups['time'];
  return {
    ...known.make(fields.groups ?? {}),
    ...(time === undefined ? {} : { time: Number(time) }),
    text,
  } as TraceEvent;
}

function parseComplaint(text: string): TraceEvent | undefined {
  const groups = COMPLAINT.exec(text)?.groups;
  if (groups === undefined) return undefined;
  return {
    kind: 'complaint',
    endpoint: Number(groups['sid']),
    message: groups['message'] ?? '',
    text,
  };
}

/** How much is traced. `accesses` adds every DMA access: thousands of lines per second. */
export type TraceLevel = 'none' | 'requests' | 'accesses';

const REQUEST_EVENTS: readonly string[] = [
  'get_features',
  'device_status',
  'get_config',
  'set_config',
  'fill_resv_property',
  'attach',
  'detach',
  'map',
  'unmap',
  'unmap_done',
  'get_endpoint',
  'put_endpoint',
  'get_domain',
  'put_domain',
  'report_fault',
];

/** The names to give to `-trace`, in a fixed order. */
export function traceEvents(level: TraceLevel): readonly string[] {
  if (level === 'none') return [];
  const names =
    level === 'requests' ? REQUEST_EVENTS : [...REQUEST_EVENTS, 'translate', 'translate_out'];
  return names.map((name) => `virtio_iommu_${name}`);
}
