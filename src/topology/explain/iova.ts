import { contains, hex, showRange, type Range } from '../../bytes/index.ts';
import type { Facts } from '../facts.ts';
import type { Doorbell, Endpoint, Model, Viommu } from '../model.ts';
import { hostRegions } from '../passthrough.ts';
import { ownerOf } from './viommu.ts';
import { deviceOf } from './tree.ts';
import type { AddressExplanation, Asker, Conclusion, Trail } from './types.ts';

const PART = 'iova';

/** Where Linux puts doorbells that no device reserves (MSI_IOVA_BASE, MSI_IOVA_LENGTH). */
const SW_MSI: Range = { start: 0x800_0000n, end: 0x80f_ffffn };

/** In what an address falls, and what a DMA of the endpoint there would meet. */
export function explainAddress(
  trail: Trail,
  facts: Facts,
  asker: Asker,
  conclusions: readonly Conclusion[],
  address: bigint,
): AddressExplanation {
  const owner = ownerOf(facts.model, asker);
  const inTree = treeRegions(trail, facts, asker, address);
  if (!conclusions.some(({ fate }) => fate === 'translated')) {
    return { address, text: outside(trail, facts, owner?.viommu, address) };
  }
  const endpoint = facts.model?.endpoints.find(({ id }) => id === asker.id);
  const probe =
    facts.model === undefined ? undefined : probeRegion(facts.model, asker, endpoint, address);
  if (probe !== undefined) {
    trail.say(
      PART,
      'ok',
      `${hex(address)} is in ${probe.what} (${showRange(probe.range)}), which PROBE reports as ${probe.type}`,
      probe.place,
    );
    const text =
      probe.type === 'msi'
        ? `a write to ${hex(address)} is an MSI: it rings the doorbell without a mapping; a read there is a fault`
        : `nothing can be mapped at ${hex(address)} (MAP is answered with INVAL), and a DMA there is a fault`;
    return { address, text };
  }
  const limits = outOfRange(trail, facts, asker, owner?.viommu, address);
  if (limits !== undefined) return { address, text: limits };
  if (inTree !== undefined) return { address, text: inTree };
  softwareDoorbell(trail, facts, asker, address);
  const ram = facts.model?.memory ?? facts.tree?.memory ?? [];
  const here = ram.find((range) => contains(range, address));
  const note =
    here === undefined
      ? `${hex(address)} as an IOVA has nothing to do with the guest-physical address of the same number`
      : `${hex(address)} is also a guest-physical address in RAM (${showRange(here)}); behind the vIOMMU it means that only where a mapping says so`;
  trail.say(PART, 'note', note);
  return {
    address,
    text: `${hex(address)} is an IOVA like any other: a DMA there goes where a MAP of its domain says, with the flags of that MAP; without one it is a fault with reason MAPPING`,
  };
}

/** Regions of /reserved-memory that name the device. */
function treeRegions(
  trail: Trail,
  facts: Facts,
  asker: Asker,
  address: bigint,
): string | undefined {
  const { tree } = facts;
  const device = tree && deviceOf(tree, asker);
  if (tree === undefined || device === undefined) return undefined;
  for (const { path, key, physical, addresses } of tree.regions) {
    for (const entry of addresses) {
      if (!('key' in entry.device) || entry.device.key !== device.key) continue;
      if (entry.range === undefined || !contains(entry.range, address)) continue;
      if (!device.memoryRegions.includes(key)) {
        trail.say(
          PART,
          'note',
          `${path} reserves ${showRange(entry.range)} for ${device.path}, which does not point back with memory-region: Linux ignores it`,
          entry.place,
        );
        continue;
      }
      const direct = physical?.start === entry.range.start;
      const kind = direct
        ? 'a direct region: Linux maps it one to one'
        : 'a reservation: Linux allocates no IOVA there';
      trail.say(
        PART,
        'ok',
        `${path} (iommu-addresses) has ${showRange(entry.range)}: ${kind}`,
        entry.place,
      );
      return direct
        ? `a DMA to ${hex(address)} reaches the guest-physical address of the same number, through the direct mapping that Linux makes`
        : `Linux never maps ${hex(address)} for this device, so a DMA there is a fault with reason MAPPING`;
    }
  }
  return undefined;
}

