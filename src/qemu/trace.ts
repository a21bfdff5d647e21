import type { TraceEvent } from './trace-event.ts';
import { SHAPES } from './trace-shapes.ts';

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
  };
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
