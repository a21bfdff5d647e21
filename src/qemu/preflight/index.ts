import type { Diagnostic, Model } from '../../topology/index.ts';
import { OLDEST_QEMU, type QemuVersion } from '../version.ts';
import { endpointRules } from './endpoints.ts';
import { knobRules } from './knobs.ts';
import { machineRules } from './machine.ts';
import { regionRules } from './regions.ts';
import { runPreflightRule, type PreflightRule } from './rule.ts';
import { viommuRules } from './viommus.ts';

export type { PreflightRule } from './rule.ts';
export { TREE_BYTES_MAX } from './machine.ts';
export { VFIO_USER_RULES } from './vfio-user.ts';

/** Every rule, in the order it is run. */
export const PREFLIGHT_RULES: readonly PreflightRule[] = [
  ...machineRules,
  ...viommuRules,
  ...knobRules,
  ...endpointRules,
  ...regionRules,
];

export interface PreflightOptions {
  /** Default: {@link PREFLIGHT_RULES}, for QEMU's own devices. */
  readonly rules?: readonly PreflightRule[];
  /** Default: 7.2, the oldest QEMU that is driven. */
  readonly version?: QemuVersion;
  /** Bytes of the device tree that will be passed. */
  readonly treeBytes?: number;
  /** Q35 with ACPI tables of ours; default true. */
  readonly ownTables?: boolean;
}

/**
 * What this QEMU cannot do for this topology, each with the alternative; empty: it can be started.
 *
 * Nothing is run. A board that QEMU lacks is reported alone, since nothing else would matter.
 */
export function preflight(model: Model, options: PreflightOptions = {}): Diagnostic[] {
  const wish = {
    model,
    version: options.version ?? OLDEST_QEMU,
    ownTables: options.ownTables ?? true,
    ...(options.treeBytes === undefined ? {} : { treeBytes: options.treeBytes }),
  };
  return (options.rules ?? PREFLIGHT_RULES).flatMap((rule) => runPreflightRule(rule, wish));
}
