import type { Range } from '../bytes/index.ts';
import type { DmaSpace } from '../memory/index.ts';
import {
  PCI_BRIDGE_CONTROL,
  PCI_BRIDGE_CTL_BUS_RESET,
  PCI_BRIDGE_WINDOW_UNIT,
  PCI_CLASS_BRIDGE_PCI,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_INTERRUPT_PINS,
  PCI_IO_BASE,
  PCI_MEMORY_BASE,
  PCI_MEMORY_LIMIT,
  PCI_MEMORY_RANGE_MASK,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PREF_MEMORY_BASE,
  PCI_PREF_MEMORY_LIMIT,
  PCI_PREF_RANGE_TYPE_64,
  PCI_PRIMARY_BUS,
  PCI_SECONDARY_BUS,
  PCI_SEC_LATENCY_TIMER,
  PCI_SEC_STATUS,
  PCI_STATUS_ERRORS,
  PCI_SUBORDINATE_BUS,
} from '../spec/pci-config.ts';
import { PciBus, type BridgeLike } from './bus.ts';
import type { ConfigRegister } from './config-space.ts';
import { expressCapability } from './express.ts';
import { PciFunction, type BridgePart, type PciFunctionOptions } from './function.ts';
import type { BusSide, Upstream } from './tree.ts';

export interface BridgeOptions {
  readonly name: string;
  readonly dma: DmaSpace;
  readonly vendorId?: number;
  readonly deviceId?: number;
}

/** What the constructor of a bridge makes before it can use `this`. */
export interface BridgeHooks {
  moved: () => void;
  control: (now: number, before: number) => void;
}

/** A PCI-to-PCI bridge: type 1 header, secondary bus, forwarding windows (PCI-to-PCI Bridge 1.2). */
export class PciBridge extends PciFunction implements BridgeLike {
  readonly secondary: PciBus;
  readonly #conventional: boolean;
  #above: BusSide | undefined;

  /** @param conventional whether the bus below is conventional PCI, where requests have no ID */
  constructor(
    options: PciFunctionOptions,
    part: Pick<BridgePart, 'express' | 'extended'>,
    conventional = false,
  ) {
    const hooks: BridgeHooks = { moved: () => undefined, control: () => undefined };
    super(options, { ...part, headerType: PCI_HEADER_TYPE_BRIDGE, registers: bridgeHeader(hooks) });
    this.#conventional = conventional;
    this.secondary = new PciBus(this.#side());
    hooks.moved = () => this.#above?.decodeChanged();
    hooks.control = (now, before) => {
      if ((now & ~before & PCI_BRIDGE_CTL_BUS_RESET) !== 0) this.secondary.reset();
    };
  }

  override plugged(bus: BusSide, devfn: number, multi: boolean): void {
    this.#above = bus;
    super.plugged(bus, devfn, multi);
    this.secondary.announce();
  }

  override unplugged(): void {
    for (const fn of this.secondary.functions) fn.unplugged();
    super.unplugged();
    this.#above = undefined;
  }

  leadsTo(bus: number): boolean {
    const first = this.config.get(PCI_SECONDARY_BUS, 1);
    return first > 0 && bus >= first && bus <= this.config.get(PCI_SUBORDINATE_BUS, 1);
  }

  /** Addresses that it forwards downstream: none while Memory Space Enable is clear. */
  windows(): Range<number>[] {
    if (!this.memoryEnabled) return [];
    const upper = 2 ** 32;
    const unit = PCI_BRIDGE_WINDOW_UNIT;
    const edge = (at: number): number =>
      (this.config.get(at, 2) & PCI_MEMORY_RANGE_MASK) * 0x1_0000;
    const plain = { start: edge(PCI_MEMORY_BASE), end: edge(PCI_MEMORY_LIMIT) + unit - 1 };
    const prefetchable = {
      start: edge(PCI_PREF_MEMORY_BASE) + this.config.get(PCI_PREF_BASE_UPPER32, 4) * upper,
      end:
        edge(PCI_PREF_MEMORY_LIMIT) + this.config.get(PCI_PREF_LIMIT_UPPER32, 4) * upper + unit - 1,
    };
    return [plain, prefetchable].filter(({ start, end }) => start <= end);
  }

  /** The secondary bus has functions now, or none. */
  protected populated(_there: boolean): void {}

  /** The secondary bus's view upstream. */
  #side(): Upstream {
    const number = (): number => this.config.get(PCI_SECONDARY_BUS, 1);
    return {
      get number() {
        return number();
      },
      isRoot: false,
      // A bridge to conventional PCI gives requests its secondary bus, device 0, function 0
      // (PCI Express to PCI/PCI-X Bridge 1.0, 2.3).
      sourceOf: (rid) => {
        const seen = this.#conventional ? number() << 8 : rid;
        return this.#above?.sourceOf(seen) ?? seen;
      },
      populated: (there) => this.populated(there),
      decodeChanged: () => this.#above?.decodeChanged(),
      // INTx lines turn by the device number at each bridge (PCI-to-PCI Bridge 1.2, 9.1).
      intx: (devfn, pin, level) => {
        const turned = ((pin - 1 + (devfn >> 3)) % PCI_INTERRUPT_PINS) + 1;
        this.#above?.intx(this.devfn, turned, level);
      },
    };
  }
}

