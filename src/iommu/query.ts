import type { Range } from '../bytes/index.ts';
import { TRANSLATED, TRANSLATION_FAULT } from '../memory/index.ts';
import type { Mapping } from './mapping-tree.ts';
import type { ReservedRegion } from './regions.ts';
import type { IommuState } from './state.ts';
import type { Translation } from './translation.ts';
import { LAST_ADDRESS, lower, upper, wide } from './wide.ts';

/** An endpoint as it is now. */
export interface EndpointInfo {
  readonly id: number;
  /** Domain ID, when attached. */
  readonly domain?: number;
  readonly reserved: readonly ReservedRegion[];
  readonly passedThrough: boolean;
  /** What an access would meet now. */
  readonly path: 'translated' | 'bypassed' | 'blocked';
  /** Accesses in flight. */
  readonly pins: number;
}

/** A domain as it is now. */
export interface DomainInfo {
  readonly id: number;
  readonly bypass: boolean;
  /** Endpoint IDs, ascending. */
  readonly endpoints: readonly number[];
  /** Number of mappings. */
  readonly mappings: number;
  /** Memory that the mappings take, in bytes. */
  readonly bytes: number;
}

/** One stretch of a span that translates evenly. */
export interface SpanPiece {
  readonly iova: bigint;
  readonly length: bigint;
  readonly physical: bigint;
  readonly how: 'memory' | 'msi';
}

/** What an access of several bytes meets: pieces of memory, or the fault. */
export type SpanResult =
  | { readonly pieces: readonly SpanPiece[] }
  /** The first address that cannot be accessed. */
  | { readonly fault: bigint };

/** All endpoints, by ascending ID. */
export function listEndpoints(state: IommuState): EndpointInfo[] {
  return [...state.endpoints.values()]
    .toSorted((a, b) => a.id - b.id)
    .map(({ id, domain, regions, port, pins }) => {
      const bypassed = domain ? domain.bypass : state.unattachedBypass;
      const path = bypassed ? 'bypassed' : domain ? 'translated' : 'blocked';
      const info = {
        id,
        reserved: regions.list,
        passedThrough: port !== undefined,
        path,
        pins: pins.size,
      } as const;
      return domain ? { ...info, domain: domain.id } : info;
    });
}

/** All domains, by ascending ID. */
export function listDomains(state: IommuState): DomainInfo[] {
  return [...state.domains.values()]
    .toSorted((a, b) => a.id - b.id)
    .map(({ id, bypass, endpoints, mappings }) => ({
      id,
      bypass,
      endpoints: [...endpoints].map((endpoint) => endpoint.id).toSorted((a, b) => a - b),
      mappings: mappings.size,
      bytes: mappings.bytes,
    }));
}

/** The mappings of a domain, ascending, those that meet `within`; none for a domain unknown. */
export function* listMappings(
  state: IommuState,
  domain: number,
  within?: Range,
): Generator<Mapping> {
  const mappings = state.domains.get(domain)?.mappings;
  if (mappings !== undefined) yield* mappings.entries(within);
}

/**
 * Where an access of that endpoint would go, split at the borders of mappings; without counting or
 * reporting anything.
 *
 * @param length 1 or more; a span that passes 2^64 - 1 faults there
 */
export function translateSpan(
  state: IommuState,
  translation: Translation,
  id: number,
  iova: bigint,
  length: bigint,
  access: number,
): SpanResult {
  const endpoint = state.endpoints.get(id);
  if (endpoint === undefined) return { fault: iova };
  const pieces: SpanPiece[] = [];
  const last = iova + length - 1n;
  for (let at = iova; at <= last;) {
    if (at > LAST_ADDRESS) return { fault: at };
    const outcome = translation.look(endpoint, upper(at), lower(at), access);
    if (outcome === TRANSLATION_FAULT) return { fault: at };
    const end = wide(translation.endHi, translation.endLo);
    const stop = end < last ? end : last;
    const offset = at - wide(translation.startHi, translation.startLo);
    pieces.push({
      iova: at,
      length: stop - at + 1n,
      physical: BigInt.asUintN(64, wide(translation.physHi, translation.physLo) + offset),
      how: outcome === TRANSLATED ? 'memory' : 'msi',
    });
    at = stop + 1n;
  }
  return { pieces };
}
