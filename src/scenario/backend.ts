import type { Diagnostic } from '../topology/index.ts';
import type { Model } from '../topology/index.ts';
import type { DeviceEvent } from './events.ts';
import type { Observation } from './observation.ts';

/** The firmware a guest is to be given, as bytes. */
export interface FirmwareImages {
  /** The device tree blob. */
  readonly tree?: Uint8Array;
  /** ACPI tables by signature. */
  readonly tables: ReadonlyMap<string, Uint8Array>;
  /** Where it came from, for the verdict: `built from topologies/its.yaml`, `--firmware-from out`. */
  readonly origin: string;
}

/** One boot: what, with which firmware, for how long. */
export interface BootInput {
  readonly model: Model;
  readonly firmware: FirmwareImages;
  /** Ends the run early; the backend leaves no process behind. */
  readonly signal?: AbortSignal;
  /** Seconds until the run is ended and judged as it is. */
  readonly timeLimit: number;
  /** Everything random comes from this. */
  readonly seed: string;
}

/** What a backend tells while it runs. None of it is needed for the verdict. */
export interface BootHooks {
  /** A few words for the progress line: `guest: probing devices`. */
  readonly progress?: (stage: string) => void;
  /** A line of the guest's console; `time` on the clock of the events, where there is one. */
  readonly console?: (line: string, time?: number) => void;
  readonly event?: (event: DeviceEvent) => void;
  /** Everything that was seen, before it is judged. */
  readonly observed?: (observation: Observation) => void;
}

/** A world in which a guest can boot. */
export interface Backend {
  readonly name: string;
  /**
   * What stands in the way, before anything starts: what this backend cannot do with this topology
   * (errors with the alternative as cure). Missing programs are thrown by `run` as the backend's
   * own environment error.
   */
  preflight(input: BootInput): Promise<readonly Diagnostic[]>;
  /** Boots and reports. A guest that goes wrong is an observation, not an exception. */
  run(input: BootInput, hooks: BootHooks): Promise<Observation>;
}

/** The run was ended by its signal. */
export class BootAborted extends Error {
  override readonly name = 'BootAborted';
}
