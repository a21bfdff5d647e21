import { linuxPciName } from '../../spec/pci.ts';
import type { Asker, HostView } from '../firmware/view.ts';
import type { Windows } from './bars.ts';
import type { ConfigAccess } from './config.ts';

/** A base address register, and where it was put. */
export interface PciBar {
  readonly index: number;
  readonly size: number;
  readonly wide: boolean;
  readonly prefetchable: boolean;
  /** CPU address; undefined: there was no room. */
  base?: number;
}

/** A PCI function that was found. */
export interface PciFound {
  readonly host: HostView;
  readonly rid: number;
  readonly config: ConfigAccess;
  readonly vendorId: number;
  readonly deviceId: number;
  /** Base class, sub-class, programming interface. */
  readonly classCode: number;
  /** The slot has several functions. */
  readonly multi: boolean;
  readonly bars: PciBar[];
  /** INTx pin, 1–4; 0: none. */
  readonly pin: number;
  /** Access Control Services are there: requests of functions below, or beside, do not mix. */
  readonly acs: boolean;
  readonly parent: PciFound | undefined;
  /** What is below, when it is a bridge. */
  readonly bridge?: PciBridgeFound;
}

export interface PciBridgeFound {
  /** To conventional PCI: functions below lose their requester IDs. */
  readonly conventional: boolean;
  readonly hotplug: boolean;
  secondary: number;
  subordinate: number;
  readonly children: PciFound[];
  /** What is left of its windows, for functions that come later. */
  windows?: Windows;
}

export function nameOf({ host, rid }: PciFound): string {
  return linuxPciName(rid, host.segment);
}

/** The function as firmware is asked about it. */
export function askerOf(found: PciFound): Extract<Asker, { kind: 'pci' }> {
  const path: number[] = [];
  const aliases: number[] = [];
  for (let at: PciFound | undefined = found; at !== undefined; at = at.parent) {
    path.unshift(at.rid & 0xff);
    const above = at.parent?.bridge;
    // pci_for_each_dma_alias: a PCIe-to-PCI bridge takes its secondary bus number, device 0.
    if (above?.conventional === true) aliases.push(above.secondary << 8);
  }
  const others = aliases.filter((rid) => rid !== found.rid);
  return { kind: 'pci', host: found.host, rid: found.rid, aliases: others, path };
}

/**
 * What cannot be told apart from this function by an IOMMU shares its group (pci_device_group):
 * all below a bridge to conventional PCI, all below a bridge without ACS, and the functions of one
 * slot without ACS.
 */
export function groupKeyOf(found: PciFound): string {
  let key = found;
  for (let at: PciFound = found; at.parent !== undefined; at = at.parent) {
    const { parent } = at;
    if (parent.bridge?.conventional === true || !parent.acs) key = parent;
  }
  const slot = key.multi && !key.acs ? key.rid & ~7 : key.rid;
  return `${key.host.segment}/${slot}`;
}
