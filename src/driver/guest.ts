import type { Range } from '../bytes/index.ts';
import { addressOf } from '../memory/index.ts';
import { VIRTIO_ID_IOMMU, VIRTIO_IOMMU_MAP_F_READ } from '../spec/virtio-iommu.ts';
import { Device } from './device.ts';
import { DirectMapper } from './dma.ts';
import { bindVirtio, matchDriver, type Match } from './drivers.ts';
import { readFirmware } from './firmware/read.ts';
import type { FirmwareView } from './firmware/view.ts';
import { IommuManager } from './iommu/manager.ts';
import { mapRequest } from './iommu/requests.ts';
import { Viommu } from './iommu/viommu.ts';
import { Kernel } from './kernel.ts';
import { KernelLog } from './kernel-log.ts';
import { StubDriver } from './devices/stub.ts';
import { assignBars } from './pci/bars.ts';
import { askerOf, type PciFound } from './pci/function.ts';
import { rescanBelow, scanHost, walkFunctions } from './pci/scan.ts';
import { disableFunction, enableFunction } from './pci/vectors.ts';
import type { GuestFirmware, GuestPlatform, KernelModel } from './platform.ts';
import { Ram } from './ram.ts';
import { VirtioBinding } from './virtio/binding.ts';
import { MmioDriverTransport } from './virtio/mmio.ts';
import { PciDriverTransport } from './virtio/pci.ts';
import type { VirtioTransport } from './virtio/transport.ts';

/** How the guest behaves. */
export interface GuestOptions {
  /** The kernel to be like; default Linux 6.12 with pages of 4 KiB. */
  readonly kernel?: KernelModel;
  /** `identity`: default domains pass, as with `iommu.passthrough=1`. */
  readonly defaultDomain?: 'DMA' | 'identity';
  /** Told of the log's lines before anything is printed: what a guest that panics leaves behind. */
  readonly onLog?: (lines: readonly string[]) => void;
}

/** Linux 6.12, as Debian's stable has it. */
export const DEFAULT_KERNEL_MODEL: KernelModel = { major: 6, minor: 12, pageSize: 4096n };

type Probed = 'bound' | 'nothing' | 'deferred' | 'failed';

/**
 * A guest in TypeScript: it is given memory, a bus and the firmware, and does what Linux does with
 * them. What it finds wrong it says in Linux' words, or not at all where Linux says nothing.
 */
export class ModelGuest {
  readonly kernel: Kernel;
  readonly iommus: IommuManager;
  readonly devices: Device[] = [];
  #virtioCount = 0;

  /**
   * Reads firmware, numbers buses, gives addresses, and binds every driver.
   *
   * @throws FormatError when the firmware cannot be read at all: no kernel would say a word
   * @throws GuestPanic when there is no RAM, or not enough
   */
  static boot(
    platform: GuestPlatform,
    firmware: GuestFirmware,
    options: GuestOptions = {},
  ): ModelGuest {
    const log = new KernelLog();
    options.onLog?.(log.lines);
    const view = readFirmware(firmware, { log });
    const model = options.kernel ?? DEFAULT_KERNEL_MODEL;
    const ram = new Ram(platform.memory, view.memory, view.reserved, model.pageSize);
    const kernel = new Kernel({ platform, firmware: view, ram, log, model });
    const guest = new ModelGuest(kernel, options.defaultDomain ?? 'DMA');
    guest.#enumerate(view);
    guest.#probeAll();
    return guest;
  }

  private constructor(kernel: Kernel, defaultDomain: 'DMA' | 'identity') {
    this.kernel = kernel;
    this.iommus = new IommuManager(kernel, defaultDomain);
  }

  get log(): KernelLog {
    return this.kernel.log;
  }

  /** `0000:00:02.0`, `a000000.virtio_mmio`. */
  device(name: string): Device | undefined {
    return this.devices.find((device) => device.name === name);
  }

  /** Binds the device's driver; true when there is one and it accepts the device. */
  bind(device: Device): boolean {
    if (device.driver !== undefined) return false;
    return this.#probe(device, true) === 'bound';
  }

