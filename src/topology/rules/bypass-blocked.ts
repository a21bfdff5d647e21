import type { Facts, Finding, Rule } from '../facts.ts';
import { onQemu } from './support/match.ts';
import { showRids } from './support/text.ts';

export const bypassBlocked: Rule = {
  id: 'bypass-blocked',
  catalogue: [12],
  summary: 'Where functions bypass on a bus that a vIOMMU has in QEMU, its boot-bypass is on.',
  severity: 'error',
  effect: 'No driver attaches the endpoint, and its DMA is blocked: I/O hangs.',
  cure: 'Set boot-bypass: true, let the whole host bypass, or put the endpoint behind the vIOMMU.',
  *check({ model }: Facts): Iterable<Finding> {
    if (model === undefined || !onQemu(model)) return;
    const viommus = new Map(model.viommus.map((it) => [it.id, it]));
    for (const { id, location, device, viommu, place } of model.endpoints) {
      if (location.kind !== 'pci' || device === undefined || viommu !== undefined) continue;
      if (!device.accessPlatform && device.kind.startsWith('virtio')) continue;
      const owner = model.coverage.find((row) => row.host === location.host)?.viommu;
      const blocker = owner === undefined ? undefined : viommus.get(owner);
      if (blocker === undefined || blocker.bootBypass) continue;
      yield {
        place,
        message: `${id} (${showRids(location.segment, location.rids)}) bypasses on a bus that ${blocker.id} has, and boot-bypass of ${blocker.id} is off`,
        effect: `The guest never attaches ${id}, so QEMU blocks its DMA: "unknown fault from EP …", I/O hangs.`,
        related: [
          { place: blocker.places['boot-bypass'] ?? blocker.place, message: 'boot-bypass is off' },
        ],
      };
    }
  },
};
