import {
  PCI_ACS_CTRL,
  PCI_ACS_ISOLATION,
  PCI_CAP_ID_EXP,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_PROG,
  PCI_CLASS_DEVICE,
  PCI_COMMAND,
  PCI_DEVICE_ID,
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_SLOT,
  PCI_EXP_SLTCAP,
  PCI_EXP_SLTCAP_HPC,
  PCI_EXP_TYPE_PCI_BRIDGE,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXP_TYPE_SHIFT,
  PCI_EXT_CAP_ID_ACS,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_MFD,
  PCI_INTERRUPT_PIN,
  PCI_PRIMARY_BUS,
  PCI_SECONDARY_BUS,
  PCI_SUBORDINATE_BUS,
  PCI_VENDOR_ID,
} from '../../spec/pci-config.ts';
import type { HostView } from '../firmware/view.ts';
import type { MmioAccess } from '../platform.ts';
import { place, sizeBars } from './bars.ts';
import { ConfigAccess } from './config.ts';
import type { PciBridgeFound, PciFound } from './function.ts';

const DEVICES = 32;
const FUNCTIONS = 8;
/** Buses below buses; a real hierarchy has some five levels. */
const DEPTH_MAX = 32;

/**
 * Finds all functions below a host bridge and gives buses their numbers, depth first and in order,
 * as Linux does when firmware left them unnumbered.
 */
export function scanHost(bus: MmioAccess, host: HostView): PciFound[] {
  const scan = new Scan(bus, host);
  return scan.bus(host.buses.start, undefined, 0);
}

/**
 * Looks again below a bridge: functions that are gone are taken off, new ones are given addresses
 * out of what is left of its windows. A bridge that comes gets no bus numbers any more.
 */
export function rescanBelow(
  bus: MmioAccess,
  above: PciFound,
): { readonly gone: readonly PciFound[]; readonly came: readonly PciFound[] } {
  const { bridge } = above;
  if (bridge === undefined || bridge.secondary === 0) return { gone: [], came: [] };
  const gone = bridge.children.filter(({ config }) => !config.present);
  for (const found of gone) bridge.children.splice(bridge.children.indexOf(found), 1);
  const known = new Set(bridge.children.map(({ rid }) => rid));
  const came = new Scan(bus, above.host).look(bridge.secondary, above, known);
  bridge.children.push(...came);
  if (bridge.windows !== undefined) place(came, bridge.windows);
  return { gone, came };
}

/** Every function, parents before children. */
export function* walkFunctions(functions: readonly PciFound[]): Generator<PciFound> {
  for (const found of functions) {
    yield found;
    if (found.bridge !== undefined) yield* walkFunctions(found.bridge.children);
  }
}

class Scan {
  readonly #bus: MmioAccess;
  readonly #host: HostView;
  #last: number;

  constructor(bus: MmioAccess, host: HostView) {
    this.#bus = bus;
    this.#host = host;
    this.#last = host.buses.start;
  }

  bus(number: number, parent: PciFound | undefined, depth: number): PciFound[] {
    const found = this.look(number, parent);
    for (const one of found) {
      if (one.bridge !== undefined && depth < DEPTH_MAX) this.#below(one, one.bridge, depth);
    }
    return found;
  }

  /** The functions of one bus, but for those that are known: these are left alone. */
  look(
    number: number,
    parent: PciFound | undefined,
    known: ReadonlySet<number> = new Set(),
  ): PciFound[] {
    const found: PciFound[] = [];
    // A link has one device: number 0 (only_one_child).
    const devices = parent?.bridge !== undefined && !parent.bridge.conventional ? 1 : DEVICES;
    for (let device = 0; device < devices; device++) {
      for (let fn = 0; fn < FUNCTIONS; fn++) {
        const rid = (number << 8) | (device << 3) | fn;
        const config = new ConfigAccess(this.#bus, this.#host, rid);
        if (config.present && !known.has(rid)) found.push(this.#function(rid, config, parent));
        // Without function 0, or when it says that it is alone, there are no others.
        if (fn === 0 && (!config.present || !isMulti(config))) break;
      }
    }
    return found;
  }

  #below(found: PciFound, bridge: PciBridgeFound, depth: number): void {
    const { config, rid } = found;
    if (this.#last >= this.#host.buses.end) return;
    bridge.secondary = ++this.#last;
    config.write(PCI_PRIMARY_BUS, 1, rid >> 8);
    config.write(PCI_SECONDARY_BUS, 1, bridge.secondary);
    config.write(PCI_SUBORDINATE_BUS, 1, this.#host.buses.end);
    bridge.children.push(...this.bus(bridge.secondary, found, depth + 1));
    bridge.subordinate = this.#last;
    config.write(PCI_SUBORDINATE_BUS, 1, bridge.subordinate);
  }

  #function(rid: number, config: ConfigAccess, parent: PciFound | undefined): PciFound {
    const type = config.read(PCI_HEADER_TYPE, 1);
    const isBridge = (type & ~PCI_HEADER_TYPE_MFD) === PCI_HEADER_TYPE_BRIDGE;
    config.write(PCI_COMMAND, 2, 0);
    return {
      host: this.#host,
      rid,
      config,
      vendorId: config.read(PCI_VENDOR_ID, 2),
      deviceId: config.read(PCI_DEVICE_ID, 2),
      classCode: config.read(PCI_CLASS_DEVICE, 2) * 0x100 + config.read(PCI_CLASS_PROG, 1),
      multi: (rid & 7) !== 0 || isMulti(config),
      bars: sizeBars(config, isBridge),
      pin: config.read(PCI_INTERRUPT_PIN, 1),
      acs: enableAcs(config),
      parent,
      ...(isBridge ? { bridge: bridgeOf(config) } : {}),
    };
  }
}

function isMulti(config: ConfigAccess): boolean {
  return (config.read(PCI_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MFD) !== 0;
}

function bridgeOf(config: ConfigAccess): PciBridgeFound {
  const [express] = config.capabilities(PCI_CAP_ID_EXP);
  const flags = express === undefined ? 0 : config.read(express + PCI_EXP_FLAGS, 2);
  const type = (flags >> PCI_EXP_TYPE_SHIFT) & 0xf;
  const slot =
    express !== undefined && type === PCI_EXP_TYPE_ROOT_PORT && (flags & PCI_EXP_FLAGS_SLOT) !== 0
      ? config.read(express + PCI_EXP_SLTCAP, 4)
      : 0;
  return {
    conventional: express === undefined || type === PCI_EXP_TYPE_PCI_BRIDGE,
    hotplug: (slot & PCI_EXP_SLTCAP_HPC) !== 0,
    secondary: 0,
    subordinate: 0,
    children: [],
  };
}

/** ACS is asked for as soon as firmware has an IOMMU for PCI (pci_request_acs). */
function enableAcs(config: ConfigAccess): boolean {
  if (config.capabilities(PCI_CAP_ID_EXP).length === 0) return false;
  // The first extended capability is the only one that any of our devices has.
  if ((config.read(PCI_CFG_SPACE_SIZE, 4) & 0xffff) !== PCI_EXT_CAP_ID_ACS) return false;
  config.write(PCI_CFG_SPACE_SIZE + PCI_ACS_CTRL, 2, PCI_ACS_ISOLATION);
  const on = config.read(PCI_CFG_SPACE_SIZE + PCI_ACS_CTRL, 2);
  return (on & PCI_ACS_ISOLATION) === PCI_ACS_ISOLATION;
}
