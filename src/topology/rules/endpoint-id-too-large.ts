import { hex } from '../../bytes/index.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { onQemu } from './support/match.ts';
import { showRids } from './support/text.ts';

export const endpointIdTooLarge: Rule = {
  id: 'endpoint-id-too-large',
  catalogue: [11],
  summary: 'On QEMU an endpoint ID is the requester ID: 16 bits, PCI only.',
  severity: 'error',
  effect:
    'QEMU’s vIOMMU answers PROBE with NOENT: the device works untranslated, and nothing is logged.',
  cure: 'Set endpoint-id-base: 0x0 for the host and leave endpoint-id out, or use board: emulator.',
  *check({ model }: Facts): Iterable<Finding> {
    if (model === undefined || !onQemu(model)) return;
    for (const row of model.coverage) {
      if (row.endpointId === row.rids.start) continue;
      const last = row.endpointId + (row.rids.end - row.rids.start);
      const large = last > 0xffff;
      yield {
        place: row.place,
        message: `${showRids(row.segment, row.rids)} behind ${row.viommu}: endpoint ID ${hex(row.endpointId)}, but QEMU knows it as ${hex(row.rids.start)}`,
        ...(large && {
          effect:
            'QEMU keeps the low 16 bits: PROBE of a longer ID succeeds as another endpoint, the device itself stays unattached and its I/O hangs.',
        }),
      };
    }
    for (const { id, location, viommu, endpointId, place, places } of model.endpoints) {
      if (location.kind !== 'platform' || viommu === undefined) continue;
      yield {
        place: places['viommu'] ?? place,
        message: `the platform device ${id} is behind ${viommu} (endpoint ID ${hex(endpointId ?? 0)}), but QEMU’s vIOMMU knows PCI functions only`,
        effect:
          'QEMU never translates DMA of virtio-mmio devices and answers PROBE with NOENT: the device works untranslated, and nothing is logged.',
        cure: 'Use board: emulator, or put the device on PCI.',
      };
    }
  },
};
