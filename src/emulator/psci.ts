import * as psci from '../spec/psci.ts';
import type { Core } from './core.ts';

/** What a PSCI call asks of the machine. */
export type PsciOutcome = 'resume' | 'off' | 'reset';

/** SMC Calling Convention: function identifiers have 32 bits. */
const FUNCTION_MASK = 0xffff_ffffn;

const KNOWN: ReadonlySet<number> = new Set([
  psci.PSCI_VERSION,
  psci.PSCI_CPU_OFF,
  psci.PSCI_CPU_ON_64,
  psci.PSCI_AFFINITY_INFO_64,
  psci.PSCI_MIGRATE_INFO_TYPE,
  psci.PSCI_SYSTEM_OFF,
  psci.PSCI_SYSTEM_RESET,
  psci.PSCI_FEATURES,
]);

/** Answers the HVC that the core stopped at: PSCI for a machine of one CPU. */
export function psciCall(core: Core): PsciOutcome {
  const id = Number(core.getX(0) & FUNCTION_MASK);
  if (id === psci.PSCI_SYSTEM_OFF || id === psci.PSCI_CPU_OFF) return 'off';
  if (id === psci.PSCI_SYSTEM_RESET) return 'reset';
  core.setX(0, BigInt.asUintN(64, BigInt(answer(core, id))));
  return 'resume';
}

function answer(core: Core, id: number): number {
  switch (id) {
    case psci.PSCI_VERSION:
      return psci.PSCI_VERSION_1_1;
    case psci.PSCI_MIGRATE_INFO_TYPE:
      return psci.PSCI_TOS_NOT_PRESENT;
    case psci.PSCI_CPU_ON_64:
      return core.getX(1) === 0n ? psci.PSCI_ALREADY_ON : psci.PSCI_INVALID_PARAMETERS;
    case psci.PSCI_AFFINITY_INFO_64:
      return core.getX(1) === 0n ? psci.PSCI_SUCCESS : psci.PSCI_INVALID_PARAMETERS;
    case psci.PSCI_FEATURES:
      return KNOWN.has(Number(core.getX(1) & FUNCTION_MASK))
        ? psci.PSCI_SUCCESS
        : psci.PSCI_NOT_SUPPORTED;
    default:
      return psci.PSCI_NOT_SUPPORTED;
  }
}
