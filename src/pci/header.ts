import {
  PCI_CACHE_LINE_SIZE,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_PROG,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_COMMAND_PARITY,
  PCI_COMMAND_SERR,
  PCI_CLASS_DEVICE,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_LATENCY_TIMER,
  PCI_REVISION_ID,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STATUS_ERRORS,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../spec/pci-config.ts';
import type { ConfigRegister } from './config-space.ts';

/** What a function says it is. */
export interface PciIdentity {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision?: number;
  /** Base class, sub-class, programming interface: 24 bits, PCI_CLASS_…. */
  readonly classCode: number;
  /** Type 0 only. */
  readonly subsystem?: { readonly vendorId: number; readonly deviceId: number };
  /** INTA# is 1; 0 when it has none (default). */
  readonly interruptPin?: number;
}

const COMMAND_WRITABLE =
  PCI_COMMAND_MEMORY |
  PCI_COMMAND_MASTER |
  PCI_COMMAND_PARITY |
  PCI_COMMAND_SERR |
  PCI_COMMAND_INTX_DISABLE;

/** Registers that both header types have (PCI Local Bus 3.0, 6.1). */
export function commonHeader(
  identity: PciIdentity,
  headerType: number,
  firstCapability: number,
  commandWrote: (now: number, before: number) => void,
): ConfigRegister[] {
  const { vendorId, deviceId, revision = 0, classCode, interruptPin = 0 } = identity;
  const status = firstCapability === 0 ? 0 : PCI_STATUS_CAP_LIST;
  return [
    { name: 'Vendor ID', offset: PCI_VENDOR_ID, size: 2, value: vendorId },
    { name: 'Device ID', offset: PCI_DEVICE_ID, size: 2, value: deviceId },
    {
      name: 'Command',
      offset: PCI_COMMAND,
      size: 2,
      value: 0,
      writable: COMMAND_WRITABLE,
      wrote: commandWrote,
    },
    { name: 'Status', offset: PCI_STATUS, size: 2, value: status, clear: PCI_STATUS_ERRORS },
    { name: 'Revision ID', offset: PCI_REVISION_ID, size: 1, value: revision },
    { name: 'Prog IF', offset: PCI_CLASS_PROG, size: 1, value: classCode & 0xff },
    { name: 'Class', offset: PCI_CLASS_DEVICE, size: 2, value: classCode >>> 8 },
    { name: 'Cache Line', offset: PCI_CACHE_LINE_SIZE, size: 1, value: 0, writable: 0xff },
    { name: 'Latency Timer', offset: PCI_LATENCY_TIMER, size: 1, value: 0 },
    { name: 'Header Type', offset: PCI_HEADER_TYPE, size: 1, value: headerType },
    { name: 'Capabilities', offset: PCI_CAPABILITY_LIST, size: 1, value: firstCapability },
    { name: 'Interrupt Line', offset: PCI_INTERRUPT_LINE, size: 1, value: 0, writable: 0xff },
    { name: 'Interrupt Pin', offset: PCI_INTERRUPT_PIN, size: 1, value: interruptPin },
  ];
}

/** What a type 0 header has besides. There is no expansion ROM. */
export function endpointHeader({ subsystem }: PciIdentity): ConfigRegister[] {
  const { vendorId = 0, deviceId = 0 } = subsystem ?? {};
  return [
    { name: 'Subsystem Vendor', offset: PCI_SUBSYSTEM_VENDOR_ID, size: 2, value: vendorId },
    { name: 'Subsystem', offset: PCI_SUBSYSTEM_ID, size: 2, value: deviceId },
  ];
}
