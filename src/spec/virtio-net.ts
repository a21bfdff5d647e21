import { struct } from '../bytes/index.ts';

/** VIRTIO 1.3, "Network Device". Feature bits are bit numbers. */

/** The driver leaves checksums out of what it sends; the device out of what it delivers. */
export const VIRTIO_NET_F_CSUM = 0;
export const VIRTIO_NET_F_GUEST_CSUM = 1;
export const VIRTIO_NET_F_MTU = 3;
export const VIRTIO_NET_F_MAC = 5;
/** TCP over IPv4 in frames of up to 64 KiB, to the driver and from it. */
export const VIRTIO_NET_F_GUEST_TSO4 = 7;
export const VIRTIO_NET_F_HOST_TSO4 = 11;
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

/** `flags`: the checksum at `csum_offset` behind `csum_start` is only begun; it was found right. */
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;
export const VIRTIO_NET_HDR_GSO_NONE = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;

/** Queues of a device without VIRTIO_NET_F_MQ. */
export const VIRTIO_NET_RECEIVEQ = 0;
export const VIRTIO_NET_TRANSMITQ = 1;

/** "Entropy Device": its number among the device types, and its one queue. */
export const VIRTIO_ID_ENTROPY = 4;