  /** Takes the driver away. The device stays in its group (Linux: the default domain remains). */
  unbind(device: Device): boolean {
    const { driver, pci } = device;
    if (driver === undefined) return false;
    driver.remove();
    if (pci !== undefined) disableFunction(pci);
    device.driver = undefined;
    device.interrupts = { kind: 'none', vectors: 0, count: 0 };
    return true;
  }

  /** Removes the device altogether: driver, group, DETACH. */
  remove(device: Device): boolean {
    const index = this.devices.indexOf(device);
    if (index < 0) return false;
    this.unbind(device);
    this.iommus.release(device);
    this.devices.splice(index, 1);
    return true;
  }

  /**
   * Looks again below every port (`echo 1 > /sys/bus/pci/rescan`, or what pciehp does): devices that
   * are gone are removed, new ones get their drivers.
   *
   * @returns names of what went and came
   */
  rescan(): { readonly gone: readonly string[]; readonly came: readonly string[] } {
    const ports = this.devices.flatMap(({ pci }) => (pci?.bridge === undefined ? [] : [pci]));
    const changes = ports.map((port) => rescanBelow(this.kernel.bus, port));
    const lost = new Set(changes.flatMap(({ gone }) => [...walkFunctions(gone)]));
    const gone = this.devices.filter(({ pci }) => pci !== undefined && lost.has(pci));
    for (const device of gone) this.remove(device);
    const { ram } = this.kernel;
    const came = changes.flatMap((change) =>
      change.came.map((pci) => new Device({ pci, asker: askerOf(pci) }, new DirectMapper(ram))),
    );
    this.devices.push(...came);
    for (const device of came) this.#probe(device, true);
    this.kernel.idle();
    return { gone: gone.map(({ name }) => name), came: came.map(({ name }) => name) };
  }

  /**
   * Maps a page for a device that may only read it, for as long as `use` runs. Undefined: the device
   * is behind no IOMMU, or that is out of addresses.
   */
  lend<T>(device: Device, use: (address: bigint) => T): T | undefined {
    const { ram } = this.kernel;
    const gpa = ram.pages(4096);
    const segments = device.dma.translated
      ? device.dma.map([{ gpa, length: 4096 }], 'to-device')
      : undefined;
    const [first] = segments ?? [];
    const result = first === undefined ? undefined : use(addressOf(first.hi, first.lo));
    device.dma.unmap(segments ?? []);
    ram.release(gpa, 4096);
    return result;
  }

  /** Sends a MAP over a live mapping, as no Linux does; the status that the device answers. */
  mapTwice(device: Device): { readonly virt: Range; readonly status: number } | undefined {
    const { domain } = device.group ?? {};
    if (domain === undefined) return undefined;
    return this.lend(device, (address) => {
      const page = domain.viommu.granule - 1n;
      const virt = { start: address & ~page, end: address | page };
      const phys = domain.lookUp(virt.start) ?? 0n;
      const again = mapRequest(domain.id, virt, phys, VIRTIO_IOMMU_MAP_F_READ);
      return { virt, status: domain.viommu.request(again).status };
    });
  }

  /**
   * Aims a DMA of 4 bytes at that address.
   *
   * @returns whether the device did it, and whether it says that it was refused (only our engine
   *   does); undefined when it cannot be aimed, or has no driver
   */
  aim(
    { driver }: Device,
    write: boolean,
    address: bigint,
  ): { readonly ran: boolean; readonly refused?: boolean } | undefined {
    if (!(driver instanceof StubDriver)) return undefined;
    this.log.pause();
    const ran = driver.transfer(address, 4, write);
    this.kernel.idle();
    const { refused } = driver;
    return { ran, ...(refused === undefined ? {} : { refused }) };
  }

  /**
   * Aims a DMA of 4 bytes at a page that nothing was mapped for. Undefined: the device is not one
   * that can be aimed, or has no driver.
   */
  provokeFault(
    device: Device,
    write: boolean,
  ): { readonly address: bigint; readonly ran: boolean; readonly unchanged?: boolean } | undefined {
    const { driver } = device;
    if (!(driver instanceof StubDriver)) return undefined;
    const { ram } = this.kernel;
    const gpa = ram.pages(4096);
    ram.fill(gpa, 4096, 0xa5);
    const address = gpa & driver.mask;
    const { ran = false } = this.aim(device, write, address) ?? {};
    const unchanged = ram.read(gpa, 4096).every((byte) => byte === 0xa5);
    ram.release(gpa, 4096);
    // A device that cannot reach the page tells nothing by not changing it.
    return { address, ran, ...(address === gpa ? { unchanged } : {}) };
  }

