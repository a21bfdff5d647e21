import { structBytes } from '../src/bytes/index.ts';
import { IommuDevice } from '../src/iommu/index.ts';
import { GuestMemory, hiOf, loOf } from '../src/memory/index.ts';
import {
  VIRTIO_IOMMU_REQ_ATTACH,
  VIRTIO_IOMMU_REQ_MAP,
  VIRTIO_IOMMU_REQ_UNMAP,
  VIRTIO_IOMMU_T_ATTACH,
  VIRTIO_IOMMU_T_MAP,
  VIRTIO_IOMMU_T_UNMAP,
} from '../src/spec/virtio-iommu.ts';
import { makeDriverQueue, VirtioCore, type DriverQueue } from '../src/virtio/index.ts';

/** A device with a driver's request queue, and memory for requests. */
export interface RequestBench {
  readonly core: VirtioCore;
  readonly device: IommuDevice;
  readonly queue: DriverQueue;
  readonly ram: Uint8Array;
}

const QUEUE_SIZE = 256;
const AREA = 0x1_0000n;
const REQUESTS = 0x4_0000;
const SLOT = 64;
/** Two descriptors to a request. */
const BATCH = QUEUE_SIZE / 2;

export function makeRequests(ring: 'split' | 'packed'): RequestBench {
  const ram = new Uint8Array(1 << 20);
  const memory = new GuestMemory([{ gpa: 0n, bytes: ram }]);
  const device = new IommuDevice();
  device.addEndpoint({ id: 1 });
  const features = device.features | (1n << 32n) | (ring === 'packed' ? 1n << 34n : 0n);
  const core = new VirtioCore(device, { dma: memory, ringFeatures: (1n << 32n) | (1n << 34n) });
  core.writeStatus(3);
  core.choose(0, Number(features & 0xffff_ffffn));
  core.choose(1, Number(features >> 32n));
  core.writeStatus(0xb);
  const queue = makeDriverQueue({ memory, area: AREA, size: QUEUE_SIZE, features });
  const slot = core.queues[0];
  if (slot === undefined) throw new Error('no request queue');
  slot.size = QUEUE_SIZE;
  slot.descHi = hiOf(queue.descArea);
  slot.descLo = loOf(queue.descArea);
  slot.driverHi = hiOf(queue.driverArea);
  slot.driverLo = loOf(queue.driverArea);
  slot.deviceHi = hiOf(queue.deviceArea);
  slot.deviceLo = loOf(queue.deviceArea);
  core.enableQueue(0);
  core.writeStatus(0xf);
  const attach = { type: VIRTIO_IOMMU_T_ATTACH, domain: 1, endpoint: 1 };
  const bench = { core, device, queue, ram };
  run(bench, [structBytes(VIRTIO_IOMMU_REQ_ATTACH, 'le', attach)]);
  return bench;
}

/** Puts requests in memory and the queue, notifies once; nanoseconds the device took. */
function run({ core, queue, ram }: RequestBench, requests: readonly Uint8Array[]): number {
  for (const [i, bytes] of requests.entries()) {
    const lo = REQUESTS + i * SLOT;
    ram.set(bytes, lo);
    const readable = [{ hi: 0, lo, length: bytes.length }];
    queue.add(readable, [{ hi: 0, lo: lo + 48, length: 4 }]);
  }
  const start = process.hrtime.bigint();
  core.notify(0);
  const took = Number(process.hrtime.bigint() - start);
  for (const [i] of requests.entries()) {
    if (queue.poll()?.length !== 4) throw new Error('used length is not 4');
    if (ram[REQUESTS + i * SLOT + 48] !== 0) throw new Error('status is not OK');
  }
  return took;
}

/** Requests a second in the device alone: pop, decode, decide, apply, push. */
export function requestRate(bench: RequestBench, quick: boolean): number {
  const rounds = quick ? 200 : 2000;
  let took = 0;
  for (let round = 0; round < rounds; round++) {
    const base = BigInt(round % 50) * BigInt(BATCH) * 0x1000n;
    const pages = Array.from({ length: BATCH }, (_, i) => base + BigInt(i) * 0x1000n);
    const range = (start: bigint): { domain: number; virt_start: bigint; virt_end: bigint } => ({
      domain: 1,
      virt_start: start,
      virt_end: start + 0xfffn,
    });
    took += run(
      bench,
      pages.map((page) =>
        structBytes(VIRTIO_IOMMU_REQ_MAP, 'le', {
          type: VIRTIO_IOMMU_T_MAP,
          ...range(page),
          flags: 3,
        }),
      ),
    );
    took += run(
      bench,
      pages.map((page) =>
        structBytes(VIRTIO_IOMMU_REQ_UNMAP, 'le', { type: VIRTIO_IOMMU_T_UNMAP, ...range(page) }),
      ),
    );
  }
  return (rounds * 2 * BATCH * 1e9) / took;
}