/** DMA that no mapping concerns. */
function outside(
  trail: Trail,
  { model, tree }: Facts,
  viommu: Viommu | undefined,
  address: bigint,
): string {
  if (viommu !== undefined && !viommu.bootBypass) {
    return `a DMA to ${hex(address)} is blocked: the endpoint is attached to nothing and boot-bypass of ${viommu.id} is off (a fault with reason DOMAIN)`;
  }
  const bell = model?.doorbells.find(({ window }) => contains(window, address));
  if (bell !== undefined) {
    trail.say(
      PART,
      'ok',
      `${hex(address)} is in the doorbell ${bell.id} (${showRange(bell.window)})`,
      bell.place,
    );
    return `a write to ${hex(address)} rings the doorbell ${bell.id}`;
  }
  const ram = model?.memory ?? tree?.memory ?? [];
  const here = ram.find((range) => contains(range, address));
  if (here !== undefined) trail.say(PART, 'ok', `${hex(address)} is in RAM (${showRange(here)})`);
  return here === undefined
    ? `${hex(address)} is no RAM: the DMA, which is not translated, goes to whatever the bus has there`
    : `a DMA to ${hex(address)} reaches RAM at that guest-physical address: nothing translates or checks it`;
}

interface ProbeRegion {
  readonly range: Range;
  readonly type: 'msi' | 'reserved';
  readonly what: string;
  readonly place: Doorbell['place'];
}

/** What PROBE tells the driver of an endpoint. */
function probeRegion(
  model: Model,
  asker: Asker,
  endpoint: Endpoint | undefined,
  address: bigint,
): ProbeRegion | undefined {
  const owner = ownerOf(model, asker)?.viommu;
  if (owner?.features.includes('PROBE') !== true) return undefined;
  for (const { id, range, type, via, viommu, endpoints, place } of model.reserved) {
    const concerns =
      viommu === owner.id || (endpoint !== undefined && endpoints.includes(endpoint.id));
    if (!concerns || !via.includes('probe') || !contains(range, address)) continue;
    return { range, type: type === 'msi' ? 'msi' : 'reserved', what: `the region ${id}`, place };
  }
  const bell = doorbellOf(model, asker);
  if (bell?.delivery === 'reserved' && contains(bell.window, address)) {
    return { range: bell.window, type: 'msi', what: `the doorbell ${bell.id}`, place: bell.place };
  }
  if (endpoint === undefined) return undefined;
  const range = hostRegions(model, endpoint).find((it) => contains(it, address));
  if (range === undefined) return undefined;
  return {
    range,
    type: 'reserved',
    what: `what the host of ${endpoint.id} keeps`,
    place: endpoint.place,
  };
}

function doorbellOf(model: Model, { location }: Asker): Doorbell | undefined {
  if (location.kind !== 'pci') return undefined;
  const host = model.hosts.find(
    (it) => it.segment === location.segment && contains(it.buses, location.rid >>> 8),
  );
  return model.doorbells.find(({ id }) => id === host?.doorbell);
}

/** The ranges that Linux allocates IOVAs in. */
function outOfRange(
  trail: Trail,
  { tree }: Facts,
  { location }: Asker,
  viommu: Viommu | undefined,
  address: bigint,
): string | undefined {
  if (viommu?.features.includes('INPUT_RANGE') === true) {
    const { inputRange, id, places, place } = viommu;
    const inside = contains(inputRange, address);
    const text = `the input range of ${id} is ${showRange(inputRange)}: ${hex(address)} is ${inside ? 'in it' : 'outside'}`;
    trail.say(PART, inside ? 'ok' : 'stop', text, places['input-range'] ?? place);
    if (!inside) {
      return `nothing can be mapped at ${hex(address)} (MAP is answered with RANGE), and a DMA there is a fault with reason MAPPING`;
    }
  }
  if (location.kind !== 'pci') return undefined;
  const windows = tree?.hosts.find(
    (it) => (it.segment ?? 0) === location.segment && contains(it.buses, location.rid >>> 8),
  )?.dmaRanges;
  if (windows === undefined || windows.length === 0) return undefined;
  const inside = windows.some((range) => contains(range, address));
  trail.say(
    PART,
    inside ? 'ok' : 'stop',
    `dma-ranges of its host: ${windows.map(showRange).join(', ')}; ${hex(address)} is ${inside ? 'in it' : 'outside'}`,
  );
  return inside
    ? undefined
    : `Linux never allocates ${hex(address)}, which is outside dma-ranges: a DMA there is a fault with reason MAPPING`;
}

function softwareDoorbell(trail: Trail, { model }: Facts, asker: Asker, address: bigint): void {
  const bell = model && doorbellOf(model, asker);
  if (bell?.delivery === 'mapped' && contains(bell.window, address)) {
    trail.say(
      PART,
      'note',
      `${hex(address)} is the physical address of the doorbell ${bell.id}, which Linux maps somewhere else: a write here is DMA like any other`,
      bell.place,
    );
  }
  if (contains(SW_MSI, address)) {
    trail.say(
      PART,
      'note',
      `${hex(address)} is in ${showRange(SW_MSI)}, which sysfs shows as Linux's window for doorbells that it maps by itself (for VFIO); the DMA API puts them where it likes`,
    );
  }
}
