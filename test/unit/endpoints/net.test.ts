import { describe, expect, test } from 'vitest';
import { NetPeer, pcapTap, VirtioNet, type NetLink } from '../../../src/endpoints/index.ts';
import {
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_HDR,
  VIRTIO_NET_RECEIVEQ,
  VIRTIO_NET_TRANSMITQ,
} from '../../../src/spec/virtio-net.ts';
import type { BufferSegment } from '../../../src/virtio/index.ts';
import { addressIn, segment, VirtioRig } from './rig.ts';

const MAC = new Uint8Array([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const HDR = VIRTIO_NET_HDR.size;

/** A cable whose other end only remembers. */
class Ear implements NetLink {
  readonly heard: Uint8Array[] = [];

  transmit(frame: Uint8Array): void {
    this.heard.push(frame);
  }
}

function card(options: { translated?: boolean; merge?: boolean; link?: NetLink } = {}): {
  rig: VirtioRig;
  net: VirtioNet;
  ear: Ear;
} {
  const { translated = false, merge = true } = options;
  const ear = new Ear();
  const net = new VirtioNet({ mac: MAC, link: options.link ?? ear, queueSize: 8 });
  const rig = new VirtioRig(net, { translated });
  expect(rig.start(merge ? 0n : 1n << BigInt(VIRTIO_NET_F_MRG_RXBUF))).toBe(true);
  return { rig, net, ear };
}

function frameOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 13) & 0xff);
}

/** Gives the device receive buffers of these sizes. */
function fill(rig: VirtioRig, ...sizes: number[]): BufferSegment[] {
  const buffers = sizes.map((size) => segment(rig.arena.alloc(size), size));
  for (const buffer of buffers) rig.queues[VIRTIO_NET_RECEIVEQ]?.add([], [buffer]);
  rig.notify(VIRTIO_NET_RECEIVEQ);
  return buffers;
}

function used(rig: VirtioRig): number[] {
  const lengths: number[] = [];
  for (;;) {
    const buffer = rig.queues[VIRTIO_NET_RECEIVEQ]?.poll();
    if (buffer === undefined) return lengths;
    lengths.push(buffer.length);
  }
}

function bytes(
  rig: VirtioRig,
  buffers: readonly BufferSegment[],
  lengths: readonly number[],
): Buffer {
  return Buffer.concat(
    buffers.slice(0, lengths.length).map((b, i) => rig.arena.get(addressIn(b), lengths[i] ?? 0)),
  );
}

describe.each([
  ['at its own addresses', false],
  ['through pages', true],
])('a network device, %s', (_, translated) => {
  test('sends what is behind the header, however it is cut', () => {
    const { rig, ear } = card({ translated });
    const frame = frameOf(100);
    const packet = new Uint8Array(HDR + 100);
    packet.set(frame, HDR);
    const cut = [packet.subarray(0, 5), packet.subarray(5, 40), packet.subarray(40)];
    const parts = cut.map((part) => rig.arena.hold(part));
    expect(rig.run(VIRTIO_NET_TRANSMITQ, parts, [])).toBe(0);
    expect(ear.heard.map((heard) => Buffer.from(heard).equals(frame))).toEqual([true]);
  });

  test('puts a frame in one buffer behind a header that says so', () => {
    const { rig, net } = card({ translated });
    const buffers = fill(rig, 0x600, 0x600);
    const frame = frameOf(1514);
    net.deliver(frame);
    const lengths = used(rig);
    expect(lengths).toEqual([HDR + 1514]);
    const packet = bytes(rig, buffers, lengths);
    expect(packet.subarray(0, HDR).toString('hex')).toBe('000000000000000000000100');
    expect(packet.subarray(HDR).equals(frame)).toBe(true);
  });

  test('spreads a frame over buffers that are too small alone', () => {
    const { rig, net } = card({ translated });
    const buffers = fill(rig, 100, 200, 300, 400);
    const frame = frameOf(500);
    net.deliver(frame);
    const lengths = used(rig);
    expect(lengths).toEqual([100, 200, HDR + 500 - 300]);
    const packet = bytes(rig, buffers, lengths);
    expect(packet[10]).toBe(3);
    expect(packet.subarray(HDR).equals(frame)).toBe(true);
  });

  test('waits for buffers, and keeps the order', () => {
    const { rig, net } = card({ translated });
    const one = fill(rig, 64);
    net.deliver(frameOf(80));
    net.deliver(frameOf(60));
    expect(used(rig)).toEqual([]);
    const more = fill(rig, 64, 128);
    const lengths = used(rig);
    expect(lengths).toEqual([64, 28, HDR + 60]);
    const first = bytes(rig, [...one, ...more], lengths.slice(0, 2));
    expect(first.subarray(HDR).equals(frameOf(80))).toBe(true);
    expect(net.dropped).toBe(0);
  });
});

