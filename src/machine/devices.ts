import {
  DmaEngine,
  Edu,
  MemoryStore,
  SeededRandom,
  VirtioBlock,
  VirtioEntropy,
  VirtioNet,
  VirtioPciFunction,
} from '../endpoints/index.ts';
import type { DmaSpace } from '../memory/index.ts';
import { PciFunction } from '../pci/index.ts';
import {
  PCI_CLASS_NETWORK_ETHERNET,
  PCI_CLASS_SP_OTHER,
  PCI_CLASS_STORAGE_SCSI,
} from '../spec/pci-config.ts';
import {
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '../spec/virtio.ts';
import type { DeviceKind, Endpoint } from '../topology/index.ts';
import {
  featureBits,
  RING_FEATURES,
  type VirtioCore,
  type VirtioDevice,
  type VirtioOptions,
} from '../virtio/index.ts';
import { defaultLink } from './link.ts';
import type { MachineOptions } from './options.ts';

/** Bytes of a disk whose topology states none. */
const DISK_SIZE = 16 * 2 ** 20;
/** Disks of a machine without a store of its own are kept in memory. */
const DISK_SIZE_MAX = 2 ** 30;

const CLASSES: Readonly<Partial<Record<DeviceKind, number>>> = {
  'virtio-blk': PCI_CLASS_STORAGE_SCSI,
  'virtio-net': PCI_CLASS_NETWORK_ETHERNET,
  'virtio-rng': PCI_CLASS_SP_OTHER,
};

/** A function for a place where only the requester ID matters: it has no BAR and does nothing. */
const GENERIC = { vendorId: 0x1b36, deviceId: 0x70d1, classCode: PCI_CLASS_SP_OTHER } as const;

/** What is said of kinds that no machine of ours has. */
const MISSING: Readonly<Partial<Record<DeviceKind, string>>> = {
  e1000e: 'use virtio-net',
  nvme: 'use virtio-blk',
  xhci: 'use dma-engine',
};

/** Why a machine cannot have this endpoint; undefined: it can. */
export function unsupported(endpoint: Endpoint): { what: string; cure: string } | undefined {
  const { device, location, id } = endpoint;
  if (device === undefined) return undefined;
  const missing = MISSING[device.kind];
  if (missing !== undefined) {
    return { what: `${id} is an ${device.kind}, which our machine does not have`, cure: missing };
  }
  const virtio = device.kind.startsWith('virtio-');
  if (location.kind === 'platform' && !virtio && device.kind !== 'generic') {
    const cure = 'give it a PCI address, or make it a virtio device';
    return { what: `${id} is a platform device of kind ${device.kind}`, cure };
  }
  const size = device.size ?? 0n;
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) {
    return { what: `the disk ${id} has ${size} bytes`, cure: 'make it smaller' };
  }
  return undefined;
}

/** How the machine around a device looks. */
export interface Surroundings {
  readonly options: MachineOptions;
  readonly dma: DmaSpace;
  readonly virtio: Omit<VirtioOptions, 'dma'>;
  /** Position among the machine's endpoints: makes MAC addresses differ. */
  readonly index: number;
  /** False on a conventional bus. */
  readonly express: boolean;
}

export interface MadeFunction {
  readonly fn: PciFunction;
  readonly core?: VirtioCore;
  readonly engine?: DmaEngine;
}

/** The virtio device of an endpoint, whatever it is plugged into; undefined: it is none. */
export function makeVirtio(
  endpoint: Endpoint,
  { options, index }: Pick<Surroundings, 'options' | 'index'>,
): VirtioDevice | undefined {
  const { device, id } = endpoint;
  switch (device?.kind) {
    case 'virtio-blk': {
      const size = Number(device.size ?? BigInt(DISK_SIZE));
      const store = options.store?.(endpoint, size) ?? memoryDisk(id, size);
      return new VirtioBlock({ store, serial: id });
    }
    case 'virtio-net': {
      const tap = options.tap?.(endpoint);
      const mac = Uint8Array.of(0x52, 0x54, 0x00, 0x12, 0x34 + (index >> 8), (0x56 + index) & 0xff);
      const link = options.link?.(endpoint) ?? defaultLink();
      return new VirtioNet({ mac, link, ...(tap === undefined ? {} : { tap }) });
    }
    case 'virtio-rng':
      return new VirtioEntropy(options.random?.(endpoint) ?? new SeededRandom(1));
    default:
      return undefined;
  }
}

/**
 * The PCI function of an endpoint.
 *
 * @throws RangeError when {@link unsupported} has something to say
 */
export function makeFunction(endpoint: Endpoint, around: Surroundings): MadeFunction {
  const { id, device } = endpoint;
  const { dma, express } = around;
  const problem = unsupported(endpoint);
  if (problem !== undefined) throw new RangeError(problem.what);
  const virtio = makeVirtio(endpoint, around);
  if (virtio !== undefined) {
    const vectors = device?.options['vectors'];
    const { fn, core } = new VirtioPciFunction(virtio, {
      ...around.virtio,
      ...ringOptions(endpoint, around.options),
      name: id,
      classCode: CLASSES[device?.kind ?? 'generic'] ?? PCI_CLASS_SP_OTHER,
      dma,
      express,
      ...(typeof vectors === 'number' ? { vectors } : {}),
    });
    return { fn, core };
  }
  if (device?.kind === 'dma-engine') {
    const engine = new DmaEngine({ name: id, dma, express });
    return { fn: engine.fn, engine };
  }
  if (device?.kind === 'edu') {
    const mask = maskOf(device.options['dma_mask']);
    return { fn: new Edu({ name: id, dma, ...(mask === undefined ? {} : { dmaMask: mask }) }).fn };
  }
  return { fn: new PciFunction({ ...GENERIC, name: id, dma, express }) };
}

/** `packed: on`, as QEMU's property, and whether to offer indirect descriptors. */
export function ringOptions(
  { device, viommu }: Endpoint,
  { indirect = true }: Pick<MachineOptions, 'indirect'>,
): Pick<VirtioOptions, 'ringFeatures'> {
  const packed = device?.options['packed'];
  const isPacked = packed === true || packed === 'on';
  const direct = !indirect && viommu !== undefined;
  if (!isPacked && !direct) return {};
  const features = isPacked
    ? RING_FEATURES | featureBits(VIRTIO_F_RING_PACKED)
    : featureBits(VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC);
  return {
    ringFeatures: direct ? features & ~featureBits(VIRTIO_RING_F_INDIRECT_DESC) : features,
  };
}

function memoryDisk(id: string, size: number): MemoryStore {
  if (size > DISK_SIZE_MAX) throw new RangeError(`the disk ${id} of ${size} bytes needs a store`);
  return new MemoryStore(new Uint8Array(size));
}

function maskOf(option: string | number | boolean | undefined): bigint | undefined {
  if (typeof option === 'number' && Number.isSafeInteger(option) && option >= 0) {
    return BigInt(option);
  }
  if (typeof option === 'string' && /^(?:0x[0-9a-f]{1,16}|\d{1,20})$/iu.test(option)) {
    return BigInt.asUintN(64, BigInt(option));
  }
  return undefined;
}
