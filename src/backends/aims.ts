import { contains, overlaps, type Range } from '../bytes/index.ts';
import { listDomains, listMappings, type IommuState } from '../iommu/index.ts';
import type { Machine } from '../machine/index.ts';
import { expectedRegions, type FaultAim } from '../scenario/index.ts';
import { VIRTIO_IOMMU_MAP_F_READ, VIRTIO_IOMMU_MAP_F_WRITE } from '../spec/virtio-iommu.ts';
import type { Endpoint } from '../topology/index.ts';

/** Where a DMA of a fault check goes, and where it would land if nobody stopped it. */
export interface Target {
  readonly address: bigint;
  /** Guest-physical addresses in RAM. */
  readonly landings: readonly bigint[];
}

/** Bytes of a DMA of a fault check. */
export const AIM_BYTES = 4;

/** Mappings of other domains looked at. */
const FOREIGN_MAX = 1000;

/**
 * An address of the kind asked for, as the machine is now; undefined when there is none. Only the
 * machine can know: drivers do not tell what they mapped.
 *
 * @param gpa a page of RAM whose content the guest watches, for `unmapped`
 */
export function chooseTarget(
  machine: Machine,
  endpoint: Endpoint,
  aim: FaultAim,
  gpa: bigint,
): Target | undefined {
  const { viommu, endpointId = -1 } = endpoint;
  const state = machine.viommus.get(viommu ?? '')?.device.state;
  if (state === undefined) return undefined;
  const domains = listDomains(state);
  const own = domains.find(({ endpoints }) => endpoints.includes(endpointId))?.id ?? -1;
  const at = (address: bigint, ...landings: bigint[]): Target => ({
    address,
    landings: [...landings, address].filter((one) => isRam(machine, one)),
  });
  switch (aim) {
    case 'unmapped':
      return isFree(machine, endpoint, state, own, gpa) ? at(gpa) : undefined;
    case 'reserved': {
      const [region] = reservedOf(machine, endpoint);
      return region && at(region.start);
    }
    case 'read-only':
      for (const { start, physical, flags } of listMappings(state, own)) {
        const readable = (flags & VIRTIO_IOMMU_MAP_F_READ) !== 0;
        const writable = (flags & VIRTIO_IOMMU_MAP_F_WRITE) !== 0;
        if (readable && !writable && isRam(machine, physical)) return at(start, physical);
      }
      return undefined;
    case 'foreign': {
      let looked = 0;
      for (const { id } of domains) {
        if (id === own) continue;
        for (const { start, physical } of listMappings(state, id)) {
          if (looked++ > FOREIGN_MAX) return undefined;
          const free = isFree(machine, endpoint, state, own, start);
          if (free && isRam(machine, physical)) return at(start, physical);
        }
      }
      return undefined;
    }
    default:
      return aim satisfies never;
  }
}

function reservedOf({ model }: Machine, endpoint: Endpoint): Range[] {
  return expectedRegions(model, [endpoint])
    .filter(({ type }) => type === 'reserved')
    .map(({ range }) => range);
}

/** Whether the domain has nothing there, and no region says otherwise. */
function isFree(
  machine: Machine,
  endpoint: Endpoint,
  state: IommuState,
  domain: number,
  start: bigint,
): boolean {
  const range = { start, end: start + BigInt(AIM_BYTES) - 1n };
  if (listMappings(state, domain, range).next().value !== undefined) return false;
  return !expectedRegions(machine.model, [endpoint]).some((region) =>
    overlaps(region.range, range),
  );
}

function isRam({ model }: Machine, address: bigint): boolean {
  return model.memory.some((range) => contains(range, address));
}