describe('a network device', () => {
  test('says address, link and queue pairs in its configuration', () => {
    const { rig, net } = card();
    expect(Array.from(MAC, (_, i) => rig.config(i, 1))).toEqual([...MAC]);
    expect([rig.config(6, 2), rig.config(8, 2)]).toEqual([1, 1]);
    const before = rig.common('config_generation', 1);
    net.setLink(false);
    expect(rig.config(6, 2)).toBe(0);
    expect(rig.common('config_generation', 1)).toBe(before + 1);
    net.deliver(frameOf(60));
    expect(net.dropped).toBe(1);
  });

  test('drops what does not fit a buffer that cannot be merged, and gives it back empty', () => {
    const { rig, net } = card({ merge: false });
    fill(rig, 64, 128);
    net.deliver(frameOf(100));
    net.deliver(frameOf(100));
    expect(used(rig)).toEqual([0, HDR + 100]);
    expect(net.dropped).toBe(1);
  });

  test('drops a frame for a buffer that was unmapped', () => {
    const { rig, net } = card({ translated: true });
    const [buffer] = fill(rig, 0x600, 0x600);
    rig.arena.unmap(addressIn(buffer ?? { hi: 0, lo: 0, length: 0 }));
    net.deliver(frameOf(60));
    net.deliver(frameOf(60));
    expect(used(rig)).toEqual([0, HDR + 60]);
    expect(rig.arena.iommu.faults).toHaveLength(1);
  });

  test.each([
    ['nothing but a header', HDR],
    ['less than a header', 3],
    ['less than an Ethernet header', HDR + 13],
    ['more than a frame can be', 70_000],
  ])('gives %s back and sends nothing', (_, length) => {
    const { rig, net, ear } = card();
    expect(rig.run(VIRTIO_NET_TRANSMITQ, [rig.arena.hold(new Uint8Array(length))], [])).toBe(0);
    expect([ear.heard.length, net.dropped]).toEqual([0, 1]);
  });

  test('does not keep more than it must of what a guest does not take', () => {
    const { net } = card();
    for (let i = 0; i < 5000; i++) net.deliver(frameOf(60));
    expect(net.dropped).toBe(5000 - 4096);
    for (let i = 0; i < 10; i++) net.deliver(new Uint8Array(4 * 2 ** 20));
    expect(net.dropped).toBe(5000 - 4096 + 10);
  });

  test('forgets frames and buffers when it is reset', () => {
    const { rig, net } = card();
    fill(rig, 16);
    net.deliver(frameOf(60));
    rig.start();
    const [buffer] = fill(rig, 128);
    expect(used(rig)).toEqual([]);
    net.deliver(frameOf(70));
    expect(used(rig)).toEqual([HDR + 70]);
    expect(buffer?.length).toBe(128);
  });

  test('goes on after a restore with the frames and buffers that it held', () => {
    const { rig, net } = card();
    const one = fill(rig, 64);
    net.deliver(frameOf(80));
    const state = structuredClone(rig.host.snapshot());
    // The same device, as if another run had been on it in between.
    rig.function.fn.reset();
    rig.host.restore(state);
    expect(rig.host.snapshot()).toEqual(state);
    const two = fill(rig, 64);
    const lengths = used(rig);
    expect(lengths).toEqual([64, 28]);
    expect(
      bytes(rig, [...one, ...two], lengths)
        .subarray(HDR)
        .equals(frameOf(80)),
    ).toBe(true);
  });

  test('shows a tap both directions, as a pcap file', () => {
    const file: Uint8Array[] = [];
    let now = 1_000_000_001n;
    const peer = new NetPeer();
    const tap = pcapTap(
      (part) => void file.push(part),
      () => (now += 5n),
    );
    const net = new VirtioNet({ mac: MAC, link: peer, queueSize: 8, tap });
    const rig = new VirtioRig(net);
    rig.start();
    const arp = Buffer.from(
      'ffffffffffff525400123456 0806 0001 0800 06 04 0001 525400123456 0a00020f 000000000000 0a000202'.replaceAll(
        ' ',
        '',
      ),
      'hex',
    );
    rig.run(VIRTIO_NET_TRANSMITQ, [rig.arena.hold(Buffer.concat([Buffer.alloc(HDR), arp]))], []);
    expect(file.map((part) => part.length)).toEqual([24, 16 + 42, 16 + 60]);
    const [head, first] = file.map((part) => Buffer.from(part).toString('hex'));
    // Magic for nanoseconds, 2.4, 256 KiB, Ethernet; then 1 s 6 ns, 42 of 42 bytes.
    expect(head).toBe('4d3cb2a1020004000000000000000000000004000100 0000'.replace(' ', ''));
    expect(first?.slice(0, 32)).toBe('01000000060000002a0000002a000000');
    expect(first?.slice(32)).toBe(arp.toString('hex'));
  });
});
