import { structBytes } from '../bytes/index.ts';
import * as spec from '../spec/acpi.ts';
import { writeTable, type TableIds } from './header.ts';

/** Fields of the FADT by the names in `spec/acpi.ts`; what is absent is 0. */
export type FadtFields = Partial<ReturnType<typeof spec.ACPI_FADT_FIELDS.read>>;

/** An address of a register in memory, `width` bits wide. */
export function memoryRegister(address: bigint, width: 8 | 16 | 32 | 64): Uint8Array {
  const accessWidth = Math.log2(width / 8) + 1;
  return structBytes(spec.ACPI_GENERIC_ADDRESS, 'le', { bitWidth: width, accessWidth, address });
}

/**
 * Writes a FADT of ACPI 6.5. The address of the DSDT may stay 0: `layOutTables` fills it in.
 */
export function writeFadt(fields: FadtFields, ids?: TableIds): Uint8Array {
  const minor = { fadtMinorVersion: spec.ACPI_FADT_MINOR_VERSION };
  const body = structBytes(spec.ACPI_FADT_FIELDS, 'le', { ...minor, ...fields });
  return writeTable(spec.ACPI_SIG_FADT, spec.ACPI_FADT_REVISION, body, ids);
}

/** A FADT for an Arm machine: no ACPI hardware, CPUs started by PSCI. */
export function writeArmFadt(
  psci: { readonly conduit: 'hvc' | 'smc' },
  ids?: TableIds,
): Uint8Array {
  const hvc = psci.conduit === 'hvc' ? spec.ACPI_FADT_PSCI_USE_HVC : 0;
  return writeFadt(
    { flags: spec.ACPI_FADT_HW_REDUCED, armBootArch: spec.ACPI_FADT_PSCI_COMPLIANT | hvc },
    ids,
  );
}

/** A timer interrupt; level triggered and active high unless it says otherwise. */
export interface TimerInterrupt {
  readonly gsiv: number;
  readonly edge?: boolean;
  readonly activeLow?: boolean;
  readonly alwaysOn?: boolean;
}

const NO_COUNTER = 0xffffffffffffffffn;

/** Writes a GTDT (ACPI 6.5, 5.2.25) without memory-mapped timers. */
export function writeGtdt(
  timers: {
    readonly secureEl1: TimerInterrupt;
    readonly nonSecureEl1: TimerInterrupt;
    readonly virtualEl1: TimerInterrupt;
    readonly el2: TimerInterrupt;
    readonly virtualEl2?: TimerInterrupt;
  },
  ids?: TableIds,
): Uint8Array {
  const virtualEl2 = timers.virtualEl2 ?? { gsiv: 0 };
  const body = structBytes(spec.ACPI_GTDT_FIELDS, 'le', {
    cntControlBase: NO_COUNTER,
    cntReadBase: NO_COUNTER,
    secureEl1Gsiv: timers.secureEl1.gsiv,
    secureEl1Flags: timerFlags(timers.secureEl1),
    nonSecureEl1Gsiv: timers.nonSecureEl1.gsiv,
    nonSecureEl1Flags: timerFlags(timers.nonSecureEl1),
    virtualEl1Gsiv: timers.virtualEl1.gsiv,
    virtualEl1Flags: timerFlags(timers.virtualEl1),
    el2Gsiv: timers.el2.gsiv,
    el2Flags: timerFlags(timers.el2),
    virtualEl2Gsiv: virtualEl2.gsiv,
    virtualEl2Flags: timerFlags(virtualEl2),
  });
  return writeTable(spec.ACPI_SIG_GTDT, spec.ACPI_GTDT_REVISION, body, ids);
}

function timerFlags(timer: TimerInterrupt): number {
  return (
    (timer.edge === true ? spec.ACPI_GTDT_INTERRUPT_MODE : 0) |
    (timer.activeLow === true ? spec.ACPI_GTDT_INTERRUPT_POLARITY : 0) |
    (timer.alwaysOn === true ? spec.ACPI_GTDT_ALWAYS_ON : 0)
  );
}

/** interruptType of the SPCR: bits for 8259, I/O APIC, GIC. */
const SPCR_INTERRUPT_IO_APIC = 2;
const SPCR_INTERRUPT_GIC = 8;
const SPCR_BAUD_115200 = 7;
const SPCR_TERMINAL_ANSI = 3;
const PCI_ID_NONE = 0xffff;

/** Namespace string of a console that has no name in the namespace. */
const SPCR_NO_NAME = '.\0';

/** Writes an SPCR, revision 4: the console is this UART at 115200 baud, 8N1. */
export function writeSpcr(
  uart: { readonly type: 'pl011' | '16550'; readonly base: bigint; readonly gsiv: number },
  ids?: TableIds,
): Uint8Array {
  const pl011 = uart.type === 'pl011';
  const body = structBytes(spec.ACPI_SPCR_FIELDS, 'le', {
    interfaceType: pl011 ? spec.ACPI_DBG2_ARM_PL011 : spec.ACPI_DBG2_16550_COMPATIBLE,
    baseAddress: memoryRegister(uart.base, pl011 ? 32 : 8),
    interruptType: pl011 ? SPCR_INTERRUPT_GIC : SPCR_INTERRUPT_IO_APIC,
    interrupt: uart.gsiv,
    baudRate: SPCR_BAUD_115200,
    stopBits: 1,
    terminalType: SPCR_TERMINAL_ANSI,
    pciDeviceId: PCI_ID_NONE,
    pciVendorId: PCI_ID_NONE,
    namespaceStringLength: SPCR_NO_NAME.length,
    namespaceStringOffset: spec.ACPI_TABLE_HEADER.size + spec.ACPI_SPCR_FIELDS.size,
  });
  const whole = Buffer.concat([body, Buffer.from(SPCR_NO_NAME, 'latin1')]);
  return writeTable(spec.ACPI_SIG_SPCR, spec.ACPI_SPCR_REVISION, whole, ids);
}
