import { struct } from '../bytes/index.ts';

/**
 * VIRTIO 1.3, "Basic Facilities of a Virtio Device": numbers and layouts. Names are those of the
 * specification or, where it has none in C, of the Linux headers. Little-endian throughout.
 */

// "Device Status Field".
export const VIRTIO_CONFIG_S_ACKNOWLEDGE = 1;
export const VIRTIO_CONFIG_S_DRIVER = 2;
export const VIRTIO_CONFIG_S_DRIVER_OK = 4;
export const VIRTIO_CONFIG_S_FEATURES_OK = 8;
export const VIRTIO_CONFIG_S_NEEDS_RESET = 0x40;
export const VIRTIO_CONFIG_S_FAILED = 0x80;

// "Reserved Feature Bits": bit numbers.
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
export const VIRTIO_RING_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_ACCESS_PLATFORM = 33;
export const VIRTIO_F_RING_PACKED = 34;
export const VIRTIO_F_IN_ORDER = 35;
export const VIRTIO_F_ORDER_PLATFORM = 36;
export const VIRTIO_F_SR_IOV = 37;
export const VIRTIO_F_NOTIFICATION_DATA = 38;
export const VIRTIO_F_NOTIF_CONFIG_DATA = 39;
export const VIRTIO_F_RING_RESET = 40;
export const VIRTIO_F_ADMIN_VQ = 41;
/** Feature bits of the device type: 0 to 23 and 50 to 127. */
export const VIRTIO_TRANSPORT_F_START = 24;
export const VIRTIO_TRANSPORT_F_END = 49;

// "Device Types" that this project models.
export const VIRTIO_ID_NET = 1;
export const VIRTIO_ID_BLOCK = 2;

// "Split Virtqueues".
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;
export const VIRTQ_USED_F_NO_NOTIFY = 1;
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
/** Largest queue, split or packed. */
export const VIRTQUEUE_SIZE_MAX = 32768;

export const VIRTQ_DESC = struct('struct virtq_desc', 16, {
  addr: 'u64',
  len: 'u32',
  flags: 'u16',
  next: 'u16',
});

/** Fixed part of the driver area; the ring of u16 and `used_event` follow. */
export const VIRTQ_AVAIL = struct('struct virtq_avail', 4, { flags: 'u16', idx: 'u16' });

/** Fixed part of the device area; the ring of elements and `avail_event` follow. */
export const VIRTQ_USED = struct('struct virtq_used', 4, { flags: 'u16', idx: 'u16' });

export const VIRTQ_USED_ELEM = struct('struct virtq_used_elem', 8, { id: 'u32', len: 'u32' });

// Alignment of the three parts ("Split Virtqueues").
export const VIRTQ_DESC_ALIGN = 16;
export const VIRTQ_AVAIL_ALIGN = 2;
export const VIRTQ_USED_ALIGN = 4;

// "Packed Virtqueues". AVAIL and USED are bit numbers.
export const VIRTQ_DESC_F_AVAIL = 7;
export const VIRTQ_DESC_F_USED = 15;
export const RING_EVENT_FLAGS_ENABLE = 0;
export const RING_EVENT_FLAGS_DISABLE = 1;
export const RING_EVENT_FLAGS_DESC = 2;
/** Bit number of the wrap counter in `off_wrap`. */
export const RING_EVENT_F_WRAP = 15;

export const PVIRTQ_DESC = struct('struct pvirtq_desc', 16, {
  addr: 'u64',
  len: 'u32',
  id: 'u16',
  flags: 'u16',
});

export const PVIRTQ_EVENT_SUPPRESS = struct('struct pvirtq_event_suppress', 4, {
  off_wrap: 'u16',
  flags: 'u16',
});
