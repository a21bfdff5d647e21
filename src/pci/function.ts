import type { DmaSpace } from '../memory/index.ts';
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MFD,
  PCI_HEADER_TYPE_NORMAL,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
  PCI_EXP_FLAGS,
} from '../spec/pci-config.ts';
import { Bar, type BarOptions } from './bar.ts';
import { BusMasterDma } from './bus-master.ts';
import { layOut, type Capability } from './capabilities.ts';
import { ConfigSpace, type ConfigRegister } from './config-space.ts';
import { endpointFlags, expressCapability } from './express.ts';
import { commonHeader, endpointHeader, type PciIdentity } from './header.ts';
import { Msi } from './msi.ts';
import { Msix, type MsiMessage, type MsixState } from './msix.ts';
import type { BusSide } from './tree.ts';

/** What is behind a function's registers. */
export interface PciDevice {
  /** The function was reset: power-on state, nothing in flight. */
  reset(): void;
  /** MSI or MSI-X was switched on or off. */
  messagesSwitched?(): void;
  /** Bus Master Enable changed. */
  masteringSwitched?(on: boolean): void;
  /** State as plain data. */
  snapshot(): unknown;
  restore(state: unknown): void;
}

export interface PciFunctionOptions extends PciIdentity {
  /** For people: in events and messages. */
  readonly name: string;
  /** PCI Express: 4096 bytes of configuration and the capability. Default true. */
  readonly express?: boolean;
  readonly bars?: readonly BarOptions[];
  /** MSI-X with that many vectors; its table takes a BAR of its own. */
  readonly msix?: { readonly vectors: number; readonly bar: number };
  /** MSI with one vector. */
  readonly msi?: boolean;
  /** Further capabilities. */
  readonly capabilities?: readonly Capability[];
  /**
   * Where its requests go: through its IOMMU, or straight to memory and doorbells. A device that needs
   * the gate before its function exists makes the {@link BusMasterDma} itself.
   */
  readonly dma: DmaSpace;
  readonly device?: PciDevice;
}

/** What a bridge adds to a function. */
export interface BridgePart {
  readonly headerType: number;
  readonly registers: readonly ConfigRegister[];
  readonly express?: Capability;
  readonly extended?: readonly ConfigRegister[];
}

/** State of a function as plain data. */
export interface PciFunctionState {
  readonly config: Uint8Array;
  readonly msix?: MsixState;
  /** Level that its device wants on the INTx pin. */
  readonly intx: boolean;
  readonly device?: unknown;
}

/**
 * One PCI function: its registers, BARs, interrupts, and the gate its DMA passes.
 *
 * Everything a guest does to it ends in `config`, or in the region of a BAR. It has no bus number of
 * its own: that is its bus's, which a guest may change.
 */
export class PciFunction {
  readonly name: string;
  readonly config: ConfigSpace;
  readonly bars: readonly Bar[];
  readonly dma: BusMasterDma;
  readonly msix: Msix | undefined;
  readonly msi: Msi | undefined;
  readonly device: PciDevice | undefined;
  /** Told of each message it sends. */
  onMessage: ((message: MsiMessage) => void) | undefined;
  /** Told of each change of the level that it drives on its INTx pin. */
  onPin: ((level: boolean) => void) | undefined;
  devfn = 0;
  #bus: BusSide | undefined;
  /** INTA# is 1; 0 when it has none. */
  readonly pin: number;
  /** Offset of the PCIe capability when it is an endpoint's, which depends on the place; else 0. */
  readonly #expressAt: number;
  #intx = false;
  #driven = false;

