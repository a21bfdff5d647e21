import { VIRTIO_F_NOTIFICATION_DATA } from '../spec/virtio.ts';
import {
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_GUEST_PAGE_SIZE,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_ALIGN,
  VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
  VIRTIO_MMIO_QUEUE_AVAIL_LOW,
  VIRTIO_MMIO_QUEUE_DESC_HIGH,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_NUM_MAX,
  VIRTIO_MMIO_QUEUE_PFN,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_RESET,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_USED_HIGH,
  VIRTIO_MMIO_QUEUE_USED_LOW,
  VIRTIO_MMIO_SHM_BASE_HIGH,
  VIRTIO_MMIO_SHM_BASE_LOW,
  VIRTIO_MMIO_SHM_LEN_HIGH,
  VIRTIO_MMIO_SHM_LEN_LOW,
  VIRTIO_MMIO_SHM_SEL,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_VENDOR_ID,
  VIRTIO_MMIO_VERSION,
} from '../spec/virtio-mmio.ts';
import type { MmioTransport } from './mmio.ts';
import type { QueueSlot } from './queue-slot.ts';
import { RegisterBlock, type Register } from './registers.ts';

type Mmio = Register<MmioTransport>;

/** What a driver writes of a queue's place counts only while the queue is not in use. */
function place(
  name: string,
  offset: number,
  field: 'descLo' | 'descHi' | 'driverLo' | 'driverHi' | 'deviceLo' | 'deviceHi',
): Mmio {
  return {
    name,
    offset,
    size: 4,
    write: ({ selected }, value) => {
      if (selected && !selected.enabled) selected[field] = value;
    },
  };
}

/** No device here has shared memory: a region that does not exist has length and base of all ones. */
function noSharedMemory(name: string, offset: number): Mmio {
  return { name, offset, size: 4, read: () => 0xffff_ffff };
}

function setSize(slot: QueueSlot | undefined, value: number): void {
  if (slot && !slot.enabled) slot.size = value;
}

function setReady(transport: MmioTransport, value: number): void {
  if (value === 1) transport.core.enableQueue(transport.queueSelect);
  else if (value === 0 && transport.selected?.enabled === true) {
    transport.core.disableQueue(transport.queueSelect);
  }
}

function notify({ core }: MmioTransport, value: number): void {
  // With NOTIFICATION_DATA the upper half says where the ring has got to; we look for ourselves.
  const data = core.hasFeature(VIRTIO_F_NOTIFICATION_DATA);
  core.notify(data ? value & 0xffff : value);
}

const IDENTITY: readonly Mmio[] = [
  { name: 'MagicValue', offset: VIRTIO_MMIO_MAGIC_VALUE, size: 4, read: () => VIRTIO_MMIO_MAGIC },
  { name: 'Version', offset: VIRTIO_MMIO_VERSION, size: 4, read: (t) => t.version },
  { name: 'DeviceID', offset: VIRTIO_MMIO_DEVICE_ID, size: 4, read: (t) => t.core.device.deviceId },
  { name: 'VendorID', offset: VIRTIO_MMIO_VENDOR_ID, size: 4, read: (t) => t.vendorId },
];

const INTERRUPT_AND_STATUS: readonly Mmio[] = [
  {
    name: 'InterruptStatus',
    offset: VIRTIO_MMIO_INTERRUPT_STATUS,
    size: 4,
    read: (t) => t.interrupts,
  },
  {
    name: 'InterruptACK',
    offset: VIRTIO_MMIO_INTERRUPT_ACK,
    size: 4,
    write: (t, value) => t.setInterrupts(t.interrupts & ~value),
  },
  {
    name: 'Status',
    offset: VIRTIO_MMIO_STATUS,
    size: 4,
    read: (t) => t.core.status,
    write: (t, value) => t.writeStatus(value),
  },
];

