import {
  amlDevice,
  amlEisaId,
  amlInteger,
  amlName,
  amlPackage,
  amlReturnsArg3,
  amlString,
  type Aml,
} from './aml.ts';
import { resourceTemplate, type Resource } from './aml-resources.ts';

/** Registers and one interrupt, as most platform devices have. */
export interface PlatformDevice {
  /** Four characters, unique in its scope. */
  readonly name: string;
  /** `_HID`, such as LNRO0005. */
  readonly hid: string;
  readonly uid: number;
  readonly base: number;
  readonly size: number;
  readonly gsiv: number;
  readonly edge?: boolean;
}

/** `_HID` of a virtio-mmio device to Linux, of an Arm PL011 and of a processor. */
export const HID_VIRTIO_MMIO = 'LNRO0005';
export const HID_PL011 = 'ARMH0011';
export const HID_PROCESSOR = 'ACPI0007';

/** A coherent platform device with registers and an interrupt. */
export function platformDevice(device: PlatformDevice): Aml {
  const { base, size, gsiv, edge = false } = device;
  return amlDevice(device.name, [
    amlName('_HID', amlString(device.hid)),
    amlName('_UID', amlInteger(device.uid)),
    amlName('_CCA', amlInteger(1)),
    amlName(
      '_CRS',
      resourceTemplate([
        { kind: 'memory32-fixed', base, size },
        { kind: 'interrupt', gsivs: [gsiv], edge },
      ]),
    ),
  ]);
}

/** A CPU; `uid` is the `acpiProcessorUid` of its MADT entry. */
export function processorDevice(uid: number): Aml {
  const name = `C${uid.toString(16).toUpperCase().padStart(3, '0')}`;
  return amlDevice(name, [
    amlName('_HID', amlString(HID_PROCESSOR)),
    amlName('_UID', amlInteger(uid)),
  ]);
}

/** A wired interrupt of a PCI slot. */
export interface PciRoute {
  /** 0..31 */
  readonly device: number;
  /** 0 for INTA to 3 for INTD. */
  readonly pin: number;
  readonly gsiv: number;
}

export interface PciHostBridge {
  /** Four characters, unique in its scope. */
  readonly name: string;
  readonly uid: number;
  readonly segment: number;
  /** The first bus, and the last one, included. */
  readonly startBus: number;
  readonly endBus: number;
  /** Windows; the buses are added. */
  readonly windows: readonly Extract<Resource, { kind: 'memory-window' | 'io-window' }>[];
  /** `_PRT`; left out when there is none. */
  readonly routes?: readonly PciRoute[];
}

/** A PCI Express host bridge whose ECAM the MCFG describes. */
export function pciHostBridge(bridge: PciHostBridge): Aml {
  const { startBus: start, endBus: end } = bridge;
  return amlDevice(bridge.name, [
    amlName('_HID', amlEisaId('PNP0A08')),
    amlName('_CID', amlEisaId('PNP0A03')),
    amlName('_SEG', amlInteger(bridge.segment)),
    amlName('_BBN', amlInteger(start)),
    amlName('_UID', amlInteger(bridge.uid)),
    amlName('_CCA', amlInteger(1)),
    // The operating system may have all it asks for: hot-plug, PME and AER are its own (PCI
    // Firmware 3.3, 4.5). Without _OSC Linux leaves them to a firmware that there is not.
    amlReturnsArg3('_OSC'),
    amlName('_CRS', resourceTemplate([{ kind: 'bus', start, end }, ...bridge.windows])),
    ...(bridge.routes === undefined ? [] : [amlName('_PRT', routingTable(bridge.routes))]),
  ]);
}

/** `_PRT` with GSIs instead of link devices (ACPI 6.5, 6.2.13). */
function routingTable(routes: readonly PciRoute[]): Aml {
  return amlPackage(
    routes.map(({ device, pin, gsiv }) => {
      if (device < 0 || device > 31 || pin < 0 || pin > 3) {
        throw new RangeError(`no pin ${pin} of PCI device ${device}`);
      }
      const address = device * 0x10000 + 0xffff;
      return amlPackage([amlInteger(address), amlInteger(pin), amlInteger(0), amlInteger(gsiv)]);
    }),
  );
}
