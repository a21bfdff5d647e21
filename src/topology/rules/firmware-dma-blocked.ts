import type { Facts, Finding, Rule } from '../facts.ts';

export const firmwareDmaBlocked: Rule = {
  id: 'firmware-dma-blocked',
  catalogue: [37],
  summary: 'Where PC firmware may boot from a device, its vIOMMU’s boot-bypass is on.',
  severity: 'error',
  effect: 'The firmware has no vIOMMU driver: its DMA is blocked and it hangs.',
  cure: 'Set boot-bypass: true, or bootable: false for the device.',
  *check({ model }: Facts): Iterable<Finding> {
    if (model?.board !== 'q35') return;
    const closed = new Map(model.viommus.filter((it) => !it.bootBypass).map((it) => [it.id, it]));
    for (const { id, device, viommu, place, places } of model.endpoints) {
      const blocker = closed.get(viommu ?? '');
      if (device === undefined || blocker === undefined || !device.bootable) continue;
      if (!device.accessPlatform) continue;
      yield {
        place: places['bootable'] ?? place,
        message: `${id} is bootable and behind ${blocker.id}, whose boot-bypass is off`,
        effect: 'SeaBIOS tries to read it and hangs at "Booting from ROM", before any kernel.',
        related: [
          { place: blocker.places['boot-bypass'] ?? blocker.place, message: 'boot-bypass is off' },
        ],
      };
    }
  },
};
