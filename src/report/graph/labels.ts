import { hex, type Range } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Doorbell, Endpoint, Model, ReservedRegion, Viommu } from '../../topology/index.ts';
import type { Fold } from './fold.ts';

const DOORBELLS = { x86: 'x86 MSI window', gicv2m: 'GICv2m frame', its: 'GICv3 ITS' } as const;

/** `4 KiB`, `2 MiB`; bytes that are no whole unit stay bytes. */
export function showSize(bytes: bigint): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let left = bytes;
  let unit = 0;
  while (unit < units.length - 1 && left >= 1024n && left % 1024n === 0n) {
    left /= 1024n;
    unit += 1;
  }
  return `${left} ${units[unit] ?? ''}`;
}

/** `0x8000000 – 0x80fffff`; a number alone when it is one. */
export function showSpan({ start, end }: Range<bigint | number>): string {
  return start === end ? hex(start) : `${hex(start)} – ${hex(end)}`;
}

/** `48 bits` for what starts at 0 and ends below a power of two; a range otherwise. */
function showWidth(range: Range): string {
  const limit = range.end + 1n;
  const whole = range.start === 0n && (limit & (limit - 1n)) === 0n;
  return whole ? `${limit.toString(2).length - 1} bits` : showSpan(range);
}

function place({ location }: Endpoint): string {
  if (location.kind === 'platform') return hex(location.base);
  const first = showBdf(location.rids.start, location.segment);
  const { start, end } = location.rids;
  return start === end ? first : `${first} – ${showBdf(end)}`;
}

/** Endpoint IDs of one endpoint: as many as it has requester IDs. */
function ids({ endpointId, location }: Endpoint): Range<number> | undefined {
  if (endpointId === undefined) return undefined;
  const more = location.kind === 'pci' ? location.rids.end - location.rids.start : 0;
  return { start: endpointId, end: endpointId + more };
}

/** Heading and lines of the node of one endpoint, or of many. */
export function foldLabel({ endpoints, functions, kind }: Fold): {
  readonly title: string;
  readonly lines: string[];
} {
  const [first] = endpoints;
  const last = endpoints.at(-1);
  if (first === undefined || last === undefined) return { title: '', lines: [] };
  const device = first.device?.kind;
  if (kind === 'single') return { title: first.id, lines: endpointLines(first) };
  const spans = endpoints.flatMap((endpoint) => ids(endpoint) ?? []);
  const low = spans.reduce((least, { start }) => Math.min(least, start), Infinity);
  const high = spans.reduce((most, { end }) => Math.max(most, end), 0);
  const sameDevice = endpoints.every((endpoint) => endpoint.device?.kind === device);
  const lines = [`${first.id} … ${last.id}`, `${place(first)} … ${place(last)}`];
  if (spans.length > 0) {
    const gaps = kind === 'mixed' || high - low + 1 !== functions;
    lines.push(`IDs ${showSpan({ start: low, end: high })}${gaps ? ', with gaps' : ''}`);
  }
  if (sameDevice && device !== undefined) lines.push(`each ${device}`);
  return { title: `${functions.toLocaleString('en')} functions`, lines };
}

function endpointLines(endpoint: Endpoint): string[] {
  const { device, location, passthrough } = endpoint;
  const many = location.kind === 'pci' && location.rids.end > location.rids.start;
  const span = ids(endpoint);
  const lines = [[place(endpoint), device?.kind].filter((text) => text !== undefined).join(' · ')];
  if (many) {
    const functions = location.rids.end - location.rids.start + 1;
    lines.push(`${functions.toLocaleString('en')} requester IDs`);
  }
  if (span !== undefined) lines.push(`${many ? 'IDs' : 'ID'} ${showSpan(span)}`);
  if (passthrough !== undefined) lines.push('passed through from the host');
  if (device?.accessPlatform === false && endpoint.viommu !== undefined) {
    lines.push('without ACCESS_PLATFORM');
  }
  return lines;
}

/** Lines below the name of a vIOMMU. */
export function viommuLines(viommu: Viommu): string[] {
  const { transport, granule, inputRange, domainRange, bootBypass, features } = viommu;
  const at =
    transport.kind === 'pci'
      ? `virtio-pci at ${showBdf(transport.rid, transport.segment)}`
      : `virtio-mmio at ${hex(transport.base)}${transport.legacy ? ', legacy' : ''}`;
  const lines = [at, `granule ${showSize(granule)}`];
  if (features.includes('INPUT_RANGE')) lines.push(`IOVA ${showWidth(inputRange)}`);
  if (features.includes('DOMAIN_RANGE') && domainRange.end - domainRange.start < 0xffff_ffff) {
    lines.push(`domains ${showSpan(domainRange)}`);
  }
  lines.push(bootBypass ? 'bypass before attach' : 'blocks before attach');
  return lines;
}

/** Lines below the name of a doorbell. */
export function doorbellLines({ kind, window, delivery }: Doorbell): string[] {
  return [
    DOORBELLS[kind],
    showSpan(window),
    delivery === 'reserved' ? 'MSIs pass untranslated' : 'mapped by the guest',
  ];
}

/** Lines below the name of a reserved region. */
export function regionLines({ range, type, via, physical }: ReservedRegion): string[] {
  const told = via.map((how) => (how === 'probe' ? 'PROBE' : 'device tree')).join(' and ');
  const moved = physical === undefined ? [] : [`physical ${showSpan(physical)}`];
  return [`${type}, by ${told}`, showSpan(range), ...moved];
}

/** Lines below "guest memory". */
export function memoryLines({ memory }: Model): string[] {
  const shown = memory.slice(0, 4).map(showSpan);
  return memory.length > 4 ? [...shown, `and ${memory.length - 4} more ranges`] : shown;
}
