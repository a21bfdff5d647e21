import { struct } from '../bytes/index.ts';

/** VIRTIO 1.3, "Virtio Over PCI Bus": the modern interface. Little-endian. */

/** "PCI Device Discovery". */
export const VIRTIO_PCI_VENDOR_ID = 0x1af4;
/** Plus the device type's number. */
export const VIRTIO_PCI_DEVICE_ID_BASE = 0x1040;

// `cfg_type` of a capability ("Virtio Structure PCI Capabilities").
export const VIRTIO_PCI_CAP_COMMON_CFG = 1;
export const VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
export const VIRTIO_PCI_CAP_ISR_CFG = 3;
export const VIRTIO_PCI_CAP_DEVICE_CFG = 4;
export const VIRTIO_PCI_CAP_PCI_CFG = 5;

/** ID of a vendor-specific PCI capability, which all of these are. */
export const PCI_CAP_ID_VNDR = 0x09;

export const VIRTIO_PCI_CAP = struct('struct virtio_pci_cap', 16, {
  cap_vndr: 'u8',
  cap_next: 'u8',
  cap_len: 'u8',
  cfg_type: 'u8',
  bar: 'u8',
  id: 'u8',
  padding: ['bytes', 2],
  offset: 'u32',
  length: 'u32',
});

export const VIRTIO_PCI_NOTIFY_CAP = struct('struct virtio_pci_notify_cap', 20, {
  cap_vndr: 'u8',
  cap_next: 'u8',
  cap_len: 'u8',
  cfg_type: 'u8',
  bar: 'u8',
  id: 'u8',
  padding: ['bytes', 2],
  offset: 'u32',
  length: 'u32',
  notify_off_multiplier: 'u32',
});

export const VIRTIO_PCI_CFG_CAP = struct('struct virtio_pci_cfg_cap', 20, {
  cap_vndr: 'u8',
  cap_next: 'u8',
  cap_len: 'u8',
  cfg_type: 'u8',
  bar: 'u8',
  id: 'u8',
  padding: ['bytes', 2],
  offset: 'u32',
  length: 'u32',
  pci_cfg_data: ['bytes', 4],
});

/** "Common configuration structure layout", without the two fields of VIRTIO_F_ADMIN_VQ. */
export const VIRTIO_PCI_COMMON_CFG = struct('struct virtio_pci_common_cfg', 60, {
  device_feature_select: 'u32',
  device_feature: 'u32',
  driver_feature_select: 'u32',
  driver_feature: 'u32',
  config_msix_vector: 'u16',
  num_queues: 'u16',
  device_status: 'u8',
  config_generation: 'u8',
  queue_select: 'u16',
  queue_size: 'u16',
  queue_msix_vector: 'u16',
  queue_enable: 'u16',
  queue_notify_off: 'u16',
  queue_desc_lo: 'u32',
  queue_desc_hi: 'u32',
  queue_driver_lo: 'u32',
  queue_driver_hi: 'u32',
  queue_device_lo: 'u32',
  queue_device_hi: 'u32',
  queue_notif_config_data: 'u16',
  queue_reset: 'u16',
});

/** "ISR status capability": the bits of its one byte. */
export const VIRTIO_PCI_ISR_QUEUE = 1;
export const VIRTIO_PCI_ISR_CONFIG = 2;

/** A vector that is not there. */
export const VIRTIO_MSI_NO_VECTOR = 0xffff;
