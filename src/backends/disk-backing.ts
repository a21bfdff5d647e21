import { isAt, type GuestObservation } from '../scenario/index.ts';
import type { Model } from '../topology/index.ts';

/** What was written lies in our own store: there is no need to believe the guest. */
export function withBacking(
  model: Model,
  guest: GuestObservation,
  /** sha256 of what an endpoint's disk has where `bytes` were written. */
  sha256: (endpoint: string, bytes: number) => string | undefined,
): GuestObservation {
  return {
    ...guest,
    disks: guest.disks.map((seen) => {
      const { write } = seen;
      const endpoint = model.endpoints.find(({ location }) => isAt(seen.device, location));
      if (write === undefined || endpoint === undefined) return seen;
      const backingSha256 = sha256(endpoint.id, write.bytes);
      return backingSha256 === undefined ? seen : { ...seen, write: { ...write, backingSha256 } };
    }),
  };
}
