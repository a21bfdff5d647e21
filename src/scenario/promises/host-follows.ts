import { expectedEndpoints } from '../expected.ts';
import { few, judged, unseen, type Item, type Promised } from '../promise.ts';

export const hostFollows: Promised = {
  id: 'host-follows',
  title: 'the host of each passed-through device maps what the guest maps, no more and no less',
  explanation:
    "After each ATTACH, MAP and UNMAP the container of the host (a simulated VFIO container, whose calls are followed one by one) holds the mappings of the device's domain: the same I/O virtual addresses, the same memory, the same rights. Judged for passed-through endpoints, where the devices are our own.",
  judge: (model, { device, capabilities }) =>
    expectedEndpoints(model).flatMap((expected): Item[] => {
      const { endpoint, translated, viommu, endpointId } = expected;
      if (endpoint.passthrough === undefined || !translated) return [];
      const parts = {
        subject: expected.label,
        endpoint: expected.id,
        expected: 'the same after each request',
      };
      const host = device.hosts?.find(
        (one) => one.viommu === viommu && one.endpoint === endpointId,
      );
      if (!capabilities.has('host') || host === undefined) {
        return [unseen({ ...parts, seen: 'this backend does not show the host' })];
      }
      const { maps, unmaps, refusalCount, differenceCount, differences } = host;
      const refused = refusalCount === 0 ? '' : `, ${refusalCount} refused`;
      return [
        judged(differenceCount === 0, {
          ...parts,
          seen:
            differenceCount === 0
              ? `${maps} mapped, ${unmaps} unmapped${refused}`
              : `different after ${differenceCount} request(s)`,
          evidence: few(differences, ({ event, why }) => ({
            source: 'device',
            text: `${event.text ?? event.kind}: ${why}`,
          })),
        }),
      ];
    }),
};
