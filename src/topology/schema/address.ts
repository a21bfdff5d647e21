import { requesterId } from '../../spec/pci.ts';
import { clip, shown, type Reading } from './number.ts';

/** A PCI function; the segment is absent when the file does not say it. */
export interface Bdf {
  readonly segment?: number;
  readonly rid: number;
}

/** Functions from `start` to `end`, both included, in order of requester IDs. */
export interface BdfRange {
  readonly segment?: number;
  readonly start: number;
  readonly end: number;
  /** Whether the file names one function, not a range. */
  readonly single: boolean;
}

const FORM = /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-9])$/i;

/** `00:03.0` or `0001:02:00.0`, all digits hexadecimal, as lspci and Linux write them. */
export function readBdf(value: unknown): Reading<Bdf> {
  const match = typeof value === 'string' ? FORM.exec(value.trim()) : null;
  if (match === null) {
    return { error: `${shown(value)} is not a PCI address like 00:03.0 or 0001:02:00.0` };
  }
  const [, segment, bus = '', device = '', fn = ''] = match;
  if (parseInt(device, 16) > 0x1f) return { error: `device 0x${device} is above 0x1f` };
  if (Number(fn) > 7) return { error: `function ${fn} is above 7` };
  const rid = requesterId(parseInt(bus, 16), parseInt(device, 16), Number(fn));
  return { value: segment === undefined ? { rid } : { segment: parseInt(segment, 16), rid } };
}

/** One function or `00:08.0-00:0f.7`; the end's segment, if stated, is the start's. */
export function readBdfRange(value: unknown): Reading<BdfRange> {
  const [first = '', second, ...more] = typeof value === 'string' ? value.split('-') : [];
  if (typeof value !== 'string' || more.length > 0) return readBdf(value) as { error: string };
  const start = readBdf(first);
  if ('error' in start) return start;
  const segment = start.value.segment === undefined ? {} : { segment: start.value.segment };
  if (second === undefined) {
    const { rid } = start.value;
    return { value: { ...segment, start: rid, end: rid, single: true } };
  }
  const end = readBdf(second);
  if ('error' in end) return end;
  if (end.value.segment !== undefined && end.value.segment !== (start.value.segment ?? 0)) {
    return { error: `"${clip(value)}" crosses segments` };
  }
  if (end.value.rid < start.value.rid) return { error: `"${clip(value)}" ends before it starts` };
  return { value: { ...segment, start: start.value.rid, end: end.value.rid, single: false } };
}
