import fc from 'fast-check';
import { expect, test } from 'vitest';
import { structBytes } from '../../src/bytes/index.ts';
import {
  MemoryStore,
  NetPeer,
  VirtioBlock,
  VirtioNet,
  type NetLink,
} from '../../src/endpoints/index.ts';
import { VIRTIO_BLK_REQ, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT } from '../../src/spec/virtio-blk.ts';
import { VIRTIO_NET_HDR } from '../../src/spec/virtio-net.ts';
import { addressIn, segment, VirtioRig } from '../unit/endpoints/rig.ts';

/** Cuts `length` bytes into pieces of the given proportions; none is empty. */
function cuts(length: number, parts: readonly number[]): number[] {
  const points = [...new Set(parts.map((part) => 1 + (part % Math.max(1, length - 1))))]
    .filter((point) => point < length)
    .toSorted((a, b) => a - b);
  return [...points, length].map((point, i) => point - (points[i - 1] ?? 0));
}

const framing = fc.array(fc.nat(0xffff), { maxLength: 5 });

test('a disk does what an array does, however requests are framed', () => {
  const request = fc.record({
    write: fc.boolean(),
    sector: fc.nat(18),
    sectors: fc.nat(6),
    seed: fc.nat(255),
    out: framing,
    in: framing,
  });
  fc.assert(
    fc.property(fc.boolean(), fc.array(request, { maxLength: 12 }), (translated, requests) => {
      const model = new Uint8Array(16 * 512);
      const bytes = model.slice();
      const rig = new VirtioRig(new VirtioBlock({ store: new MemoryStore(bytes) }), { translated });
      rig.start();
      for (const { write, sector, sectors, seed, ...cut } of requests) {
        const size = sectors * 512;
        const data = Uint8Array.from({ length: size }, (_, i) => (seed + i) & 0xff);
        const type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
        const head = structBytes(VIRTIO_BLK_REQ, 'le', { type, sector: BigInt(sector) });
        const out = write ? Buffer.concat([head, data]) : head;
        let at = 0;
        const readable = cuts(out.length, cut.out).map((length) => {
          const part = rig.arena.hold(out.subarray(at, at + length));
          at += length;
          return part;
        });
        const room = write ? 1 : size + 1;
        const writable = cuts(room, cut.in).map((n) => segment(rig.arena.alloc(n), n));
        expect(rig.run(0, readable, writable)).toBe(room);
        const back = Buffer.concat(
          writable.map((part) => rig.arena.get(addressIn(part), part.length)),
        );
        const fits = sector + sectors <= 16;
        expect(back[room - 1]).toBe(fits ? 0 : 1);
        if (!fits) continue;
        if (write) model.set(data, sector * 512);
        else
          expect(
            back.subarray(0, size).equals(model.subarray(sector * 512, sector * 512 + size)),
          ).toBe(true);
      }
      expect(Buffer.from(bytes).equals(model)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('frames arrive whole and in order, whatever buffers the guest gives', () => {
  const link: NetLink = { transmit: () => undefined };
  const action = fc.oneof(
    fc.record({ frame: fc.integer({ min: 14, max: 1514 }) }),
    fc.record({ buffer: fc.integer({ min: 1, max: 2000 }) }),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(action, { maxLength: 40 }), (translated, actions) => {
      const net = new VirtioNet({ mac: new Uint8Array(6), link, queueSize: 64 });
      const rig = new VirtioRig(net, { translated });
      rig.start();
      const buffers = new Map<number, bigint>();
      const sent: Uint8Array[] = [];
      const got: Buffer[] = [];
      /** Buffers of a packet that is not whole yet. */
      let parts: Buffer[] = [];
      const drain = (): void => {
        for (let used = rig.queues[0]?.poll(); used; used = rig.queues[0]?.poll()) {
          const address = buffers.get(used.id) ?? 0n;
          parts.push(Buffer.from(rig.arena.get(address, used.length)));
          const data = Buffer.concat(parts);
          // Even the header may be spread over several.
          if (data.length < VIRTIO_NET_HDR.size) continue;
          const count = data.readUInt16LE(VIRTIO_NET_HDR.offsets.num_buffers);
          if (parts.length < count) continue;
          expect(parts.length).toBe(count);
          got.push(data.subarray(VIRTIO_NET_HDR.size));
          parts = [];
        }
      };
      for (const [index, each] of actions.entries()) {
        if ('frame' in each) {
          const frame = Uint8Array.from({ length: each.frame }, (_, i) => (i * 7 + index) & 0xff);
          sent.push(frame);
          net.deliver(frame);
        } else {
          const address = rig.arena.alloc(each.buffer);
          const id = rig.queues[0]?.add([], [segment(address, each.buffer)]);
          if (id !== undefined) buffers.set(id, address);
          rig.notify(0);
        }
        drain();
      }
      expect(net.dropped).toBe(0);
      expect(parts).toEqual([]);
      for (const [i, frame] of got.entries())
        expect(frame.equals(sent[i] ?? frame.subarray(1))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('no frame makes the peer throw, or answer with more than it may', () => {
  const head = fc.constantFrom(
    '',
    '52550a000202525400123456',
    'ffffffffffff525400123456080645',
    '52550a0002025254001234560800450000',
    '52550a000202525400123456080600010800060400015254001234560a00020f0000000000000a000202',
    '52550a000202525400123456080045000024000140004001 22c8 0a00020f0a000202'.replaceAll(' ', ''),
    '52550a00020252540012345608004500002000014000401122bc0a00020f0a000202c0000043000c0000',
    '52550a000202525400123456080045000028000040004006 22c0 0a00020f0a000202'.replaceAll(' ', ''),
  );
  const peer = new NetPeer();
  fc.assert(
    fc.property(head, fc.uint8Array({ maxLength: 400 }), (start, rest) => {
      const frame = new Uint8Array(Buffer.concat([Buffer.from(start, 'hex'), rest]));
      const answers: Uint8Array[] = [];
      peer.transmit(frame, (answer) => void answers.push(answer));
      for (const { length } of answers) {
        expect(length).toBeGreaterThanOrEqual(60);
        expect(length).toBeLessThanOrEqual(1514);
      }
    }),
    { numRuns: 3000 },
  );
  const { arp, ignored, malformed } = peer.counters;
  expect([arp, ignored, malformed].every((count) => count > 0)).toBe(true);
});
