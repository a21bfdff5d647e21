import { ACCESS_READ, ACCESS_WRITE, TRANSLATED, type Translator } from '../memory/index.ts';

/** Where the accesses of one device go now. */
export interface Way {
  /** The vIOMMU; for a passed-through device the host's IOMMU, which follows it. */
  readonly translation: Translator;
  readonly endpointId: number;
}

const TOP = 0xffff_ffff;
const BOTH = ACCESS_READ | ACCESS_WRITE;

/**
 * The way of one device to memory: through the vIOMMU that translates its present requester ID, or
 * past all of them. A guest that renumbers its buses changes the way, and with it the epoch.
 */
export class Route implements Translator {
  #way: Way | undefined;
  /** Makes `epoch` grow over a change of way. */
  #offset = 0;

  get way(): Way | undefined {
    return this.#way;
  }

  set way(way: Way | undefined) {
    if (way?.translation === this.#way?.translation && way?.endpointId === this.#way?.endpointId) {
      return;
    }
    const before = this.epoch;
    this.#way = way;
    this.#offset = before + 1 - (way?.translation.epoch ?? 0);
  }

  get epoch(): number {
    return (this.#way?.translation.epoch ?? 0) + this.#offset;
  }
  get startHi(): number {
    return this.#way?.translation.startHi ?? 0;
  }
  get startLo(): number {
    return this.#way?.translation.startLo ?? 0;
  }
  get endHi(): number {
    return this.#way?.translation.endHi ?? TOP;
  }
  get endLo(): number {
    return this.#way?.translation.endLo ?? TOP;
  }
  get physHi(): number {
    return this.#way?.translation.physHi ?? 0;
  }
  get physLo(): number {
    return this.#way?.translation.physLo ?? 0;
  }
  get flags(): number {
    return this.#way?.translation.flags ?? BOTH;
  }

  translate(_endpoint: number, hi: number, lo: number, length: number, access: number): number {
    const way = this.#way;
    if (way === undefined) return TRANSLATED;
    return way.translation.translate(way.endpointId, hi, lo, length, access);
  }

  refused(_endpoint: number, hi: number, lo: number, access: number): void {
    const way = this.#way;
    way?.translation.refused(way.endpointId, hi, lo, access);
  }
}
