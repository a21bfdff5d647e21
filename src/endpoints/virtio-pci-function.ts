import type { DmaSpace } from '../memory/index.ts';
import { BusMasterDma, PciFunction, type Capability, type PciDevice } from '../pci/index.ts';
import {
  PCI_CAP_ID_VNDR,
  VIRTIO_PCI_CFG_CAP,
  VIRTIO_PCI_DEVICE_ID_BASE,
  VIRTIO_PCI_VENDOR_ID,
} from '../spec/virtio-pci.ts';
import {
  PciCfgWindow,
  PciTransport,
  VirtioCore,
  virtioPciCapabilities,
  type PciState,
  type VirtioDevice,
  type VirtioOptions,
} from '../virtio/index.ts';

export interface VirtioPciOptions extends VirtioOptions {
  /** For people. */
  readonly name: string;
  /** PCI_CLASS_…: what a guest takes it for before it knows virtio. */
  readonly classCode: number;
  /** False for a function on a conventional bus. Default true. */
  readonly express?: boolean;
  /** MSI-X vectors; 0 for none, so that only INTx is left. Default one for each queue and one more. */
  readonly vectors?: number;
}

/** BARs, as QEMU has them: guests in the wild were tested with these. */
const MSIX_BAR = 1;
const VIRTIO_BAR = 4;

/** A modern device has revision 1 or higher, and a subsystem ID of at least 0x40. */
const REVISION = 1;
const SUBSYSTEM_ID = 0x1100;

interface FunctionState {
  readonly transport: PciState;
  readonly window: Uint8Array;
}

/**
 * A virtio device as a PCI function (VIRTIO 1.3, "Virtio Over PCI Bus"). The device itself is the same
 * object that would stand behind virtio-mmio.
 */
export class VirtioPciFunction implements PciDevice {
  readonly fn: PciFunction;
  readonly core: VirtioCore;
  readonly transport: PciTransport;
  readonly #window: PciCfgWindow;

  constructor(device: VirtioDevice, options: VirtioPciOptions) {
    const { name, classCode, express = true } = options;
    const vectors = options.vectors ?? device.queueSizes.length + 1;
    const dma = new BusMasterDma(options.dma);
    this.core = new VirtioCore(device, { ...options, dma });
    this.transport = new PciTransport(this.core, this.#interrupts(vectors));
    this.#window = new PciCfgWindow({
      read: (bar, offset, size) => this.fn.barRead(bar, offset, size),
      write: (bar, offset, size, value) => this.fn.barWrite(bar, offset, size, value),
    });
    const { layout } = this.transport;
    this.fn = new PciFunction({
      name,
      vendorId: VIRTIO_PCI_VENDOR_ID,
      deviceId: VIRTIO_PCI_DEVICE_ID_BASE + device.deviceId,
      revision: REVISION,
      classCode,
      subsystem: { vendorId: VIRTIO_PCI_VENDOR_ID, deviceId: SUBSYSTEM_ID },
      interruptPin: 1,
      express,
      dma,
      device: this,
      bars: [
        {
          index: VIRTIO_BAR,
          kind: 'mem64',
          prefetchable: true,
          size: layout.size,
          region: this.transport,
        },
      ],
      ...(vectors > 0 ? { msix: { vectors, bar: MSIX_BAR } } : {}),
      capabilities: [
        ...virtioPciCapabilities(layout, VIRTIO_BAR).map(constant),
        {
          name: 'virtio PCI_CFG',
          id: PCI_CAP_ID_VNDR,
          size: VIRTIO_PCI_CFG_CAP.size,
          bytes: this.#window.bytes,
          window: this.#window,
        },
      ],
    });
  }

  /** Where requests go once they passed Bus Master Enable; may be exchanged by the machine. */
  get dma(): DmaSpace {
    return this.fn.dma;
  }

  reset(): void {
    this.transport.systemReset();
    this.#window.reset();
  }

  messagesSwitched(): void {
    this.transport.updateIntx();
  }

  snapshot(): FunctionState {
    return { transport: this.transport.snapshot(), window: this.#window.bytes.slice() };
  }

  restore(state: unknown): void {
    const { transport, window } = state as FunctionState;
    this.transport.restore(transport);
    this.#window.restore(window);
  }

  #interrupts(vectors: number): ConstructorParameters<typeof PciTransport>[1] {
    const enabled = (): boolean => this.fn.msixEnabled;
    return {
      vectors,
      get msixEnabled() {
        return enabled();
      },
      message: (vector) => this.fn.message(vector),
      intx: (level) => this.fn.setIntx(level),
    };
  }
}

function constant(bytes: Uint8Array, index: number): Capability {
  return { name: `virtio ${index}`, id: PCI_CAP_ID_VNDR, size: bytes.length, bytes };
}
