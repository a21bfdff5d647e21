import { isBridge } from '../pci/index.ts';
import type { Model } from '../topology/index.ts';
import type { CoverageIndex, Placement } from './coverage.ts';
import { reservedRegions } from './regions.ts';
import type { MachineViommu, Unit } from './unit.ts';

/** An endpoint ID that a vIOMMU is to know, and by whom it is used. */
interface Wanted {
  readonly placement: Placement;
  readonly unit: Unit;
  /** The ID is that of a bridge's bus, under which requests from there may come. */
  readonly alias: boolean;
}

/**
 * Keeps the vIOMMUs' lists of endpoints, and the ways of DMA, as the requester IDs are now. Those of
 * PCI functions below bridges are what the guest makes them.
 */
export class Placer {
  readonly #model: Model;
  readonly #coverage: CoverageIndex;
  readonly #viommus: ReadonlyMap<string, MachineViommu>;
  /** What the vIOMMUs know, by vIOMMU and ID. */
  #known = new Map<string, Wanted>();

  constructor(model: Model, coverage: CoverageIndex, viommus: ReadonlyMap<string, MachineViommu>) {
    this.#model = model;
    this.#coverage = coverage;
    this.#viommus = viommus;
  }

  /** Brings everything up to date with these units; others that there were are gone. */
  place(units: readonly Unit[]): void {
    const wanted = this.#wanted(units);
    // All old IDs first: two functions may have changed theirs.
    for (const [key, { placement, unit, alias }] of this.#known) {
      const now = wanted.get(key);
      if (now?.unit === unit && now.alias === alias) continue;
      this.#viommus.get(placement.viommu)?.device.removeEndpoint(placement.endpointId);
      this.#known.delete(key);
      if (unit.placed === placement) forget(unit);
    }
    for (const [key, one] of wanted) if (!this.#known.has(key)) this.#add(key, one);
    for (const unit of units) this.#lead(unit);
  }

  /** Of several that have one ID, by a mistake of the topology, the first is asked about regions. */
  #wanted(units: readonly Unit[]): Map<string, Wanted> {
    const wanted = new Map<string, Wanted>();
    const put = (placement: Placement | undefined, unit: Unit, alias: boolean): void => {
      const key = placement && keyOf(placement);
      if (placement === undefined || key === undefined || wanted.has(key)) return;
      wanted.set(key, { placement, unit, alias });
    };
    for (const unit of units) put(this.#now(unit), unit, false);
    // A bridge to conventional PCI passes requests on under the first ID of its secondary bus.
    for (const unit of units) put(this.#aliasOf(unit), unit, true);
    return wanted;
  }

  #now(unit: Unit): Placement | undefined {
    if (unit.route === undefined) return undefined;
    const { pci, endpoint } = unit;
    if (pci === undefined) {
      const { viommu, endpointId } = endpoint ?? {};
      return viommu === undefined || endpointId === undefined ? undefined : { viommu, endpointId };
    }
    const rid = pci.fn.requesterId;
    // Below a bridge without bus numbers nothing can issue a request.
    if (rid === undefined || pci.at.pci.find(rid) !== pci.fn) return undefined;
    return this.#coverage.find(pci.at.host.segment, rid);
  }

  #aliasOf({ pci, conventional }: Unit): Placement | undefined {
    if (pci === undefined || conventional !== true || !isBridge(pci.fn)) return undefined;
    const { number } = pci.fn.secondary;
    return number === 0 ? undefined : this.#coverage.find(pci.at.host.segment, number << 8);
  }

  #add(key: string, wanted: Wanted): void {
    const { placement, unit, alias } = wanted;
    const owner = this.#viommus.get(placement.viommu);
    if (owner === undefined) return;
    owner.device.addEndpoint({
      id: placement.endpointId,
      ...(unit.hostSide === undefined || alias ? {} : { port: unit.hostSide.port }),
      reserved: reservedRegions(this.#model, {
        viommu: placement.viommu,
        ...(unit.pci === undefined ? {} : { host: unit.pci.at.host }),
        ...(unit.endpoint === undefined || alias ? {} : { endpoint: unit.endpoint.id }),
      }),
    });
    this.#known.set(key, wanted);
  }

  /** The way of the unit's DMA. */
  #lead(unit: Unit): void {
    const now = this.#now(unit);
    const device = now && this.#viommus.get(now.viommu)?.device;
    if (now === undefined || device === undefined) {
      forget(unit);
      return;
    }
    unit.placed = this.#known.get(keyOf(now))?.placement ?? now;
    if (unit.translates && unit.route !== undefined) {
      const translation = unit.hostSide?.behind(device) ?? device.translation;
      unit.route.way = { translation, endpointId: now.endpointId };
    }
  }
}

function forget(unit: Unit): void {
  delete unit.placed;
  if (unit.route !== undefined) unit.route.way = undefined;
}

function keyOf({ viommu, endpointId }: Placement): string {
  return `${viommu}/${endpointId}`;
}
