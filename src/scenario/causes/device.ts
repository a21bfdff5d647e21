import { hex } from '../../bytes/index.ts';
import { hasFailed, type Cause, type CauseFinder } from '../cause.ts';
import { isAt, placeName } from '../names.ts';

/** vIOMMUs that a guest cannot drive, whatever the firmware says. */
export const device: CauseFinder = (facts) => {
  const { model, observation } = facts;
  if (!hasFailed(facts, 'viommus-present', 'behind-is-grouped', 'guest-completed')) return [];
  return model.viommus.flatMap((viommu): Cause[] => {
    const { transport } = viommu;
    const there = observation.guest.iommus.some(({ name, device: at }) =>
      isAt(at ?? name, transport),
    );
    const name = `${viommu.id} (${placeName(transport)})`;
    const base = { endpoints: [], evidence: [] };
    if (!there && transport.kind === 'mmio' && transport.legacy) {
      return [
        {
          ...base,
          id: 'viommu-legacy',
          message: `${name} is a legacy virtio-mmio device; Linux drives virtio-iommu only with VIRTIO_F_VERSION_1`,
          cure: 'leave `legacy` out',
        },
      ];
    }
    if (viommu.granule > model.guest.pageSize) {
      return [
        {
          ...base,
          id: 'viommu-granule',
          message: `the granule of ${name} is ${hex(viommu.granule)}, more than the guest's page of ${hex(model.guest.pageSize)}; Linux refuses its domains`,
          cure: 'a smaller granule, or a kernel with larger pages',
        },
      ];
    }
    return [];
  });
};
