import { struct } from '../bytes/index.ts';

/** VIRTIO 1.3, "Network Device". Feature bits are bit numbers. */

export const VIRTIO_NET_F_MTU = 3;
export const VIRTIO_NET_F_MAC = 5;
export const VIRTIO_NET_F_MRG_RXBUF = 15;
export const VIRTIO_NET_F_STATUS = 16;

/** "Device configuration layout", up to `mtu`. */
export const VIRTIO_NET_CONFIG = struct('struct virtio_net_config', 12, {
  mac: ['bytes', 6],
  status: 'u16',
  max_virtqueue_pairs: 'u16',
  mtu: 'u16',
});

export const VIRTIO_NET_S_LINK_UP = 1;

/** Before each packet; `num_buffers` is there always with VERSION_1. */
export const VIRTIO_NET_HDR = struct('struct virtio_net_hdr', 12, {
  flags: 'u8',
  gso_type: 'u8',
  hdr_len: 'u16',
  gso_size: 'u16',
  csum_start: 'u16',
  csum_offset: 'u16',
  num_buffers: 'u16',
});

/** Queues of a device without VIRTIO_NET_F_MQ. */
export const VIRTIO_NET_RECEIVEQ = 0;
export const VIRTIO_NET_TRANSMITQ = 1;

/** "Entropy Device": its number among the device types, and its one queue. */
export const VIRTIO_ID_ENTROPY = 4;
