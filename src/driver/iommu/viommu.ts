import { ByteView, type Range } from '../../bytes/index.ts';
import {
  VIRTIO_IOMMU_CONFIG,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_F_DOMAIN_RANGE,
  VIRTIO_IOMMU_F_INPUT_RANGE,
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_F_PROBE,
  VIRTIO_IOMMU_FAULT,
  VIRTIO_IOMMU_REQ_TAIL,
  VIRTIO_IOMMU_REQUESTQ,
  VIRTIO_IOMMU_S_IOERR,
  VIRTIO_IOMMU_S_OK,
} from '../../spec/virtio-iommu.ts';
import { VIRTIO_F_VERSION_1 } from '../../spec/virtio.ts';
import { featureBits, type DriverQueue } from '../../virtio/index.ts';
import type { Device } from '../device.ts';
import { segment } from '../dma.ts';
import type { Kernel } from '../kernel.ts';
import type { VirtioBinding } from '../virtio/binding.ts';
import { faultLine } from './fault.ts';
import { parseProperties, probeRequest, type ProbedRegion } from './requests.ts';

const AT = VIRTIO_IOMMU_CONFIG.offsets;
const ALL_ADDRESSES: Range = { start: 0n, end: (1n << 64n) - 1n };
/** Longest device-readable part of a request. */
const REQUEST_MAX = 128;
const PROBE_SIZE_MAX = 0x1_0000;

/** Features of the device type that the driver takes (R1); BYPASS is never one of them, as in Linux. */
export const IOMMU_FEATURES: bigint = featureBits(
  VIRTIO_IOMMU_F_INPUT_RANGE,
  VIRTIO_IOMMU_F_DOMAIN_RANGE,
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_F_PROBE,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
);

/** The answer to a request. */
export interface Reply {
  /** VIRTIO_IOMMU_S_*. */
  readonly status: number;
  /** What is before the tail. */
  readonly bytes: Uint8Array;
  /** Used length. */
  readonly used: number;
}

/** A request that was answered, for tests and statistics. */
export interface Exchange {
  readonly request: Uint8Array;
  readonly reply: Reply;
}

/** A virtio-iommu that a driver is bound to. */
export class Viommu {
  /** In `/sys/class/iommu`. */
  readonly name: string;
  /** By which firmware refers to it. */
  readonly key: string;
  readonly device: Device;
  readonly pageSizeMask: bigint;
  readonly inputRange: Range;
  readonly domainRange: Range<number>;
  readonly probeSize: number;
  readonly mmio: boolean;
  readonly bypassConfig: boolean;
  /** Devices that were configured for it. */
  readonly devices: Set<Device> = new Set();
  /** Fault reports taken, and those that were ignored. */
  faults = 0;
  ignoredFaults = 0;
  /** Sees every request with its answer. */
  onExchange: ((exchange: Exchange) => void) | undefined;
  readonly #kernel: Kernel;
  readonly #binding: VirtioBinding;
  readonly #label: string;
  readonly #requests: DriverQueue;
  readonly #events: DriverQueue;
  readonly #page: { readonly gpa: bigint; readonly bytes: number };
  readonly #eventPages = new Map<number, bigint>();
  readonly #eventArea: { readonly gpa: bigint; readonly bytes: number };
  readonly #domains = new Set<number>();

  /**
   * Drives the device; undefined when it is none that can be driven (viommu_probe: VERSION_1 and
   * MAP_UNMAP are demanded, and a page size).
   */
  static bind(
    kernel: Kernel,
    binding: VirtioBinding,
    key: string,
    label: string,
  ): Viommu | undefined {
    if (!binding.negotiate(IOMMU_FEATURES)) return undefined;
    const needs = [VIRTIO_F_VERSION_1, VIRTIO_IOMMU_F_MAP_UNMAP];
    if (!needs.every((bit) => binding.hasFeature(bit))) {
      binding.fail();
      return undefined;
    }
    if (binding.config64(AT.page_size_mask) === 0n) {
      binding.fail();
      return undefined;
    }
    const held: { viommu?: Viommu } = {};
    const queues = binding.open([{}, { used: () => held.viommu?.takeEvents() }]);
    const [requests, events] = queues ?? [];
    if (requests === undefined || events === undefined) {
      binding.fail();
      return undefined;
    }
    held.viommu = new Viommu(kernel, binding, { key, label, requests, events });
    return held.viommu;
  }

  private constructor(
    kernel: Kernel,
    binding: VirtioBinding,
    parts: {
      readonly key: string;
      readonly label: string;
      readonly requests: DriverQueue;
      readonly events: DriverQueue;
    },
  ) {
    this.#kernel = kernel;
    this.#binding = binding;
    this.#label = parts.label;
    this.key = parts.key;
    this.device = binding.device;
    this.name = binding.device.name;
    this.pageSizeMask = binding.config64(AT.page_size_mask);
    this.inputRange = binding.hasFeature(VIRTIO_IOMMU_F_INPUT_RANGE)
      ? {
          start: binding.config64(AT.input_range_start),
          end: binding.config64(AT.input_range_end),
        }
      : ALL_ADDRESSES;
    const read = (offset: number): number => binding.transport.readConfig(offset, 4);
    this.domainRange = binding.hasFeature(VIRTIO_IOMMU_F_DOMAIN_RANGE)
      ? { start: read(AT.domain_range_start), end: read(AT.domain_range_end) }
      : { start: 0, end: 0xffff_ffff };
    this.probeSize = binding.hasFeature(VIRTIO_IOMMU_F_PROBE)
      ? Math.min(read(AT.probe_size), PROBE_SIZE_MAX)
      : 0;
    this.mmio = binding.hasFeature(VIRTIO_IOMMU_F_MMIO);
    this.bypassConfig = binding.hasFeature(VIRTIO_IOMMU_F_BYPASS_CONFIG);
    this.#requests = parts.requests;
    this.#events = parts.events;
    const bytes = REQUEST_MAX + this.probeSize + VIRTIO_IOMMU_REQ_TAIL.size;
    this.#page = { gpa: kernel.ram.pages(bytes), bytes };
    const areaBytes = VIRTIO_IOMMU_FAULT.size * parts.events.size;
    this.#eventArea = { gpa: kernel.ram.pages(areaBytes), bytes: areaBytes };
    binding.ready();
    this.#fillEvents();
    const bits = this.inputRange.end.toString(2).length;
    kernel.log.print(`virtio_iommu ${parts.label}: input address: ${bits} bits`);
    kernel.log.print(`virtio_iommu ${parts.label}: page mask: 0x${this.pageSizeMask.toString(16)}`);
  }