  constructor(options: PciFunctionOptions, bridge?: BridgePart) {
    const { express = true, capabilities = [] } = options;
    this.name = options.name;
    this.device = options.device;
    this.dma = options.dma instanceof BusMasterDma ? options.dma : new BusMasterDma(options.dma);
    this.pin = options.interruptPin ?? 0;
    this.msix = options.msix ? new Msix(options.msix.vectors, this.dma) : undefined;
    this.msi = options.msi === true ? new Msi(this.dma) : undefined;
    const bars = [...(options.bars ?? [])];
    const all: Capability[] = [];
    if (this.msix && options.msix) {
      const { bar: index } = options.msix;
      bars.push({ index, kind: 'mem32', size: this.msix.barSize, region: this.msix });
      all.push(this.msix.capability(index));
    }
    if (this.msi) all.push(this.msi.capability());
    all.push(...capabilities);
    if (bridge?.express) all.push(bridge.express);
    else if (express) {
      all.push(expressCapability({ type: 'endpoint', functionReset: () => this.reset() }));
    }
    const list = layOut(all);
    this.#expressAt = express && !bridge?.express ? (list.offsets.at(-1) ?? 0) : 0;
    this.bars = bars.map((bar) => new Bar(bar));
    const header = bridge?.headerType ?? PCI_HEADER_TYPE_NORMAL;
    this.config = new ConfigSpace(
      express,
      [
        ...commonHeader(options, header, list.first, (now, before) => this.#command(now, before)),
        ...(bridge?.registers ?? endpointHeader(options)),
        ...this.bars.flatMap((bar) =>
          bar.registers().map((register) => ({ ...register, wrote: () => this.#moved() })),
        ),
        ...list.registers,
        ...(bridge?.extended ?? []),
      ],
      list.windows,
    );
    this.msi?.placed(this.config, list.offsets[this.msix ? 1 : 0] ?? 0);
    for (const messages of [this.msix, this.msi]) {
      if (messages === undefined) continue;
      messages.onControl = () => this.#switched();
      messages.onMessage = (message) => this.onMessage?.(message);
    }
  }

  /** Present bus number and own place, or undefined while it is not plugged in. */
  get requesterId(): number | undefined {
    return this.#bus === undefined ? undefined : (this.#bus.number << 8) | this.devfn;
  }

  /** The requester ID that IOMMUs and doorbells see, which is not its own behind conventional PCI. */
  get sourceId(): number | undefined {
    const own = this.requesterId;
    return own === undefined ? undefined : this.#bus?.sourceOf(own);
  }

  /** Memory Space Enable. */
  get memoryEnabled(): boolean {
    return (this.config.get(PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) !== 0;
  }

  /** The level that it drives on its INTx pin now. */
  get pinLevel(): boolean {
    return this.#driven;
  }

  get msixEnabled(): boolean {
    return this.msix?.enabled ?? false;
  }

  /** For the bus: the function is there, in a slot with others or not. */
  plugged(bus: BusSide, devfn: number, multi: boolean): void {
    this.#bus = bus;
    this.devfn = devfn;
    const type = this.config.get(PCI_HEADER_TYPE, 1) & ~PCI_HEADER_TYPE_MFD;
    this.config.set(PCI_HEADER_TYPE, 1, type | (multi ? PCI_HEADER_TYPE_MFD : 0));
    if (this.#expressAt !== 0) {
      this.config.set(this.#expressAt + PCI_EXP_FLAGS, 2, endpointFlags(bus.isRoot));
    }
    this.#updateIntx();
  }

  /**
   * For the bus: it was pulled. Its interrupt line falls, nothing of it reaches memory any more, and
   * without power it forgets everything.
   */
  unplugged(): void {
    this.dma.enabled = false;
    this.#drive(false);
    this.#bus = undefined;
    this.reset();
  }

  /** Memory behind a BAR, whether it is mapped or not; ones where there is no such BAR. */
  barRead(index: number, offset: number, size: number): number {
    const bar = this.#barAt(index, offset, size);
    return bar ? bar.region.read(offset, size) >>> 0 : 2 ** (8 * size) - 1;
  }

  barWrite(index: number, offset: number, size: number, value: number): void {
    this.#barAt(index, offset, size)?.region.write(offset, size, value >>> 0);
  }

  /** Sends a message, by MSI-X or MSI, whichever is on. */
  message(vector: number): void {
    if (this.msixEnabled) this.msix?.notify(vector);
    else this.msi?.notify();
  }

  /** The level that the device wants on its INTx pin. */
  setIntx(level: boolean): void {
    this.#intx = level;
    this.config.setBits(PCI_STATUS, PCI_STATUS_INTERRUPT, level);
    this.#updateIntx();
  }

  /** Power-on state of registers and device. */
  reset(): void {
    const place = this.config.get(PCI_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MFD;
    this.dma.enabled = false;
    this.config.reset();
    this.msix?.reset();
    this.device?.reset();
    this.setIntx(false);
    if (this.#bus) this.plugged(this.#bus, this.devfn, place !== 0);
    this.#bus?.decodeChanged();
  }

  snapshot(): PciFunctionState {
    const config = this.config.snapshot();
    const state = { config, intx: this.#intx, device: this.device?.snapshot() };
    return this.msix ? { ...state, msix: this.msix.snapshot() } : state;
  }

  /** Into a function made with the same options, in the same place. */
  restore(state: PciFunctionState): void {
    this.config.restore(state.config);
    if (state.msix) this.msix?.restore(state.msix);
    this.dma.enabled = this.#master();
    this.device?.restore(state.device);
    this.setIntx(state.intx);
    this.#bus?.decodeChanged();
  }

  #barAt(index: number, offset: number, size: number): Bar | undefined {
    const bar = this.bars.find((each) => each.index === index);
    return bar !== undefined && offset >= 0 && offset + size <= bar.size ? bar : undefined;
  }

  #master(): boolean {
    return (this.config.get(PCI_COMMAND, 2) & PCI_COMMAND_MASTER) !== 0;
  }

  #command(now: number, before: number): void {
    const changed = now ^ before;
    if ((changed & PCI_COMMAND_MASTER) !== 0) {
      this.dma.enabled = this.#master();
      this.device?.masteringSwitched?.(this.dma.enabled);
    }
    if ((changed & PCI_COMMAND_MEMORY) !== 0) this.#bus?.decodeChanged();
    this.#updateIntx();
  }

  #moved(): void {
    if (this.memoryEnabled) this.#bus?.decodeChanged();
  }

  #switched(): void {
    this.device?.messagesSwitched?.();
    this.#updateIntx();
  }

  #updateIntx(): void {
    const off = (this.config.get(PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE) !== 0;
    const messages = this.msixEnabled || (this.msi?.enabled ?? false);
    this.#drive(this.#intx && !off && !messages && this.pin > 0);
  }

  #drive(level: boolean): void {
    if (this.#bus === undefined || level === this.#driven) return;
    this.#driven = level;
    this.onPin?.(level);
    this.#bus.intx(this.devfn, this.pin, level);
  }
}
