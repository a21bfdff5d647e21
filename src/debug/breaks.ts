import { overlaps, type Range } from '../bytes/index.ts';
import type { IommuEvent } from '../iommu/index.ts';
import type { Params } from './protocol.ts';

/** When a guest is to be stopped. */
export interface Break {
  readonly id: number;
  readonly on: Params<'break'>['on'];
  /** Only the n-th time from now on, after which the break is gone; absent: every time. */
  readonly n?: number;
  readonly viommu?: string;
  /** Endpoint ID. */
  readonly endpoint?: number;
  readonly address?: Range;
  /** Times that it was met. */
  hits: number;
}

/** Who is in a domain now. */
export type Members = (domain: number) => ReadonlySet<number>;

/** Whether an event of a vIOMMU is what a break waits for. Requests that were refused are, too. */
export function meets(wanted: Break, viommu: string, event: IommuEvent, members: Members): boolean {
  if (wanted.viommu !== undefined && wanted.viommu !== viommu) return false;
  switch (event.kind) {
    case 'request':
      return event.name === wanted.on && meetsRequest(wanted, event, members);
    case 'fault':
      if (wanted.endpoint !== undefined && wanted.endpoint !== event.endpoint) return false;
      if (wanted.on === 'fault') {
        return wanted.address === undefined || touches(wanted.address, event.address, 1);
      }
      return wanted.on === 'address' && touches(wanted.address, event.address, 1);
    case 'translation':
      if (wanted.on !== 'address') return false;
      if (wanted.endpoint !== undefined && wanted.endpoint !== event.endpoint) return false;
      return touches(wanted.address, event.iova, event.length);
    default:
      return false;
  }
}

function meetsRequest(
  { endpoint, address }: Break,
  { fields }: IommuEvent & { kind: 'request' },
  members: Members,
): boolean {
  if (address !== undefined && (fields.virt === undefined || !overlaps(fields.virt, address))) {
    return false;
  }
  if (endpoint === undefined) return true;
  if (fields.endpoint !== undefined) return fields.endpoint === endpoint;
  return fields.domain !== undefined && members(fields.domain).has(endpoint);
}

function touches(range: Range | undefined, start: bigint, length: number): boolean {
  if (range === undefined) return false;
  return overlaps(range, { start, end: start + BigInt(Math.max(1, length)) - 1n });
}
