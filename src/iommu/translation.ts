import {
  ACCESS_READ,
  ACCESS_WRITE,
  TRANSLATED,
  TRANSLATION_FAULT,
  TRANSLATION_MSI,
  type Translator,
} from '../memory/index.ts';
import type { Endpoint } from './endpoint.ts';
import type { IommuState } from './state.ts';
import { HALF, wide } from './wide.ts';

const BOTH = ACCESS_READ | ACCESS_WRITE;
const TOP = 0xffff_ffff;

/**
 * The vIOMMU as accesses meet it (VIRTIO 1.3, "Device operations" on bypass, "MAP request" on
 * permissions). Allocates nothing unless an access faults or somebody listens.
 */
export class Translation implements Translator {
  startHi = 0;
  startLo = 0;
  endHi = 0;
  endLo = 0;
  physHi = 0;
  physLo = 0;
  flags = 0;

  readonly #state: IommuState;
  readonly #readsWriteOnly: boolean;
  readonly #passReserved: boolean;
  #last: Endpoint | undefined;

  constructor(state: IommuState) {
    this.#state = state;
    this.#readsWriteOnly = state.settings.writeOnlyReads === 'allow';
    this.#passReserved = state.settings.reservedInBypass === 'pass';
  }

  get epoch(): number {
    return this.#state.epoch;
  }

  /** An endpoint is no more: the next look-up starts anew. */
  forget(): void {
    this.#last = undefined;
  }

  translate(id: number, hi: number, lo: number, length: number, access: number): number {
    const state = this.#state;
    state.counters.translations++;
    const endpoint = this.#last?.id === id ? this.#last : state.endpoints.get(id);
    if (endpoint === undefined) return this.#stranger(id, hi, lo, access);
    this.#last = endpoint;
    const outcome = this.#judge(endpoint, hi, lo, access);
    if (outcome === TRANSLATION_FAULT) return outcome;
    if (state.stream.wants('translation')) this.#tell(endpoint, hi, lo, length, access, outcome);
    return outcome;
  }

  refused(id: number, hi: number, lo: number, access: number): void {
    const state = this.#state;
    state.counters.unanswerable++;
    state.tellFault('unknown', id, access, hi, lo, 'silent');
  }

  /** Whether the address may be accessed, and where it leads; nothing is counted or reported. */
  look(endpoint: Endpoint, hi: number, lo: number, access: number): number {
    const { domain } = endpoint;
    if (domain === undefined) {
      return this.#state.unattachedBypass ? this.#identity() : TRANSLATION_FAULT;
    }
    if (endpoint.regions.size > 0) {
      const index = endpoint.regions.after(hi, lo);
      const inside = endpoint.regions.contains(index, hi, lo);
      if (inside && endpoint.regions.isMsi(index)) return this.#doorbell(endpoint, index, access);
      if (domain.bypass && !this.#passReserved) {
        return inside ? TRANSLATION_FAULT : this.#identityBetween(endpoint, index);
      }
    }
    if (domain.bypass) return this.#identity();
    const { mappings } = domain;
    if (!mappings.find(hi, lo)) return TRANSLATION_FAULT;
    let flags = mappings.hitFlags & BOTH;
    if (this.#readsWriteOnly && (flags & ACCESS_WRITE) !== 0) flags |= ACCESS_READ;
    if (this.#state.canary === 'write-ignores-flags') flags |= ACCESS_WRITE;
    if ((flags & access) !== access) return TRANSLATION_FAULT;
    this.startHi = mappings.hitStartHi;
    this.startLo = mappings.hitStartLo;
    this.endHi = mappings.hitEndHi;
    this.endLo = mappings.hitEndLo;
    this.physHi = mappings.hitPhysHi;
    this.physLo = mappings.hitPhysLo;
    this.flags = flags;
    return TRANSLATED;
  }

  #judge(endpoint: Endpoint, hi: number, lo: number, access: number): number {
    const state = this.#state;
    if (endpoint.injected > 0) {
      endpoint.injected--;
      state.fault('unknown', endpoint.id, access, hi, lo);
      return TRANSLATION_FAULT;
    }
    const outcome = this.look(endpoint, hi, lo, access);
    if (outcome === TRANSLATION_FAULT) {
      state.fault(endpoint.domain ? 'mapping' : 'domain', endpoint.id, access, hi, lo);
    }
    return outcome;
  }

  /** Nobody is known by that ID, and a record with an ID that is not valid helps no driver. */
  #stranger(id: number, hi: number, lo: number, access: number): number {
    this.#state.counters.strangers++;
    this.#state.tellFault('unknown', id, access, hi, lo, 'silent');
    return TRANSLATION_FAULT;
  }

  #identity(): number {
    this.startHi = this.startLo = this.physHi = this.physLo = 0;
    this.endHi = this.endLo = TOP;
    this.flags = BOTH;
    return TRANSLATED;
  }

  /** The identity between the reserved regions before and after: `index` is the one after. */
  #identityBetween({ regions }: Endpoint, index: number): number {
    this.#identity();
    if (index > 0) {
      const lo = regions.endLo(index - 1);
      this.startLo = this.physLo = (lo + 1) >>> 0;
      this.startHi = this.physHi = regions.endHi(index - 1) + (lo === TOP ? 1 : 0);
    }
    if (index < regions.size) {
      const lo = regions.startLo(index);
      this.endLo = (lo - 1) >>> 0;
      this.endHi = regions.startHi(index) - (lo === 0 ? 1 : 0);
    }
    return TRANSLATED;
  }

  /** Only writes have a meaning in the MSI window. */
  #doorbell({ regions }: Endpoint, index: number, access: number): number {
    if ((access & ACCESS_READ) !== 0) return TRANSLATION_FAULT;
    this.startHi = this.physHi = regions.startHi(index);
    this.startLo = this.physLo = regions.startLo(index);
    this.endHi = regions.endHi(index);
    this.endLo = regions.endLo(index);
    this.flags = ACCESS_WRITE;
    return TRANSLATION_MSI;
  }

  #tell(
    endpoint: Endpoint,
    hi: number,
    lo: number,
    length: number,
    access: number,
    outcome: number,
  ): void {
    const bypassed = endpoint.domain === undefined || endpoint.domain.bypass;
    // What was found may cover less than was asked for; the rest is looked up, and told, by itself.
    const room = (this.endHi - hi) * HALF + (this.endLo - lo) + 1;
    this.#state.stream.emit({
      kind: 'translation',
      endpoint: endpoint.id,
      iova: wide(hi, lo),
      length: Math.min(length, room),
      access,
      how: outcome === TRANSLATION_MSI ? 'msi' : bypassed ? 'bypassed' : 'translated',
    });
  }
}
