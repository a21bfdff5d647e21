import type { Domain } from './domain.ts';
import type { Pin } from './pins.ts';
import type { PassthroughPort } from './port.ts';
import { holesOf, mergeRegions, RegionSet, type ReservedRegion } from './regions.ts';

/** A device whose accesses the vIOMMU translates. */
export interface EndpointOptions {
  /** Endpoint ID: 32 bits, unique below one vIOMMU. */
  readonly id: number;
  /** What PROBE reports and MAP refuses. */
  readonly reserved?: readonly ReservedRegion[];
  /** The host side, when the endpoint is passed through. */
  readonly port?: PassthroughPort;
}

export class Endpoint {
  readonly id: number;
  /** Own regions and, passed through, those of the host. */
  readonly regions: RegionSet;
  readonly port: PassthroughPort | undefined;
  domain: Domain | undefined;
  /** Accesses in flight. */
  readonly pins: Set<Pin> = new Set();
  /** Accesses still to be refused by fault injection. */
  injected = 0;

  /** @throws RangeError on an ID of more than 32 bits, or regions that overlap */
  constructor({ id, reserved = [], port }: EndpointOptions) {
    if (!Number.isInteger(id) || id < 0 || id > 0xffff_ffff) {
      throw new RangeError(`endpoint ID ${id}: must be 0 to 0xffffffff`);
    }
    this.id = id;
    this.port = port;
    // The own regions alone first, so that an overlap among them is found.
    const own = new RegionSet(reserved);
    this.regions =
      port === undefined
        ? own
        : new RegionSet(mergeRegions(own.list, [...port.reserved, ...holesOf(port.aperture)]));
  }
}
