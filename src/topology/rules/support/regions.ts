import type { Range } from '../../../bytes/index.ts';
import type { TreeDescription, TreeDevice, TreeIommuAddress } from '../../description.ts';
import { keyOf } from './rid-map.ts';

const devices: WeakMap<TreeDescription, Map<string, TreeDevice>> = new WeakMap();

/** The device that an `iommu-addresses` entry is for. */
export function deviceOf(tree: TreeDescription, address: TreeIommuAddress): TreeDevice | undefined {
  let map = devices.get(tree);
  if (map === undefined) {
    map = new Map(tree.devices.map((it) => [it.key, it]));
    devices.set(tree, map);
  }
  const key = keyOf(address.device);
  return key === undefined ? undefined : map.get(key);
}

/** Whether IOVA and physical addresses are the same: Linux makes a direct mapping of it. */
export function isDirect(iova: Range, physical: Range | undefined): boolean {
  return physical !== undefined && iova.start === physical.start && iova.end === physical.end;
}
