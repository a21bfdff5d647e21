import type { Model } from '../topology/index.ts';
import type { CoverageIndex, Placement } from './coverage.ts';
import { reservedRegions } from './regions.ts';
import type { MachineViommu, Unit } from './unit.ts';

/**
 * Keeps the vIOMMUs' lists of endpoints, and the ways of DMA, as the requester IDs are now. Those of
 * PCI functions below bridges are what the guest makes them.
 */
export class Placer {
  readonly #model: Model;
  readonly #coverage: CoverageIndex;
  readonly #viommus: ReadonlyMap<string, MachineViommu>;

  constructor(model: Model, coverage: CoverageIndex, viommus: ReadonlyMap<string, MachineViommu>) {
    this.#model = model;
    this.#coverage = coverage;
    this.#viommus = viommus;
  }

  /** Brings all units up to date. */
  place(units: Iterable<Unit>): void {
    const moved: [Unit, Placement | undefined][] = [];
    for (const unit of units) {
      const now = this.#now(unit);
      if (!same(now, unit.placed)) moved.push([unit, now]);
    }
    // All old places first: two functions may have changed theirs.
    for (const [unit] of moved) this.remove(unit);
    for (const [unit, now] of moved) if (now !== undefined) this.#add(unit, now);
  }

  /** Takes a unit away from its vIOMMU. */
  remove(unit: Unit): void {
    const { placed, route } = unit;
    if (placed === undefined) return;
    delete unit.placed;
    if (route !== undefined) route.way = undefined;
    this.#viommus.get(placed.viommu)?.device.removeEndpoint(placed.endpointId);
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

  #add(unit: Unit, placement: Placement): void {
    const owner = this.#viommus.get(placement.viommu);
    if (owner === undefined) return;
    const { device } = owner;
    // A topology can give two requesters one ID by mistake; then they are one endpoint.
    if (device.endpoints.get(placement.endpointId) === undefined) {
      device.addEndpoint({
        id: placement.endpointId,
        reserved: reservedRegions(this.#model, {
          viommu: placement.viommu,
          ...(unit.pci === undefined ? {} : { host: unit.pci.at.host }),
          ...(unit.endpoint === undefined ? {} : { endpoint: unit.endpoint.id }),
        }),
      });
    }
    unit.placed = placement;
    if (unit.translates && unit.route !== undefined) {
      unit.route.way = { translation: device.translation, endpointId: placement.endpointId };
    }
  }
}

function same(a: Placement | undefined, b: Placement | undefined): boolean {
  return a?.viommu === b?.viommu && a?.endpointId === b?.endpointId;
}
