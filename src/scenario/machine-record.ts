import type { Range } from '../bytes/index.ts';
import type { Stray } from './access-audit.ts';

/**
 * What a machine of our own was found to hold, looked at from outside at certain moments. No event
 * tells of it, so no other machine can show it.
 */
export interface MachineRecord {
  /** vIOMMUs at power-on, and after each reset of the machine. */
  readonly starts: readonly StartRecord[];
  /** What could still be reached after each UNMAP. */
  readonly unmaps: UnmapRecord;
  /** What was still mapped for endpoints when their drivers were gone. */
  readonly unbinds: readonly UnbindRecord[];
}

export interface StartRecord {
  readonly viommu: string;
  readonly moment: 'power-on' | 'reset';
  /** Endpoint IDs of which an access was looked at, and those among them that it would pass. */
  readonly endpoints: readonly number[];
  readonly passing: readonly number[];
  /** Domains that existed. */
  readonly domains: number;
}

export interface UnmapRecord {
  /** UNMAPs that the device answered OK. */
  readonly count: number;
  /** The most ranges that UNMAPs of one notification were for; absent where that is not to be seen. */
  readonly largestBatch?: number;
  /** UNMAPs after which something of their range was still reachable, the first of them. */
  readonly left: readonly Stray[];
  readonly leftCount: number;
}

export interface UnbindRecord {
  readonly viommu: string;
  readonly endpoint: number;
  /** Other endpoints in its domain whose drivers were not unbound before. */
  readonly others: readonly number[];
  /** Mappings of its domain: as the device has them, the first of them. */
  readonly mappings: readonly LeftMapping[];
  readonly count: number;
  /** Mappings of its domain by ATTACH, MAP and UNMAP alone. */
  readonly counted: number;
}

export interface LeftMapping {
  readonly virt: Range;
  readonly phys: bigint;
}
