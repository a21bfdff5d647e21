import type { Diagnostic, Place } from '../../topology/index.ts';
import { hex } from '../../bytes/index.ts';
import type { CauseFinder } from '../cause.ts';

/** What the rules find in the guest's own copy, when nothing better names it. */
export const rules: CauseFinder = ({ observation }) => {
  const { diagnostics, from } = observation.described;
  const ranked = diagnostics.toSorted((a, b) => weight(a) - weight(b));
  return ranked.map((diagnostic) => ({
    id: `rule/${diagnostic.rule}`,
    message: `${from === 'guest' ? "the guest's firmware" : 'the firmware'} breaks a rule at ${showPlace(diagnostic.place)}: ${diagnostic.message}`,
    endpoints: [],
    ...(diagnostic.cure === undefined ? {} : { cure: diagnostic.cure }),
    evidence:
      diagnostic.effect === undefined
        ? []
        : [{ source: 'firmware' as const, text: diagnostic.effect }],
  }));
};

function weight({ severity }: Diagnostic): number {
  return severity === 'error' ? 0 : 1;
}

/** `topology.dtb: /pcie@4010000000 iommu-map`, `viot.aml: VIOT+0x30`, `its.yaml:4:7`. */
export function showPlace(place: Place): string {
  switch (place.kind) {
    case 'source':
      return `${place.file}:${place.line}:${place.column}`;
    case 'tree':
      return `${place.path}${place.property === undefined ? '' : ` ${place.property}`}`;
    case 'table':
      return `${place.table}+${hex(place.offset)}${place.field === undefined ? '' : ` (${place.field})`}`;
    case 'file':
      return place.file;
    default:
      return place satisfies never;
  }
}
