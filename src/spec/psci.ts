// Power State Coordination Interface (ARM DEN 0022E), function identifiers and return codes.

export const PSCI_VERSION = 0x8400_0000;
export const PSCI_CPU_OFF = 0x8400_0002;
export const PSCI_CPU_ON_64 = 0xc400_0003;
export const PSCI_AFFINITY_INFO_64 = 0xc400_0004;
export const PSCI_MIGRATE_INFO_TYPE = 0x8400_0006;
export const PSCI_SYSTEM_OFF = 0x8400_0008;
export const PSCI_SYSTEM_RESET = 0x8400_0009;
export const PSCI_FEATURES = 0x8400_000a;

/** PSCI 1.1. */
export const PSCI_VERSION_1_1 = 0x0001_0001;
export const PSCI_SUCCESS = 0;
export const PSCI_NOT_SUPPORTED = -1;
export const PSCI_INVALID_PARAMETERS = -2;
export const PSCI_ALREADY_ON = -4;
/** MIGRATE_INFO_TYPE: there is no Trusted OS, or none that must migrate. */
export const PSCI_TOS_NOT_PRESENT = 2;
