import { structBytes } from '../../src/bytes/index.ts';
import {
  Device,
  DirectMapper,
  Kernel,
  KernelLog,
  MmioDriverTransport,
  Ram,
  Viommu,
  VirtioBinding,
  type FirmwareView,
  type PlatformInterrupt,
} from '../../src/driver/index.ts';
import { GuestMemory } from '../../src/memory/index.ts';
import {
  VIRTIO_ID_IOMMU,
  VIRTIO_IOMMU_CONFIG,
  VIRTIO_IOMMU_EVENTQ,
  VIRTIO_IOMMU_REQUESTQ,
} from '../../src/spec/virtio-iommu.ts';
import {
  MmioTransport,
  VirtioCore,
  type VirtioDevice,
  type VirtioHost,
} from '../../src/virtio/index.ts';

/** What a fake answers: bytes for the writable part, and the used length when it is to lie. */
export interface FakeAnswer {
  readonly bytes: Uint8Array;
  readonly used?: number;
}

export interface FakeRequest {
  readonly bytes: Uint8Array;
  /** Bytes that the driver left for the answer. */
  readonly room: number;
}

/** A virtio-iommu that answers whatever a test wants, to see what a driver makes of it. */
export class FakeIommu implements VirtioDevice {
  readonly deviceId = VIRTIO_ID_IOMMU;
  readonly features: bigint;
  readonly queueSizes = [64, 8];
  readonly config: Uint8Array;
  readonly requests: FakeRequest[] = [];
  readonly configWrites: { offset: number; size: number; value: number }[] = [];
  /** Default: OK. */
  answer: (request: FakeRequest) => FakeAnswer = ({ room }) => ({ bytes: new Uint8Array(room) });
  #host: VirtioHost | undefined;

  constructor(features: bigint, config: Partial<ReturnType<typeof VIRTIO_IOMMU_CONFIG.read>>) {
    this.features = features;
    this.config = structBytes(VIRTIO_IOMMU_CONFIG, 'le', {
      page_size_mask: 0xffff_ffff_ffff_f000n,
      input_range_end: 0xffff_ffff_ffff_ffffn,
      domain_range_end: 0xffff_ffff,
      probe_size: 64,
      ...config,
    });
  }

  attach(host: VirtioHost): void {
    this.#host = host;
  }

  configWrite(offset: number, size: number, value: number): void {
    this.configWrites.push({ offset, size, value });
  }

  kick(index: number): void {
    if (index !== VIRTIO_IOMMU_REQUESTQ) return;
    const queue = this.#host?.queue(index);
    for (let chain = queue?.pop(); chain !== undefined; chain = queue?.pop()) {
      const bytes = new Uint8Array(chain.readableLength);
      chain.reader.read(bytes);
      const request = { bytes, room: chain.writableLength };
      this.requests.push(request);
      const { bytes: reply, used } = this.answer(request);
      const written = chain.writer.write(reply);
      queue?.push(chain, used ?? written);
    }
    this.#host?.signal(index);
  }

  /** Puts a record into the event queue. */
  report(record: Uint8Array): void {
    const queue = this.#host?.queue(VIRTIO_IOMMU_EVENTQ);
    const chain = queue?.pop();
    if (queue === undefined || chain === undefined) return;
    queue.push(chain, chain.writer.write(record));
    this.#host?.signal(VIRTIO_IOMMU_EVENTQ);
  }

  reset(): void {}
}

const BASE = 0xa00_0000;
const RAM_AT = 0x4000_0000n;

/** A driver bound to the fake, and nothing else in the world. */
export function fakeRig(
  features: bigint,
  config: Partial<ReturnType<typeof VIRTIO_IOMMU_CONFIG.read>> = {},
): {
  readonly fake: FakeIommu;
  readonly kernel: Kernel;
  readonly core: VirtioCore;
  readonly viommu: Viommu | undefined;
} {
  const bytes = new Uint8Array(4 * 2 ** 20);
  const memory = new GuestMemory([{ gpa: RAM_AT, bytes }]);
  const fake = new FakeIommu(features, config);
  const core = new VirtioCore(fake, { dma: memory });
  const interrupts: PlatformInterrupt[] = [];
  const line = (level: boolean): void => void interrupts.push({ kind: 'line', number: 16, level });
  const transport = new MmioTransport(core, { line });
  const platform = {
    memory,
    bus: {
      read: (address: number, size: number) => transport.read(address - BASE, size),
      write: (address: number, size: number, value: number) =>
        transport.write(address - BASE, size, value),
    },
    takeInterrupts: () => interrupts.splice(0),
    run: () => core.runPending(),
  };
  const view = { start: RAM_AT, end: RAM_AT + BigInt(bytes.length) - 1n };
  const ram = new Ram(memory, [view], [], 4096n);
  const kernel = new Kernel({
    platform,
    firmware: NO_FIRMWARE,
    ram,
    log: new KernelLog(),
    model: { major: 6, minor: 12, pageSize: 4096n },
  });
  const device = new Device(
    { transport: { base: BigInt(BASE), size: 0x200n, interrupt: 16 } },
    new DirectMapper(ram),
  );
  const driver = MmioDriverTransport.at(platform.bus, BASE);
  if (driver === undefined) throw new Error('no transport');
  const binding = new VirtioBinding(kernel, device, driver);
  return { fake, kernel, core, viommu: Viommu.bind(kernel, binding, 'fake', 'virtio0') };
}

const NO_FIRMWARE: FirmwareView = {
  kind: 'device-tree',
  memory: [],
  reserved: [],
  hosts: [],
  transports: [],
  settle: () => undefined,
  enabled: () => true,
  iommuKey: () => undefined,
  iommu: () => ({ kind: 'none' }),
  msi: () => ({ kind: 'none' }),
  intx: () => undefined,
  regions: () => [],
};
