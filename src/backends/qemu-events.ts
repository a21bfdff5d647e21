import { contains } from '../bytes/index.ts';
import type { TraceEvent } from '../qemu/index.ts';
import type { Capability, DeviceEvent } from '../scenario/index.ts';
import type { Model } from '../topology/index.ts';

/**
 * What QEMU's trace shows. Not: the status of a request, which vIOMMU it was, an access past the
 * translation; and of a PROBE only the regions of its answer.
 */
export const QEMU_CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>([
  'probe-regions',
  'attach',
  'detach',
  'map',
  'unmap',
  'access',
  'fault',
  'msi',
]);

/** IOMMU_WO of QEMU's `IOMMUAccessFlags`. */
const IOMMU_WO = 2;

/** `Omit` over each member of the union. */
type Unnumbered<T> = T extends unknown ? Omit<T, 'order'> : never;

/** Turns QEMU's trace into the events every backend speaks. */
export class TraceTranslator {
  readonly #model: Model;
  readonly #emit: (event: DeviceEvent) => void;
  readonly #write = new Map<number, boolean>();
  #order = 0;
  #start: number | undefined;

  /** `start`: when the machine started, in seconds since the epoch; default: at the first event. */
  constructor(model: Model, emit: (event: DeviceEvent) => void, start?: number) {
    this.#model = model;
    this.#emit = emit;
    this.#start = start;
  }

  add(event: TraceEvent): void {
    const base = { ...this.#clock(event), text: event.text };
    const translated = this.#translate(event, base);
    if (translated === undefined) return;
    this.#emit({ order: this.#order, ...translated });
    this.#order += 1;
  }

  #clock({ time }: TraceEvent): { time?: number } {
    if (time === undefined) return {};
    this.#start ??= time;
    return { time: time - this.#start };
  }

  #translate(
    event: TraceEvent,
    base: { readonly time?: number; readonly text: string },
  ): Unnumbered<DeviceEvent> | undefined {
    switch (event.kind) {
      case 'probe-region': {
        const { endpoint, range, type } = event;
        return { ...base, kind: 'probe', endpoint, regions: [{ range, type }] };
      }
      case 'attach':
      case 'detach':
        return { ...base, kind: event.kind, domain: event.domain, endpoint: event.endpoint };
      case 'map': {
        const { domain, virt, phys, flags } = event;
        return { ...base, kind: 'map', domain, virt, phys, flags };
      }
      case 'unmap':
        return { ...base, kind: 'unmap', domain: event.domain, virt: event.virt };
      case 'translate':
        return this.#access(event, base);
      case 'translated': {
        const { endpoint, iova } = event;
        const write = this.#write.get(endpoint) ?? false;
        return { ...base, kind: 'access', endpoint, iova, write, how: 'translated' };
      }
      case 'fault': {
        const { endpoint, reason, write, address } = event;
        const where = address === undefined ? {} : { address };
        return { ...base, kind: 'fault', endpoint, reason, write, ...where };
      }
      default:
        return undefined;
    }
  }

  /** Asked for a translation; the answer, if there is one, follows as `translated`. */
  #access(
    event: Extract<TraceEvent, { kind: 'translate' }>,
    base: { readonly time?: number; readonly text: string },
  ): Unnumbered<DeviceEvent> | undefined {
    this.#write.set(event.rid, (event.flag & IOMMU_WO) !== 0);
    const doorbell = this.#model.doorbells.some(
      ({ delivery, window }) => delivery === 'reserved' && contains(window, event.iova),
    );
    if (!doorbell) return undefined;
    return { ...base, kind: 'msi', endpoint: event.rid, address: event.iova };
  }
}
