import { isAt, placeName } from '../names.ts';
import { judged, unseen, type Promised } from '../promise.ts';

export const viommusPresent: Promised = {
  id: 'viommus-present',
  title: 'the guest drives exactly the vIOMMUs of the topology',
  explanation:
    'Each vIOMMU shows up in /sys/class/iommu at its own place, and no other does. It is there only when the virtio_iommu driver accepted the device.',
  judge: (model, { guest }) => {
    const items = model.viommus.map((viommu) => {
      const parts = {
        subject: `${viommu.id} (${placeName(viommu.transport)})`,
        expected: 'registered with the guest',
      };
      if (guest.devices.length === 0) {
        return unseen({ ...parts, seen: 'the guest did not come to list its devices' });
      }
      const found = guest.iommus.find(({ name, device }) => isAt(device ?? name, viommu.transport));
      const others = guest.iommus.map(({ name, device }) => device ?? name).join(', ');
      return judged(found !== undefined, {
        ...parts,
        seen:
          found === undefined
            ? `not there; IOMMUs: ${others || 'none'}`
            : `there, as ${found.name}`,
      });
    });
    for (const { name, device } of guest.iommus) {
      const at = device ?? name;
      if (model.viommus.some((viommu) => isAt(at, viommu.transport))) continue;
      items.push(judged(false, { subject: at, expected: 'no IOMMU', seen: `IOMMU ${name}` }));
    }
    return items;
  },
};
