import { describe, expect, test } from 'vitest';
import { ByteView, structBytes } from '../../../src/bytes/index.ts';
import { ipv4, NetPeer, VirtioNet, type NetLink } from '../../../src/endpoints/index.ts';
import { finished, packetOf } from '../../../src/endpoints/net/offload.ts';
import { internetChecksum, ipFrame, pseudoSum } from '../../../src/endpoints/net/packet.ts';
import { IPPROTO_TCP, TCP_ACK, TCP_HEADER } from '../../../src/spec/ip.ts';
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_HDR,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_TCPV4,
} from '../../../src/spec/virtio-net.ts';

const GUEST = ipv4('10.0.2.15');
const PEER = ipv4('10.0.2.2');
const MAC = new Uint8Array(6);
/** Where TCP begins in a frame, and its checksum in the header. */
const TCP_AT = 34;
const CHECK = TCP_AT + TCP_HEADER.offsets.check;

/** A frame with a TCP segment of that much data, its checksum right. */
function tcpFrame(length: number): Uint8Array {
  const head = structBytes(TCP_HEADER, 'be', { source: 7, dest: 9, doff: 0x50, flags: TCP_ACK });
  const segment = new Uint8Array(head.length + length).fill(0xa7);
  segment.set(head);
  const addresses = { fromMac: MAC, toMac: MAC, from: GUEST, to: PEER };
  return ipFrame(addresses, IPPROTO_TCP, 1, segment, TCP_HEADER.offsets.check);
}

function header(fields: Partial<ReturnType<typeof VIRTIO_NET_HDR.read>>): Uint8Array {
  return structBytes(VIRTIO_NET_HDR, 'le', fields);
}

function isRight(frame: Uint8Array): boolean {
  const segment = frame.subarray(TCP_AT);
  return internetChecksum(segment, pseudoSum(GUEST, PEER, IPPROTO_TCP, segment.length)) === 0;
}

describe('a checksum that a driver only began', () => {
  const begun = { flags: VIRTIO_NET_HDR_F_NEEDS_CSUM, csum_start: TCP_AT, csum_offset: 16 };

  test.each([6, 7, 1460, 65_000])('is finished over %i bytes', (length) => {
    const whole = tcpFrame(length);
    const frame = whole.slice();
    const sum = pseudoSum(GUEST, PEER, IPPROTO_TCP, frame.length - TCP_AT);
    const folded = ~internetChecksum(new Uint8Array(0), sum) & 0xffff;
    new DataView(frame.buffer).setUint16(CHECK, folded);
    expect(isRight(frame)).toBe(false);
    expect(finished(header({ ...begun, gso_type: VIRTIO_NET_HDR_GSO_TCPV4 }), frame)).toBe(true);
    expect(frame).toEqual(whole);
  });

  test('is left alone when there is none to finish', () => {
    const frame = tcpFrame(100);
    expect(finished(header({ csum_start: 60_000, csum_offset: 60_000 }), frame)).toBe(true);
    expect(frame).toEqual(tcpFrame(100));
  });

  test('cannot lie outside of the frame, or in a packet of an unknown kind', () => {
    const frame = tcpFrame(100);
    const wrong = [
      { ...begun, csum_start: 0 },
      { ...begun, csum_start: 0xffff },
      { ...begun, csum_offset: 0xffff },
      { ...begun, csum_offset: frame.length - TCP_AT - 1 },
      { ...begun, gso_type: 3 },
      { gso_type: 5 },
    ];
    for (const fields of wrong) expect(finished(header(fields), frame)).toBe(false);
    expect(frame).toEqual(tcpFrame(100));
  });
});

describe('what a driver receives', () => {
  const fields = (packet: Uint8Array): ReturnType<typeof VIRTIO_NET_HDR.read> =>
    VIRTIO_NET_HDR.read(new ByteView(packet, 'le', 'test'), 0);

  test('of one segment is said to be right only to who believes it', () => {
    const frame = tcpFrame(10);
    expect(fields(packetOf(frame, 0, true, 2))).toMatchObject({
      flags: VIRTIO_NET_HDR_F_DATA_VALID,
      gso_type: 0,
      num_buffers: 2,
    });
    expect(fields(packetOf(frame, 0, false, 1)).flags).toBe(0);
    expect(packetOf(frame, 0, true, 1).subarray(VIRTIO_NET_HDR.size)).toEqual(frame);
  });

  test('of several segments can be cut and summed by its header alone', () => {
    const frame = tcpFrame(44 * 1460);
    const packet = packetOf(frame, 1460, true, 17);
    expect(fields(packet)).toEqual({
      flags: VIRTIO_NET_HDR_F_NEEDS_CSUM,
      gso_type: VIRTIO_NET_HDR_GSO_TCPV4,
      hdr_len: 54,
      gso_size: 1460,
      csum_start: TCP_AT,
      csum_offset: 16,
      num_buffers: 17,
    });
    const inside = packet.slice(VIRTIO_NET_HDR.size);
    expect(isRight(inside)).toBe(false);
    expect(finished(packet.subarray(0, VIRTIO_NET_HDR.size), inside)).toBe(true);
    expect(inside).toEqual(frame);
  });
});

test('large frames are offered only where the link takes them', () => {
  const wire: NetLink = { transmit: () => undefined };
  const has = (net: VirtioNet, bit: number): boolean => (net.features & (1n << BigInt(bit))) !== 0n;
  const tso = [VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4];
  const sums = [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM];
  const plugged = new VirtioNet({ mac: MAC, link: wire });
  const peered = new VirtioNet({ mac: MAC, link: new NetPeer() });
  const plain = new VirtioNet({ mac: MAC, link: new NetPeer(), offloads: false });
  expect([...tso, ...sums].map((bit) => has(peered, bit))).toEqual([true, true, true, true]);
  expect([...tso, ...sums].map((bit) => has(plugged, bit))).toEqual([false, false, true, true]);
  expect([...tso, ...sums].map((bit) => has(plain, bit))).toEqual([false, false, false, false]);
});