/** VIRTIO 1.3, "MMIO Device Register Layout", in the order of its table. */
export const MMIO_REGISTERS: RegisterBlock<MmioTransport> = new RegisterBlock<MmioTransport>([
  ...IDENTITY,
  {
    name: 'DeviceFeatures',
    offset: VIRTIO_MMIO_DEVICE_FEATURES,
    size: 4,
    read: (t) => t.core.offeredWord(t.deviceSelect),
  },
  {
    name: 'DeviceFeaturesSel',
    offset: VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    size: 4,
    write: (t, value) => void (t.deviceSelect = value),
  },
  {
    name: 'DriverFeatures',
    offset: VIRTIO_MMIO_DRIVER_FEATURES,
    size: 4,
    write: (t, value) => t.core.choose(t.driverSelect, value),
  },
  {
    name: 'DriverFeaturesSel',
    offset: VIRTIO_MMIO_DRIVER_FEATURES_SEL,
    size: 4,
    write: (t, value) => void (t.driverSelect = value),
  },
  {
    name: 'QueueSel',
    offset: VIRTIO_MMIO_QUEUE_SEL,
    size: 4,
    write: (t, value) => void (t.queueSelect = value),
  },
  {
    name: 'QueueSizeMax',
    offset: VIRTIO_MMIO_QUEUE_NUM_MAX,
    size: 4,
    read: (t) => t.selected?.sizeMax ?? 0,
  },
  {
    name: 'QueueSize',
    offset: VIRTIO_MMIO_QUEUE_NUM,
    size: 4,
    write: (t, value) => setSize(t.selected, value),
  },
  {
    name: 'QueueReady',
    offset: VIRTIO_MMIO_QUEUE_READY,
    size: 4,
    read: (t) => Number(t.selected?.enabled ?? false),
    write: setReady,
  },
  { name: 'QueueNotify', offset: VIRTIO_MMIO_QUEUE_NOTIFY, size: 4, write: notify },
  ...INTERRUPT_AND_STATUS,
  place('QueueDescLow', VIRTIO_MMIO_QUEUE_DESC_LOW, 'descLo'),
  place('QueueDescHigh', VIRTIO_MMIO_QUEUE_DESC_HIGH, 'descHi'),
  place('QueueDriverLow', VIRTIO_MMIO_QUEUE_AVAIL_LOW, 'driverLo'),
  place('QueueDriverHigh', VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 'driverHi'),
  place('QueueDeviceLow', VIRTIO_MMIO_QUEUE_USED_LOW, 'deviceLo'),
  place('QueueDeviceHigh', VIRTIO_MMIO_QUEUE_USED_HIGH, 'deviceHi'),
  { name: 'SHMSel', offset: VIRTIO_MMIO_SHM_SEL, size: 4, write: () => undefined },
  noSharedMemory('SHMLenLow', VIRTIO_MMIO_SHM_LEN_LOW),
  noSharedMemory('SHMLenHigh', VIRTIO_MMIO_SHM_LEN_HIGH),
  noSharedMemory('SHMBaseLow', VIRTIO_MMIO_SHM_BASE_LOW),
  noSharedMemory('SHMBaseHigh', VIRTIO_MMIO_SHM_BASE_HIGH),
  {
    name: 'QueueReset',
    offset: VIRTIO_MMIO_QUEUE_RESET,
    size: 4,
    // A reset is over before the write returns, so 1 is never seen.
    read: () => 0,
    write: (t, value) => void (value === 1 && t.core.resetQueue(t.queueSelect)),
  },
  {
    name: 'ConfigGeneration',
    offset: VIRTIO_MMIO_CONFIG_GENERATION,
    size: 4,
    read: (t) => t.core.generation,
  },
]);

/**
 * "MMIO Legacy interface", as far as a driver of a device that needs VERSION_1 comes: it reads the
 * first 32 features and gives up. QueueNumMax is 0, so that no queue exists for it.
 */
export const LEGACY_REGISTERS: RegisterBlock<MmioTransport> = new RegisterBlock<MmioTransport>([
  ...IDENTITY,
  {
    name: 'HostFeatures',
    offset: VIRTIO_MMIO_DEVICE_FEATURES,
    size: 4,
    read: (t) => (t.deviceSelect === 0 ? t.core.offeredWord(0) : 0),
  },
  {
    name: 'HostFeaturesSel',
    offset: VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    size: 4,
    write: (t, value) => void (t.deviceSelect = value),
  },
  {
    name: 'GuestFeatures',
    offset: VIRTIO_MMIO_DRIVER_FEATURES,
    size: 4,
    write: (t, value) => void (t.driverSelect === 0 && t.core.choose(0, value)),
  },
  {
    name: 'GuestFeaturesSel',
    offset: VIRTIO_MMIO_DRIVER_FEATURES_SEL,
    size: 4,
    write: (t, value) => void (t.driverSelect = value),
  },
  { name: 'GuestPageSize', offset: VIRTIO_MMIO_GUEST_PAGE_SIZE, size: 4, write: () => undefined },
  {
    name: 'QueueSel',
    offset: VIRTIO_MMIO_QUEUE_SEL,
    size: 4,
    write: (t, value) => void (t.queueSelect = value),
  },
  { name: 'QueueNumMax', offset: VIRTIO_MMIO_QUEUE_NUM_MAX, size: 4, read: () => 0 },
  { name: 'QueueNum', offset: VIRTIO_MMIO_QUEUE_NUM, size: 4, write: () => undefined },
  { name: 'QueueAlign', offset: VIRTIO_MMIO_QUEUE_ALIGN, size: 4, write: () => undefined },
  {
    name: 'QueuePFN',
    offset: VIRTIO_MMIO_QUEUE_PFN,
    size: 4,
    read: () => 0,
    write: () => undefined,
  },
  { name: 'QueueNotify', offset: VIRTIO_MMIO_QUEUE_NOTIFY, size: 4, write: () => undefined },
  ...INTERRUPT_AND_STATUS,
]);
