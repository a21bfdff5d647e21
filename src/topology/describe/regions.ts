import type { Range } from '../../bytes/index.ts';
import { PCI_SPACE_MEM32, PCI_SPACE_MEM64 } from '../../spec/pci-tree.ts';
import type { TreeIommuAddress, TreeRegion } from '../description.ts';
import type { Endpoint, Model, ReservedRegion } from '../model.ts';
import { unit } from './keys.ts';

/** Regions that `reserved-memory` carries. */
export function treeRegions(model: Model): TreeRegion[] {
  return carried(model).map((region) => {
    const overrides = model.firmware.overrides?.regions[region.id];
    const physical = region.type === 'direct' ? (region.physical ?? region.range) : region.physical;
    const raw = overrides?.iommuAddresses;
    const place = overrides?.places['iommu-addresses'] ?? region.place;
    return {
      key: region.id,
      path: `/reserved-memory/${region.id}${physical ? `@${unit(physical.start)}` : ''}`,
      ...(physical === undefined ? {} : { physical }),
      addresses: targets(model, region).map((endpoint) => address(endpoint, region, raw, place)),
      place: region.place,
    };
  });
}

function carried(model: Model): ReservedRegion[] {
  return model.reserved.filter((region) => region.via.includes('device-tree'));
}

/** Devices that a region can name: those with a node of their own. */
function targets(model: Model, region: ReservedRegion): Endpoint[] {
  const names = new Set(region.endpoints);
  return model.endpoints.filter((endpoint) => names.has(endpoint.id) && hasNode(endpoint));
}

function hasNode({ location }: Endpoint): boolean {
  return location.kind === 'platform' || location.form === 'function';
}

/** Regions by endpoint, as the endpoint's `memory-region` lists them. */
export function regionsOf(model: Model, endpoint: Endpoint): string[] {
  if (!hasNode(endpoint)) return [];
  return carried(model)
    .filter(({ id, endpoints }) => {
      const linked = model.firmware.overrides?.regions[id]?.memoryRegion ?? true;
      return linked && endpoints.includes(endpoint.id);
    })
    .map((region) => region.id);
}

/** PCI functions that need a node, because a region names them. */
export function namedByRegions(model: Model): Endpoint[] {
  const names = new Set(carried(model).flatMap((region) => region.endpoints));
  return model.endpoints.filter(
    (endpoint) => names.has(endpoint.id) && endpoint.location.kind === 'pci' && hasNode(endpoint),
  );
}

function address(
  endpoint: Endpoint,
  region: ReservedRegion,
  raw: readonly number[] | undefined,
  place: TreeIommuAddress['place'],
): TreeIommuAddress {
  const pci = endpoint.location.kind === 'pci';
  const cells = raw ?? addressCells(region.range, pci);
  const range = raw === undefined ? region.range : rangeOf(raw, pci);
  const device = { key: endpoint.id };
  return { device, cells, ...(range === undefined ? {} : { range }), place };
}

/** Cells of the device's parent bus: 3 + 2 below a PCI host, 2 + 2 below the root. */
function addressCells(range: Range, pci: boolean): number[] {
  const { start, end } = range;
  const space = end > 0xffff_ffffn ? PCI_SPACE_MEM64 : PCI_SPACE_MEM32;
  return [...(pci ? [space] : []), ...words(start), ...words(end - start + 1n)];
}

function words(value: bigint): [number, number] {
  return [Number((value >> 32n) & 0xffff_ffffn), Number(value & 0xffff_ffffn)];
}

/** What the cells mean to a kernel, which cuts them into tuples of the parent bus's size. */
function rangeOf(cells: readonly number[], pci: boolean): Range | undefined {
  const tuple = pci ? 5 : 4;
  if (cells.length === 0 || cells.length % tuple !== 0) return undefined;
  const [high = 0, low = 0, sizeHigh = 0, sizeLow = 0] = cells.slice(tuple - 4, tuple);
  const start = (BigInt(high) << 32n) | BigInt(low);
  const size = (BigInt(sizeHigh) << 32n) | BigInt(sizeLow);
  return size === 0n ? undefined : { start, end: start + size - 1n };
}
