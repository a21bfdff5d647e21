import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { deviceOf } from './support/regions.ts';
import { linux } from './support/text.ts';

export const iommuAddressesCells: Rule = {
  id: 'iommu-addresses-cells',
  catalogue: [21],
  summary: 'iommu-addresses has the address and size cells of the device’s parent bus.',
  severity: 'error',
  effect: 'Linux reads another range than is meant, and nothing is logged.',
  cure: 'For a PCI function write 3 address and 2 size cells: <&device 0x02000000 hi lo size-hi size-lo>; on a bus of 2 + 2 cells <&device hi lo size-hi size-lo>.',
  *check(facts: Facts): Iterable<Finding> {
    const { tree } = facts;
    for (const region of tree?.regions ?? []) {
      for (const address of region.addresses) {
        const device = tree && deviceOf(tree, address);
        if (device === undefined || address.range !== undefined) continue;
        const { cells } = address;
        const want =
          device.pci === undefined
            ? 'as its parent bus says'
            : '5 (3 address and 2 size), as a PCI function';
        yield {
          place: address.place,
          message: `iommu-addresses of ${region.key} has ${cells.length} cells for ${device.key} (${cells.map((it) => hex(it)).join(' ')}); it needs ${want}`,
          effect: `${linux(facts)} reads the cells of the next entry, or none, as part of this range: another range is reserved than is meant, and nothing is logged.`,
          related: [{ place: device.place, message: `${device.key} is here` }],
        };
      }
    }
  },
};