/** A bridge to conventional PCI, where functions lose their own requester ID. */
export function pciePciBridge(options: BridgeOptions): PciBridge {
  const { vendorId = 0x1b36, deviceId = 0x000e } = options;
  return new PciBridge(
    { ...options, vendorId, deviceId, classCode: PCI_CLASS_BRIDGE_PCI, interruptPin: 1 },
    { express: expressCapability({ type: 'pci-bridge' }) },
    true,
  );
}

/** Registers 0x18–0x33 and 0x3e. There is no I/O window: base and limit read as zero. */
function bridgeHeader(hooks: BridgeHooks): ConfigRegister[] {
  const moved = (): void => hooks.moved();
  const bus = (name: string, offset: number): ConfigRegister => {
    return { name, offset, size: 1, value: 0, writable: 0xff, wrote: moved };
  };
  const edge = (name: string, offset: number, type = 0): ConfigRegister => {
    const writable = PCI_MEMORY_RANGE_MASK;
    return { name, offset, size: 2, value: type, writable, wrote: moved };
  };
  const upper = (name: string, offset: number): ConfigRegister => {
    return { name, offset, size: 4, value: 0, writable: 0xffff_ffff, wrote: moved };
  };
  return [
    bus('Primary Bus', PCI_PRIMARY_BUS),
    bus('Secondary Bus', PCI_SECONDARY_BUS),
    bus('Subordinate Bus', PCI_SUBORDINATE_BUS),
    { name: 'Secondary Latency', offset: PCI_SEC_LATENCY_TIMER, size: 1, value: 0 },
    { name: 'I/O window', offset: PCI_IO_BASE, size: 2, value: 0 },
    {
      name: 'Secondary Status',
      offset: PCI_SEC_STATUS,
      size: 2,
      value: 0,
      clear: PCI_STATUS_ERRORS,
    },
    edge('Memory Base', PCI_MEMORY_BASE),
    edge('Memory Limit', PCI_MEMORY_LIMIT),
    edge('Prefetchable Base', PCI_PREF_MEMORY_BASE, PCI_PREF_RANGE_TYPE_64),
    edge('Prefetchable Limit', PCI_PREF_MEMORY_LIMIT, PCI_PREF_RANGE_TYPE_64),
    upper('Prefetchable Base Upper', PCI_PREF_BASE_UPPER32),
    upper('Prefetchable Limit Upper', PCI_PREF_LIMIT_UPPER32),
    {
      name: 'Bridge Control',
      offset: PCI_BRIDGE_CONTROL,
      size: 2,
      value: 0,
      writable: 0x3 | PCI_BRIDGE_CTL_BUS_RESET,
      wrote: (now, before) => hooks.control(now, before),
    },
  ];
}
