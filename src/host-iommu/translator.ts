import {
  addressOf,
  hiOf,
  loOf,
  TRANSLATED,
  TRANSLATION_FAULT,
  type Translator,
} from '../memory/index.ts';
import type { HostContainer } from './container.ts';
import { HOST_BASE } from './port.ts';

/** An access of a passed-through endpoint that its host refused. */
export type HostFault = (endpoint: number, iova: bigint, access: number) => void;

/**
 * The host's IOMMU as a passed-through endpoint meets it: the vIOMMU is not asked, only what was
 * relayed to the container counts.
 */
export class HostTranslator implements Translator {
  startHi = 0;
  startLo = 0;
  endHi = 0;
  endLo = 0;
  physHi = 0;
  physLo = 0;
  flags = 0;

  readonly #container: HostContainer;
  readonly #fault: HostFault | undefined;

  constructor(container: HostContainer, fault?: HostFault) {
    this.#container = container;
    this.#fault = fault;
  }

  get epoch(): number {
    return this.#container.epoch;
  }

  translate(endpoint: number, hi: number, lo: number, _length: number, access: number): number {
    const iova = addressOf(hi, lo);
    const mapping = this.#container.find(iova);
    if (mapping === undefined || (mapping.access & access) !== access) {
      this.#fault?.(endpoint, iova, access);
      return TRANSLATION_FAULT;
    }
    const gpa = mapping.vaddr - HOST_BASE;
    this.startHi = hiOf(mapping.iova.start);
    this.startLo = loOf(mapping.iova.start);
    this.endHi = hiOf(mapping.iova.end);
    this.endLo = loOf(mapping.iova.end);
    this.physHi = hiOf(gpa);
    this.physLo = loOf(gpa);
    this.flags = mapping.access;
    return TRANSLATED;
  }

  refused(endpoint: number, hi: number, lo: number, access: number): void {
    this.#fault?.(endpoint, addressOf(hi, lo), access);
  }
}
