import { ByteView, structBytes } from '../../bytes/index.ts';
import { ETH_HEADER } from '../../spec/ethernet.ts';
import { IP_HEADER, IPPROTO_TCP, TCP_HEADER } from '../../spec/ip.ts';
import {
  VIRTIO_NET_HDR,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
} from '../../spec/virtio-net.ts';
import { internetChecksum, pseudoSum } from './packet.ts';

/**
 * Finishes the checksum of a frame whose driver left that to us; false when its header says what
 * cannot be. A large TCP frame stays in one piece: nothing between here and the peer would cut it.
 */
export function finished(head: Uint8Array, frame: Uint8Array): boolean {
  const fields = VIRTIO_NET_HDR.read(new ByteView(head, 'le', 'virtio_net_hdr'), 0);
  const { flags, gso_type: type, csum_start: start, csum_offset: offset } = fields;
  if (type !== VIRTIO_NET_HDR_GSO_NONE && type !== VIRTIO_NET_HDR_GSO_TCPV4) return false;
  if ((flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) === 0) return true;
  const at = start + offset;
  if (start < ETH_HEADER.size || at + 2 > frame.length) return false;
  // The field holds the sum of the pseudo header already.
  const sum = internetChecksum(frame.subarray(start));
  // A UDP checksum of zero would mean that there is none.
  new DataView(frame.buffer, frame.byteOffset).setUint16(at, sum === 0 ? 0xffff : sum);
  return true;
}

/** Where an IPv4 packet without options and its TCP header begin. */
const IP_AT = ETH_HEADER.size;
const TCP_AT = IP_AT + IP_HEADER.size;

/**
 * A frame as a receive buffer has it, header and all.
 *
 * @param most TCP data of one segment, of a frame with more than one; else 0
 * @param checked whether the driver believes us that checksums are right (VIRTIO_NET_F_GUEST_CSUM)
 */
export function packetOf(
  frame: Uint8Array,
  most: number,
  checked: boolean,
  buffers: number,
): Uint8Array {
  const packet = new Uint8Array(VIRTIO_NET_HDR.size + frame.length);
  packet.set(frame, VIRTIO_NET_HDR.size);
  if (most === 0) {
    const flags = checked ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
    packet.set(structBytes(VIRTIO_NET_HDR, 'le', { flags, num_buffers: buffers }));
    return packet;
  }
  const view = new ByteView(frame, 'be', 'frame');
  const ip = IP_HEADER.read(view, IP_AT);
  const doff = view.u8(TCP_AT + TCP_HEADER.offsets.doff) >> 4;
  packet.set(
    structBytes(VIRTIO_NET_HDR, 'le', {
      flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
      gso_type: VIRTIO_NET_HDR_GSO_TCPV4,
      hdr_len: TCP_AT + doff * 4,
      gso_size: most,
      csum_start: TCP_AT,
      csum_offset: TCP_HEADER.offsets.check,
      num_buffers: buffers,
    }),
  );
  // Whoever cuts the frame sums each segment; the field holds the pseudo header until then.
  const sum = pseudoSum(ip.saddr, ip.daddr, IPPROTO_TCP, ip.tot_len - IP_HEADER.size);
  const at = VIRTIO_NET_HDR.size + TCP_AT + TCP_HEADER.offsets.check;
  new DataView(packet.buffer).setUint16(at, ~internetChecksum(new Uint8Array(0), sum) & 0xffff);
  return packet;
}
