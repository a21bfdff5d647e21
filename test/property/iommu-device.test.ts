import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { translateSpan } from '../../src/iommu/index.ts';
import { FILLER, mapBytes, OK, RANGE, Rig, unmapBytes } from '../support/iommu-rig.ts';

const PAGES = 40;
const BASE = (1n << 64n) - BigInt(PAGES);

/** With a byte granule a "page" is a byte, and the last ones of the 64-bit space are as good as any. */
const newRig = (): Rig => {
  const rig = new Rig({ pageSizeMask: 1n, quiet: true, bootBypass: false });
  rig.attach(1, 1);
  return rig;
};

const step = fc.oneof(
  fc.record({
    op: fc.constant('map' as const),
    at: fc.nat(PAGES - 1),
    size: fc.integer({ min: 1, max: 8 }),
    phys: fc.integer({ min: 0, max: 1000 }),
    flags: fc.nat(3),
  }),
  fc.record({
    op: fc.constant('unmap' as const),
    at: fc.nat(PAGES - 1),
    size: fc.integer({ min: 1, max: PAGES }),
  }),
);

interface Byte {
  readonly mapping: number;
  readonly phys: bigint;
  readonly flags: number;
}

describe('a domain against a table of bytes', () => {
  test('MAP, UNMAP and every access agree', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const rig = newRig();
        const table: (Byte | undefined)[] = Array.from({ length: PAGES });
        for (const [i, s] of steps.entries()) {
          const last = Math.min(PAGES - 1, s.at + s.size - 1);
          const inside = table.slice(s.at, last + 1);
          const start = BASE + BigInt(s.at);
          const end = BASE + BigInt(last);
          if (s.op === 'map') {
            const free = inside.every((byte) => byte === undefined);
            const status = rig.map(1, start, end, BigInt(s.phys), s.flags);
            expect(status === OK).toBe(free);
            if (!free) continue;
            for (let n = s.at; n <= last; n++) {
              table[n] = { mapping: i, phys: BigInt(s.phys + n - s.at), flags: s.flags };
            }
          } else {
            const cut = [s.at - 1, last].some((n) => {
              const left = table[n];
              return left !== undefined && left.mapping === table[n + 1]?.mapping;
            });
            expect(rig.unmap(1, start, end)).toBe(cut ? RANGE : OK);
            if (!cut) table.fill(undefined, s.at, last + 1);
          }
        }
        const { state, translation } = rig.device;
        for (const [n, byte] of table.entries()) {
          for (const access of [1, 2, 3]) {
            const iova = BASE + BigInt(n);
            const result = translateSpan(state, translation, 1, iova, 1n, access);
            const allowed = byte !== undefined && (byte.flags & access) === access;
            const piece = { iova, length: 1n, physical: byte?.phys, how: 'memory' };
            expect(result).toEqual(allowed ? { pieces: [piece] } : { fault: iova });
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('hostile requests', () => {
  test('any bytes in any framing: an answer, no exception, the queue goes on', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            type: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.nat(255)),
            bytes: fc.uint8Array({ minLength: 1, maxLength: 100 }),
            room: fc.nat(600),
            cut: fc.integer({ min: 20, max: 700 }),
          }),
          { maxLength: 20 },
        ),
        (requests) => {
          const rig = newRig();
          for (const { type, bytes, room, cut } of requests) {
            bytes[0] = type;
            const { used, bytes: back } = rig.send(bytes, room, { cut });
            expect([0, 4, 516, room]).toContain(used);
            expect(back.slice(used).every((byte) => byte === FILLER)).toBe(true);
          }
          expect(rig.core.status & 0x40).toBe(0);
          expect(rig.send(mapBytes(77, 0n, 0n, 0n)).used).toBe(4);
          expect(rig.send(unmapBytes(77, 0n, 0n)).used).toBe(4);
        },
      ),
      { numRuns: 200 },
    );
  });
});

/** Bytes of each format, readable and (before the tail) writable; PROBE with the rig's probe_size. */
const FORMATS = new Map([
  [1, [20, 0]],
  [2, [20, 0]],
  [3, [36, 0]],
  [4, [28, 0]],
  [5, [72, 48]],
]);

describe('what comes back for any bytes at all', () => {
  const small = fc.constantFrom(0, 1, 2, 3, 4, 0xff, 0x10, 0xf0);
  const request = fc.record({
    type: fc.integer({ min: 0, max: 7 }),
    body: fc.array(small, { minLength: 0, maxLength: 80 }),
    writable: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 90 })),
    cut: fc.integer({ min: 1, max: 90 }),
    indirect: fc.boolean(),
  });

  test('is unwritten, or as long as its format, with a status at the end and nothing behind', () => {
    const ring = (1n << 32n) | (1n << 28n);
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 12 }), fc.boolean(), (all, on) => {
        const rig = new Rig({ probeSize: 48, ring, quiet: true, pageSizeMask: on ? 1n : 0x1000n });
        for (const { type, body, writable, cut, indirect } of all) {
          const bytes = Uint8Array.from([type, ...body]);
          const framing = { cut: Math.max(cut, indirect ? 2 : 8), indirect };
          const { used, bytes: back } = rig.send(bytes, writable, framing);
          const [readable = Infinity, properties = 0] = FORMATS.get(type) ?? [];
          const parsed = bytes.length >= readable && writable >= 4;
          expect(used).toBe(parsed ? Math.min(writable, properties + 4) : 0);
          if (used > 0) {
            expect(back[used - 4]).toBeLessThanOrEqual(8);
            expect([...back.subarray(used - 3, used)]).toEqual([0, 0, 0]);
          }
          expect(back.subarray(used).every((byte) => byte === FILLER)).toBe(true);
        }
      }),
    );
  });
});