  /** The smallest mapping. */
  get granule(): bigint {
    return this.pageSizeMask & -this.pageSizeMask;
  }

  /** An ID that no domain has; undefined: domain_range is used up (R8). */
  takeDomain(): number | undefined {
    const { start, end } = this.domainRange;
    for (let id = start; id <= end; id++) {
      if (this.#domains.has(id)) continue;
      this.#domains.add(id);
      return id;
    }
    return undefined;
  }

  freeDomain(id: number): void {
    this.#domains.delete(id);
  }

  /**
   * Sends a request and waits for its answer. A used length of zero means failure (R7), as does any
   * that does not reach the tail.
   *
   * @param replyLength bytes before the tail: probe_size for PROBE (R23), else 0
   */
  request(request: Uint8Array, replyLength = 0): Reply {
    const reply = this.#exchange(request, replyLength);
    this.onExchange?.({ request, reply });
    return reply;
  }

  /** PROBE, which is to come before ATTACH (R5). Undefined regions: the endpoint cannot be used. */
  probe(endpoint: number): readonly ProbedRegion[] | undefined {
    if (this.probeSize === 0) return [];
    const { status, bytes } = this.request(probeRequest(endpoint), this.probeSize);
    if (status !== VIRTIO_IOMMU_S_OK) return undefined;
    return parseProperties(bytes, { log: this.#kernel.log, device: this.#label });
  }

  /** The interrupt of the event queue. Buffers go back without a copy kept. */
  takeEvents(): void {
    for (let used = this.#events.poll(); used !== undefined; used = this.#events.poll()) {
      const gpa = this.#eventPages.get(used.id);
      this.#eventPages.delete(used.id);
      if (gpa === undefined) continue;
      this.#takeFault(this.#kernel.ram.read(gpa, Math.min(used.length, VIRTIO_IOMMU_FAULT.size)));
      this.#offerEvent(gpa);
    }
    this.#binding.kick(1);
  }

  /** Writes `config.bypass` (R2, R3); false when the feature was not negotiated. */
  setBypass(on: boolean): boolean {
    if (!this.bypassConfig) return false;
    this.#binding.transport.writeConfig(AT.bypass, 1, on ? 1 : 0);
    return true;
  }

  message(text: string): void {
    this.#kernel.log.print(`virtio_iommu ${this.#label}: ${text}`);
  }

  /** Device reset: nothing is attached afterwards. */
  close(): void {
    this.#binding.close();
    this.#kernel.ram.release(this.#page.gpa, this.#page.bytes);
    this.#kernel.ram.release(this.#eventArea.gpa, this.#eventArea.bytes);
  }

  #exchange(request: Uint8Array, replyLength: number): Reply {
    const { ram } = this.#kernel;
    const length = replyLength + VIRTIO_IOMMU_REQ_TAIL.size;
    const replyAt = this.#page.gpa + BigInt(REQUEST_MAX);
    ram.write(this.#page.gpa, request);
    ram.fill(replyAt, length, 0);
    const id = this.#requests.add(
      [segment(this.#page.gpa, request.length)],
      [segment(replyAt, length)],
    );
    this.#binding.kick(VIRTIO_IOMMU_REQUESTQ);
    const answer: { used?: number } = {};
    this.#kernel.waitFor(() => {
      const used = this.#requests.poll();
      if (used !== undefined && used.id === id) answer.used = used.length;
      return answer.used !== undefined;
    });
    const bytes = ram.read(replyAt, length);
    const used = answer.used ?? 0;
    const status = used === length ? (bytes[replyLength] ?? 0) : VIRTIO_IOMMU_S_IOERR;
    return { status, bytes: bytes.subarray(0, replyLength), used };
  }

  /** As many buffers as fit, and no kick: the device looks when it has something (viommu_fill_evtq). */
  #fillEvents(): void {
    for (let i = 0; i < this.#events.size; i++) {
      this.#offerEvent(this.#eventArea.gpa + BigInt(i * VIRTIO_IOMMU_FAULT.size));
    }
    this.#events.enableInterrupts(true);
  }

  #offerEvent(gpa: bigint): void {
    const id = this.#events.add([], [segment(gpa, VIRTIO_IOMMU_FAULT.size)]);
    if (id !== undefined) this.#eventPages.set(id, gpa);
  }

  #takeFault(bytes: Uint8Array): void {
    const whole = new Uint8Array(VIRTIO_IOMMU_FAULT.size);
    whole.set(bytes);
    const line = faultLine(VIRTIO_IOMMU_FAULT.read(new ByteView(whole, 'le', 'fault'), 0));
    if (line === undefined) {
      this.ignoredFaults++;
      return;
    }
    this.faults++;
    this.#kernel.log.limited(`virtio_iommu ${this.#label}: ${line}`);
  }
}
