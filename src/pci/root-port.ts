import {
  PCI_ACS_CAP,
  PCI_ACS_CTRL,
  PCI_ACS_ISOLATION,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_BRIDGE_PCI,
  PCI_EXP_LNKCAP_DLLLARC,
  PCI_EXP_LNKCAP_PN_SHIFT,
  PCI_EXP_LNKSTA,
  PCI_EXP_LNKSTA_DLLLA,
  PCI_EXP_SLTCAP_HPC,
  PCI_EXP_SLTCAP_HPS,
  PCI_EXP_SLTCAP_NCCS,
  PCI_EXP_SLTCAP_PSN_SHIFT,
  PCI_EXP_SLTCTL,
  PCI_EXP_SLTCTL_DLLSCE,
  PCI_EXP_SLTCTL_HPIE,
  PCI_EXP_SLTCTL_PDCE,
  PCI_EXP_SLTSTA,
  PCI_EXP_SLTSTA_DLLSC,
  PCI_EXP_SLTSTA_PDC,
  PCI_EXP_SLTSTA_PDS,
  PCI_EXT_CAP_ID_ACS,
} from '../spec/pci-config.ts';
import { PciBridge, type BridgeOptions } from './bridge.ts';
import type { ConfigRegister } from './config-space.ts';
import { expressCapability } from './express.ts';
import type { PciFunction, PciFunctionState } from './function.ts';

export interface RootPortOptions extends BridgeOptions {
  /** Number of port and slot; unique in a host. Default 0. */
  readonly slot?: number;
  /** The slot takes and loses functions while the guest runs. */
  readonly hotplug?: boolean;
}

/** Link and slot events that a hot-plug driver is told of. */
const EVENTS = PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC;

/**
 * A PCI Express root port with a slot (PCI Express Base 5.0, 6.7).
 *
 * Functions come and go by surprise: no button, no power controller, no commands to complete, so a
 * driver acts at once on presence and link changes. Its interrupt is MSI-X vector 0, or INTx.
 */
export class RootPort extends PciBridge {
  readonly #express: number;
  /** Whether an enabled event waits for the driver. */
  #asserted = false;

  constructor(options: RootPortOptions) {
    const { vendorId = 0x1b36, deviceId = 0x000c, slot = 0, hotplug = false } = options;
    const abilities = hotplug ? PCI_EXP_SLTCAP_HPC | PCI_EXP_SLTCAP_HPS : 0;
    const hooks = { wrote: (): void => undefined };
    const express = expressCapability({
      type: 'root-port',
      link: PCI_EXP_LNKCAP_DLLLARC | ((slot & 0xff) << PCI_EXP_LNKCAP_PN_SHIFT),
      slot: {
        capabilities:
          (abilities | PCI_EXP_SLTCAP_NCCS | ((slot & 0x1fff) << PCI_EXP_SLTCAP_PSN_SHIFT)) >>> 0,
        wrote: () => hooks.wrote(),
      },
    });
    super(
      {
        name: options.name,
        dma: options.dma,
        vendorId,
        deviceId,
        classCode: PCI_CLASS_BRIDGE_PCI,
        interruptPin: 1,
        msix: { vectors: 1, bar: 0 },
      },
      { express, extended: acsCapability() },
    );
    // The registers of the capability were placed together, flags first, two bytes in.
    const flags = this.config.registers.find(({ name }) => name === 'PCIe flags');
    this.#express = (flags?.offset ?? 0) - 2;
    hooks.wrote = () => this.#updateInterrupt();
  }

  /** Puts a function in the slot. Others of the same device may follow; the guest is told each time. */
  insert(fn: PciFunction, functionNumber = 0): void {
    this.secondary.plug(functionNumber, fn);
    this.#tell();
  }

  /** Puts a function in while nobody looks: when the machine is made, or restored. */
  install(fn: PciFunction, functionNumber = 0): void {
    this.secondary.plug(functionNumber, fn);
  }

  /** Pulls all functions of the slot, and answers them. */
  eject(): PciFunction[] {
    const gone = this.secondary.functions;
    for (const fn of gone) this.secondary.unplug(fn.devfn);
    if (gone.length > 0) this.#tell();
    return gone;
  }

  override reset(): void {
    super.reset();
    this.#asserted = false;
    this.populated(this.secondary.functions.length > 0);
  }

  override restore(state: PciFunctionState): void {
    super.restore(state);
    this.#asserted = this.#wanted() !== 0;
  }

  /** Presence and link state follow what is in the slot, however it came there. */
  protected override populated(there: boolean): void {
    const at = this.#express;
    this.config.setBits(at + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, there);
    this.config.setBits(at + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA, there);
  }

  #tell(): void {
    this.config.setBits(this.#express + PCI_EXP_SLTSTA, EVENTS, true);
    this.#updateInterrupt();
  }

  /** Events that happened and whose interrupt is enabled. */
  #wanted(): number {
    const control = this.config.get(this.#express + PCI_EXP_SLTCTL, 2);
    const status = this.config.get(this.#express + PCI_EXP_SLTSTA, 2);
    if ((control & PCI_EXP_SLTCTL_HPIE) === 0) return 0;
    const presence = (control & PCI_EXP_SLTCTL_PDCE) !== 0 ? PCI_EXP_SLTSTA_PDC : 0;
    const link = (control & PCI_EXP_SLTCTL_DLLSCE) !== 0 ? PCI_EXP_SLTSTA_DLLSC : 0;
    return status & (presence | link);
  }

  /** A message goes out when the condition becomes true (PCI Express Base 5.0, 6.7.3.4). */
  #updateInterrupt(): void {
    const now = this.#wanted() !== 0;
    const rises = now && !this.#asserted;
    this.#asserted = now;
    this.setIntx(now);
    if (rises) this.message(0);
  }
}

/** Access Control Services: with them a guest may isolate what is below each port. */
function acsCapability(): ConfigRegister[] {
  const at = PCI_CFG_SPACE_SIZE;
  return [
    // Extended capability header: ID, version 1, no next.
    { name: 'ACS header', offset: at, size: 4, value: PCI_EXT_CAP_ID_ACS | 0x1_0000 },
    { name: 'ACS cap', offset: at + PCI_ACS_CAP, size: 2, value: PCI_ACS_ISOLATION },
    {
      name: 'ACS control',
      offset: at + PCI_ACS_CTRL,
      size: 2,
      value: 0,
      writable: PCI_ACS_ISOLATION,
    },
  ];
}
