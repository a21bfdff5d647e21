import type { Diagnostic, Finding, Model, Place, Severity, Viommu } from '../../topology/index.ts';
import type { QemuVersion } from '../version.ts';

/** What is asked of QEMU. */
export interface Wish {
  readonly model: Model;
  readonly version: QemuVersion;
  /** Bytes of the device tree that is to be passed, where known. */
  readonly treeBytes?: number;
  /** Q35: the guest gets tables of ours, by way of `acpi_rsdp=`. */
  readonly ownTables: boolean;
}

/** One thing that QEMU cannot do; documented in docs/reference/qemu.md under its id. */
export interface PreflightRule {
  /** `qemu-…`. */
  readonly id: string;
  /** One line: what must hold. */
  readonly summary: string;
  readonly severity: Severity;
  /** What would happen if QEMU were started all the same. */
  readonly effect: string;
  /** The alternative. */
  readonly cure: string;
  readonly check: (wish: Wish) => Iterable<Finding>;
}

/** The alternative where nothing in the topology is to change. */
export const MODEL_BACKEND =
  'Boot it with `--backend model`, whose devices are our own and have no such limit.';

/** Runs one rule. */
export function runPreflightRule(rule: PreflightRule, wish: Wish): Diagnostic[] {
  return Array.from(rule.check(wish), (finding) => ({
    rule: rule.id,
    severity: finding.severity ?? rule.severity,
    place: finding.place,
    message: finding.message,
    effect: finding.effect ?? rule.effect,
    cure: finding.cure ?? rule.cure,
    related: finding.related ?? [],
  }));
}

/** The key of a vIOMMU that a finding is about, or the vIOMMU itself. */
export function placeOf(viommu: Viommu, ...keys: string[]): Place {
  for (const key of keys) {
    const place = viommu.places[key];
    if (place !== undefined) return place;
  }
  return viommu.place;
}

/** Whether QEMU has the board at all; where not, `qemu-board` says so and the others are silent. */
export function qemuModel(model: Model): boolean {
  return model.board !== 'emulator';
}