  #enumerate(view: FirmwareView): void {
    const { ram, bus } = this.kernel;
    const found = new Map<string, PciFound>();
    for (const transport of view.transports) {
      this.devices.push(new Device({ transport }, new DirectMapper(ram)));
    }
    for (const host of view.hosts) {
      const functions = scanHost(bus, host);
      assignBars(host, functions);
      for (const pci of walkFunctions(functions)) {
        found.set(`${host.segment}/${pci.rid}`, pci);
        this.devices.push(new Device({ pci, asker: askerOf(pci) }, new DirectMapper(ram)));
      }
    }
    view.settle((segment, rid) => found.has(`${segment}/${rid}`));
  }

  /**
   * Every device gets its driver, those that wait for an IOMMU again whenever one came up. In the
   * end Linux gives up waiting on a device tree after ten seconds; for VIOT it waits for ever.
   */
  #probeAll(): void {
    let waiting = [...this.devices];
    for (let before = -1; before !== this.iommus.viommus.length;) {
      before = this.iommus.viommus.length;
      waiting = waiting.filter((device) => this.#probe(device, true) === 'deferred');
    }
    const gives = this.kernel.firmware.kind === 'device-tree';
    for (const device of waiting) {
      if (gives) this.#probe(device, false);
      else this.log.print(`${device.logName}: deferred probe pending: (reason unknown)`);
    }
    this.kernel.idle();
  }

  #probe(device: Device, patience: boolean): Probed {
    if (!this.kernel.firmware.enabled(device.asker)) return 'nothing';
    const match = matchDriver(device);
    if (match === undefined) return 'nothing';
    const configured = this.iommus.configure(device, patience);
    device.deferred = undefined;
    if (configured === 'deferred') {
      device.deferred = 'waiting for its IOMMU';
      return 'deferred';
    }
    if (configured === 'failed') return 'failed';
    if (device.pci !== undefined) enableFunction(device.pci);
    return this.#attach(device, match) ? 'bound' : 'failed';
  }

  #attach(device: Device, match: Match): boolean {
    const { kernel } = this;
    if (match === 'port') {
      device.driver = { name: 'pcieport', remove: () => undefined };
      return true;
    }
    if (match === 'stub') {
      device.driver = StubDriver.bind(kernel, device);
      return device.driver !== undefined;
    }
    const transport = this.#transport(device);
    if (transport === undefined || transport.deviceId === 0) return false;
    const binding = new VirtioBinding(kernel, device, transport);
    const label = `virtio${this.#virtioCount++}`;
    if (transport.deviceId === VIRTIO_ID_IOMMU) return this.#attachIommu(device, binding, label);
    const driver = bindVirtio(binding);
    if (driver === undefined) return false;
    device.driver = driver;
    return true;
  }

  #attachIommu(device: Device, binding: VirtioBinding, label: string): boolean {
    const key = this.kernel.firmware.iommuKey(device.asker);
    if (key === undefined) {
      // Without a node there is nothing that could tell endpoints apart from strangers, and
      // viommu_probe_device follows a pointer that is not there (6.12 and 7.3).
      this.log.print(
        'Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008',
      );
      this.log.print('pc : viommu_probe_device+0x1c/0x1d8 [virtio_iommu]');
      return false;
    }
    const viommu = Viommu.bind(this.kernel, binding, key, label);
    if (viommu === undefined) return false;
    this.iommus.register(viommu);
    device.driver = {
      name: 'virtio_iommu',
      remove: () => {
        this.iommus.unregister(viommu);
        viommu.close();
      },
    };
    return true;
  }

  #transport({ pci, transport }: Device): VirtioTransport | undefined {
    if (pci !== undefined) return PciDriverTransport.of(this.kernel.bus, pci);
    if (transport === undefined) return undefined;
    return MmioDriverTransport.at(this.kernel.bus, Number(transport.base));
  }
}
