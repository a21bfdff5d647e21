import { VIRTIO_F_NOTIF_CONFIG_DATA } from '../spec/virtio.ts';
import { VIRTIO_PCI_COMMON_CFG } from '../spec/virtio-pci.ts';
import type { PciTransport } from './pci.ts';
import { RegisterBlock, type Register } from './registers.ts';

type Pci = Register<PciTransport>;
const AT = VIRTIO_PCI_COMMON_CFG.offsets;

/** Both halves of a queue's address; written only while the queue is not in use. */
function place(
  name: keyof typeof AT,
  field: 'descLo' | 'descHi' | 'driverLo' | 'driverHi' | 'deviceLo' | 'deviceHi',
): Pci {
  return {
    name,
    offset: AT[name],
    size: 4,
    read: ({ selected }) => selected?.[field] ?? 0,
    write: ({ selected }, value) => {
      if (selected && !selected.enabled) selected[field] = value;
    },
  };
}

const SELECTS_AND_FEATURES: readonly Pci[] = [
  {
    name: 'device_feature_select',
    offset: AT.device_feature_select,
    size: 4,
    read: (t) => t.deviceSelect,
    write: (t, value) => void (t.deviceSelect = value),
  },
  {
    name: 'device_feature',
    offset: AT.device_feature,
    size: 4,
    read: (t) => t.core.offeredWord(t.deviceSelect),
  },
  {
    name: 'driver_feature_select',
    offset: AT.driver_feature_select,
    size: 4,
    read: (t) => t.driverSelect,
    write: (t, value) => void (t.driverSelect = value),
  },
  {
    name: 'driver_feature',
    offset: AT.driver_feature,
    size: 4,
    read: (t) => t.core.chosenWord(t.driverSelect),
    write: (t, value) => t.core.choose(t.driverSelect, value),
  },
];

/** VIRTIO 1.3, "Common configuration structure layout", in its order. */
export const COMMON_REGISTERS: RegisterBlock<PciTransport> = new RegisterBlock<PciTransport>([
  ...SELECTS_AND_FEATURES,
  {
    name: 'config_msix_vector',
    offset: AT.config_msix_vector,
    size: 2,
    read: (t) => t.configVector,
    write: (t, value) => void (t.configVector = t.vectorOf(value)),
  },
  { name: 'num_queues', offset: AT.num_queues, size: 2, read: (t) => t.core.queues.length },
  {
    name: 'device_status',
    offset: AT.device_status,
    size: 1,
    read: (t) => t.core.status,
    write: (t, value) => t.writeStatus(value),
  },
  {
    name: 'config_generation',
    offset: AT.config_generation,
    size: 1,
    read: (t) => t.core.generation & 0xff,
  },
  {
    name: 'queue_select',
    offset: AT.queue_select,
    size: 2,
    read: (t) => t.queueSelect,
    write: (t, value) => void (t.queueSelect = value),
  },
  {
    name: 'queue_size',
    offset: AT.queue_size,
    size: 2,
    read: (t) => t.selected?.size ?? 0,
    write: ({ selected }, value) => {
      if (selected && !selected.enabled) selected.size = value;
    },
  },
  {
    name: 'queue_msix_vector',
    offset: AT.queue_msix_vector,
    size: 2,
    read: (t) => t.queueVector(t.queueSelect),
    write: (t, value) => t.setQueueVector(t.queueSelect, value),
  },
  {
    name: 'queue_enable',
    offset: AT.queue_enable,
    size: 2,
    read: (t) => Number(t.selected?.enabled ?? false),
    // "The driver MUST NOT write a 0": only a reset takes a queue back.
    write: (t, value) => void (value === 1 && t.core.enableQueue(t.queueSelect)),
  },
  {
    name: 'queue_notify_off',
    offset: AT.queue_notify_off,
    size: 2,
    read: (t) => t.selected?.index ?? 0,
  },
  place('queue_desc_lo', 'descLo'),
  place('queue_desc_hi', 'descHi'),
  place('queue_driver_lo', 'driverLo'),
  place('queue_driver_hi', 'driverHi'),
  place('queue_device_lo', 'deviceLo'),
  place('queue_device_hi', 'deviceHi'),
  {
    name: 'queue_notif_config_data',
    offset: AT.queue_notif_config_data,
    size: 2,
    read: (t) => (t.core.hasFeature(VIRTIO_F_NOTIF_CONFIG_DATA) ? (t.selected?.index ?? 0) : 0),
  },
  {
    name: 'queue_reset',
    offset: AT.queue_reset,
    size: 2,
    // A reset is over before the write returns, so 1 is never seen.
    read: () => 0,
    write: (t, value) => void (value === 1 && t.core.resetQueue(t.queueSelect)),
  },
]);
