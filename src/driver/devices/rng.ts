import type { DriverQueue } from '../../virtio/index.ts';
import type { BoundDriver } from '../device.ts';
import type { VirtioBinding } from '../virtio/binding.ts';

/** A virtio-rng that a driver is bound to. */
export class EntropyDriver implements BoundDriver {
  readonly name = 'virtio_rng';
  readonly #binding: VirtioBinding;
  readonly #queue: DriverQueue;
  #got: number | undefined;

  static bind(binding: VirtioBinding): EntropyDriver | undefined {
    if (!binding.negotiate(0n)) return undefined;
    const held: { driver?: EntropyDriver } = {};
    const [queue] = binding.open([{ used: () => held.driver?.used() }]) ?? [];
    if (queue === undefined) {
      binding.fail();
      return undefined;
    }
    held.driver = new EntropyDriver(binding, queue);
    // The hwrng core takes the first bytes as soon as there is a device.
    held.driver.read(64);
    return held.driver;
  }

  private constructor(binding: VirtioBinding, queue: DriverQueue) {
    this.#binding = binding;
    this.#queue = queue;
    queue.enableInterrupts(true);
    binding.ready();
  }

  /** Random bytes, as many as the device gave; undefined when it does not answer. */
  read(length: number): Uint8Array | undefined {
    const { kernel, dma } = this.#binding;
    const gpa = kernel.ram.pages(length);
    const buffer = dma.map([{ gpa, length }], 'from-device');
    if (buffer === undefined) return undefined;
    this.#got = undefined;
    this.#queue.add([], buffer);
    this.#binding.kick(0);
    if (!kernel.waitFor(() => this.#got !== undefined)) return undefined;
    const bytes = kernel.ram.read(gpa, Math.min(this.#got ?? 0, length));
    dma.unmap(buffer);
    kernel.ram.release(gpa, length);
    return bytes;
  }

  used(): void {
    for (let used = this.#queue.poll(); used !== undefined; used = this.#queue.poll()) {
      this.#got = used.length;
    }
  }

  remove(): void {
    this.#binding.close();
  }
}
