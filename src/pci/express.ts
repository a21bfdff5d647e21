import {
  PCI_CAP_EXP_SIZEOF,
  PCI_CAP_ID_EXP,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP2,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCAP_RBER,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL2,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_DEVSTA,
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_SLOT,
  PCI_EXP_FLAGS_VERS_2,
  PCI_EXP_LNKCAP,
  PCI_EXP_LNKCAP_MLW_X1,
  PCI_EXP_LNKCAP_SLS_2_5GB,
  PCI_EXP_LNKCTL,
  PCI_EXP_LNKCTL2,
  PCI_EXP_LNKSTA,
  PCI_EXP_RTCTL,
  PCI_EXP_RTSTA,
  PCI_EXP_SLTCAP,
  PCI_EXP_SLTCTL,
  PCI_EXP_SLTSTA,
  PCI_EXP_SLTSTA_DLLSC,
  PCI_EXP_SLTSTA_PDC,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_PCI_BRIDGE,
  PCI_EXP_TYPE_RC_END,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXP_TYPE_SHIFT,
} from '../spec/pci-config.ts';
import type { Capability } from './capabilities.ts';
import type { ConfigRegister } from './config-space.ts';

export type ExpressType = 'endpoint' | 'root-port' | 'pci-bridge';

export interface ExpressOptions {
  readonly type: ExpressType;
  /** Called when a driver starts a function level reset; without it none is offered. */
  readonly functionReset?: () => void;
  /** Slot capabilities of a root port that has a slot; `slotWrote` follows each write to Slot Control. */
  readonly slot?: { readonly capabilities: number; readonly wrote: () => void };
  /** Link capabilities besides speed and width. */
  readonly link?: number;
}

const TYPES: Readonly<Record<ExpressType, number>> = {
  endpoint: PCI_EXP_TYPE_ENDPOINT,
  'root-port': PCI_EXP_TYPE_ROOT_PORT,
  'pci-bridge': PCI_EXP_TYPE_PCI_BRIDGE,
};

/** `flags` of the capability for an endpoint, which says where it sits: on a root complex or a link. */
export function endpointFlags(onRootBus: boolean): number {
  const type = onRootBus ? PCI_EXP_TYPE_RC_END : PCI_EXP_TYPE_ENDPOINT;
  return PCI_EXP_FLAGS_VERS_2 | (type << PCI_EXP_TYPE_SHIFT);
}

/** PCI Express capability, version 2 (PCI Express Base 5.0, 7.5.3). */
export function expressCapability(options: ExpressOptions): Capability {
  const { type, slot, functionReset } = options;
  const flags =
    PCI_EXP_FLAGS_VERS_2 |
    (TYPES[type] << PCI_EXP_TYPE_SHIFT) |
    (slot === undefined ? 0 : PCI_EXP_FLAGS_SLOT);
  const speed = PCI_EXP_LNKCAP_SLS_2_5GB | PCI_EXP_LNKCAP_MLW_X1;
  const flr = functionReset === undefined ? 0 : PCI_EXP_DEVCAP_FLR;
  const registers: ConfigRegister[] = [
    { name: 'PCIe flags', offset: PCI_EXP_FLAGS, size: 2, value: flags },
    { name: 'DevCap', offset: PCI_EXP_DEVCAP, size: 4, value: PCI_EXP_DEVCAP_RBER | flr },
    deviceControl(functionReset),
    { name: 'DevSta', offset: PCI_EXP_DEVSTA, size: 2, value: 0, clear: 0xf },
    { name: 'LnkCap', offset: PCI_EXP_LNKCAP, size: 4, value: speed | (options.link ?? 0) },
    { name: 'LnkCtl', offset: PCI_EXP_LNKCTL, size: 2, value: 0, writable: 0xdb },
    // The link, where there is one, is as fast as it can be.
    { name: 'LnkSta', offset: PCI_EXP_LNKSTA, size: 2, value: speed },
    { name: 'DevCap2', offset: PCI_EXP_DEVCAP2, size: 4, value: 0 },
    { name: 'DevCtl2', offset: PCI_EXP_DEVCTL2, size: 2, value: 0, writable: 0x1f },
    { name: 'LnkCtl2', offset: PCI_EXP_LNKCTL2, size: 2, value: PCI_EXP_LNKCAP_SLS_2_5GB },
  ];
  if (type === 'root-port') {
    registers.push(
      { name: 'RtCtl', offset: PCI_EXP_RTCTL, size: 2, value: 0, writable: 0x1f },
      { name: 'RtSta', offset: PCI_EXP_RTSTA, size: 4, value: 0, clear: 0x1_0000 },
    );
  }
  if (slot) registers.push(...slotRegisters(slot.capabilities, slot.wrote));
  return { name: 'PCIe', id: PCI_CAP_ID_EXP, size: PCI_CAP_EXP_SIZEOF, registers };
}

function deviceControl(functionReset: (() => void) | undefined): ConfigRegister {
  const common = { name: 'DevCtl', offset: PCI_EXP_DEVCTL, size: 2, value: 0x2810 } as const;
  if (functionReset === undefined) return { ...common, writable: 0x7fff };
  return {
    ...common,
    writable: 0xffff,
    // Reads as zero: the reset that it starts clears it.
    wrote: (now) => void ((now & PCI_EXP_DEVCTL_BCR_FLR) !== 0 && functionReset()),
  };
}

function slotRegisters(capabilities: number, wrote: () => void): ConfigRegister[] {
  return [
    { name: 'SltCap', offset: PCI_EXP_SLTCAP, size: 4, value: capabilities },
    { name: 'SltCtl', offset: PCI_EXP_SLTCTL, size: 2, value: 0, writable: 0x1fff, wrote },
    {
      name: 'SltSta',
      offset: PCI_EXP_SLTSTA,
      size: 2,
      value: 0,
      clear: PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC | 0x17,
      wrote,
    },
  ];
}
