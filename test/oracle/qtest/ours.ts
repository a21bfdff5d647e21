import type { QueuePlace, VirtioTransport } from '../../../src/driver/virtio/transport.ts';
import { FEATURE_BITS, IommuDevice, type FeatureName } from '../../../src/iommu/index.ts';
import { hiOf, loOf, TranslatedDma } from '../../../src/memory/index.ts';
import { ByteView } from '../../../src/bytes/index.ts';
import { VIRTIO_ID_IOMMU, VIRTIO_IOMMU_CONFIG } from '../../../src/spec/virtio-iommu.ts';
import { VirtioCore } from '../../../src/virtio/index.ts';
import { Side } from './side.ts';

/** Our device's registers without a bus. */
class CoreTransport implements VirtioTransport {
  readonly name = 'ours';
  readonly deviceId: number = VIRTIO_ID_IOMMU;
  readonly modern = true;
  core!: VirtioCore;

  get status(): number {
    return this.core.status;
  }

  set status(value: number) {
    this.core.writeStatus(value);
  }

  deviceFeatures(): bigint {
    return this.core.offered;
  }

  setDriverFeatures(features: bigint): void {
    this.core.choose(0, loOf(features));
    this.core.choose(1, hiOf(features));
  }

  queueMax(index: number): number {
    return this.core.queues[index]?.sizeMax ?? 0;
  }

  setQueue(index: number, { size, desc, driver, device }: QueuePlace): boolean {
    const slot = this.core.queues[index];
    if (slot === undefined) throw new RangeError(`queue ${index}`);
    slot.size = size;
    [slot.descHi, slot.descLo] = [hiOf(desc), loOf(desc)];
    [slot.driverHi, slot.driverLo] = [hiOf(driver), loOf(driver)];
    [slot.deviceHi, slot.deviceLo] = [hiOf(device), loOf(device)];
    this.core.enableQueue(index);
    return true;
  }

  notify(index: number): void {
    this.core.notify(index);
  }

  setConfigVector(): boolean {
    return true;
  }

  readConfig(offset: number, size: 1 | 2 | 4): number {
    const { config } = this.core.device;
    const view = new DataView(config.buffer, config.byteOffset);
    if (size === 1) return view.getUint8(offset);
    return size === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true);
  }

  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.core.configWrite(offset, size, value);
  }

  generation(): number {
    return this.core.generation;
  }

  takeInterrupt(): number {
    return 0;
  }
}

export interface OursOptions {
  /** QEMU's configuration and offered features: ours is made the same. */
  readonly config: Uint8Array;
  readonly features: bigint;
  readonly endpoints: readonly number[];
  /** The MSI window that QEMU's PROBE reports. */
  readonly msi: { readonly start: bigint; readonly end: bigint };
}

/** Our device, set up as QEMU's says that it is. */
export class Ours extends Side {
  readonly device: IommuDevice;

  constructor({ config, features, endpoints, msi }: OursOptions) {
    const transport = new CoreTransport();
    super('ours', transport, { push: () => undefined, pull: () => undefined });
    const own = VIRTIO_IOMMU_CONFIG.read(new ByteView(config, 'le', 'config'), 0);
    this.device = new IommuDevice({
      pageSizeMask: own.page_size_mask,
      inputRange: { start: own.input_range_start, end: own.input_range_end },
      domainRange: { start: own.domain_range_start, end: own.domain_range_end },
      probeSize: own.probe_size,
      bootBypass: own.bypass === 1,
      features: (Object.keys(FEATURE_BITS) as FeatureName[]).filter(
        (name) => (features & (1n << BigInt(FEATURE_BITS[name]))) !== 0n,
      ),
      // Where VIRTIO leaves the choice, ours takes QEMU's.
      choices: { unmapReserved: 'ignore', faultsWithoutBuffer: 'drop', holdReports: false },
    });
    for (const id of endpoints) {
      this.device.addEndpoint({ id, reserved: [{ range: msi, type: 'msi' }] });
    }
    const ringFeatures = features & ~0x7fn;
    transport.core = new VirtioCore(this.device, { dma: this.memory, ringFeatures });
    transport.core.systemReset();
  }

  /** Memory as an endpoint sees it; MSI writes go somewhere. */
  dma(endpoint: number): TranslatedDma {
    return new TranslatedDma(this.memory, this.device.translation, endpoint, () => true);
  }
}
