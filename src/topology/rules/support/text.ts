import { hex, type Range } from '../../../bytes/index.ts';
import { DEFAULT_KERNEL, showKernel, type KernelVersion } from '../../diagnostic.ts';
import type { Facts } from '../../facts.ts';

/** `00:02.0`. */
export function showRid(rid: number): string {
  const bus = ((rid >>> 8) & 0xff).toString(16).padStart(2, '0');
  const device = ((rid >>> 3) & 0x1f).toString(16).padStart(2, '0');
  return `${bus}:${device}.${rid & 7}`;
}

/** `0001:00:02.0`; the segment is left out when it is 0. */
export function showFunction(segment: number, rid: number): string {
  return segment === 0 ? showRid(rid) : `${segment.toString(16).padStart(4, '0')}:${showRid(rid)}`;
}

/** `00:02.0`, or `00:02.0-00:0f.7` when it is more than one. */
export function showRids(segment: number, rids: Range<number>): string {
  const first = showFunction(segment, rids.start);
  return rids.start === rids.end ? first : `${first}-${showRid(rids.end)}`;
}

/** `0x10`, or `0x10-0x1f` when it is more than one. */
export function showIds(ids: Range<number>): string {
  return ids.start === ids.end ? hex(ids.start) : `${hex(ids.start)}-${hex(ids.end)}`;
}

/** Kernels whose behaviour was measured and whose source was read: what effects speak of. */
const MEASURED: readonly KernelVersion[] = [DEFAULT_KERNEL, { major: 7, minor: 3 }];

/**
 * `Linux 6.12`: the kernel whose behaviour an effect speaks of. For one that was not measured, the
 * measured one that it is taken to be like: `Linux 6.12 (6.1 was not measured)`.
 */
export function linux({ kernel }: Facts): string {
  const like = MEASURED.findLast(({ major }) => major <= kernel.major) ?? DEFAULT_KERNEL;
  return `Linux ${showKernel(like)}${unmeasured(kernel)}`;
}

/** ` (6.1 was not measured)`; nothing for a kernel that was. */
export function unmeasured(kernel: KernelVersion): string {
  const known = MEASURED.some(
    ({ major, minor }) => major === kernel.major && minor === kernel.minor,
  );
  return known ? '' : ` (${showKernel(kernel)} was not measured)`;
}

/** `1 row`, `2 rows`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
