import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AccessAudit, type AuditRecord, type DeviceEvent } from '../../../src/scenario/index.ts';
import { sampleModel } from './samples.ts';

function audit(events: readonly Record<string, unknown>[]): AuditRecord {
  const one = new AccessAudit(sampleModel());
  for (const [order, event] of events.entries()) {
    one.add({ order, viommu: 'viommu0', ...event } as DeviceEvent);
  }
  return one.finish();
}

const attach = (endpoint: number, domain: number): Record<string, unknown> => ({
  kind: 'attach',
  endpoint,
  domain,
});
const map = (domain: number, start: bigint, end: bigint, flags = 3, phys = 0n): object => ({
  kind: 'map',
  domain,
  virt: { start, end },
  phys,
  flags,
});
const unmap = (domain: number, start: bigint, end: bigint): object => ({
  kind: 'unmap',
  domain,
  virt: { start, end },
});
const access = (endpoint: number, iova: bigint, length = 4, write = true): object => ({
  kind: 'access',
  endpoint,
  iova,
  length,
  write,
  how: 'translated',
});

function why(...events: object[]): string[] {
  return audit(events as Record<string, unknown>[]).strays.map((stray) => stray.why);
}

test('an access inside live mappings of its domain is none to speak of', () => {
  expect(why(attach(1, 7), map(7, 0x1000n, 0x1fffn), access(1, 0x1000n, 4096))).toEqual([]);
  // Two mappings side by side serve one access.
  expect(
    why(attach(1, 7), map(7, 0x1000n, 0x1fffn), map(7, 0x2000n, 0x2fffn), access(1, 0x1800n, 4096)),
  ).toEqual([]);
});

test('an access outside them is', () => {
  const mapped = [attach(1, 7), map(7, 0x1000n, 0x1fffn)];
  expect(why(...mapped, access(1, 0x1ffdn))).toEqual(['nothing is mapped at 0x2000']);
  expect(why(...mapped, access(1, 0xfffn, 1))).toEqual(['nothing is mapped at 0xfff']);
  expect(why(...mapped, unmap(7, 0n, 0xffffn), access(1, 0x1000n))).toEqual([
    'nothing is mapped at 0x1000',
  ]);
});

test('a mapping of another domain, or of a domain that ended, does not count', () => {
  const two = [attach(1, 7), attach(2, 8), map(7, 0x1000n, 0x1fffn)];
  expect(why(...two, access(2, 0x1000n))).toEqual(['nothing is mapped at 0x1000']);
  expect(why(access(1, 0x1000n))).toEqual(['its endpoint is in no domain']);
  // The last endpoint left: the domain is gone, and begins anew.
  expect(why(...two, attach(1, 8), attach(1, 7), access(1, 0x1000n))).toEqual([
    'nothing is mapped at 0x1000',
  ]);
});

test('rights count, refused requests do not', () => {
  const readable = [attach(1, 7), map(7, 0x1000n, 0x1fffn, 1)];
  expect(why(...readable, access(1, 0x1000n, 4, false))).toEqual([]);
  expect(why(...readable, access(1, 0x1000n))).toEqual([
    'the mapping 0x1000-0x1fff may not be written',
  ]);
  const refused = { ...map(7, 0x1000n, 0x1fffn), status: 5 };
  expect(why(attach(1, 7), refused, access(1, 0x1000n))).toEqual(['nothing is mapped at 0x1000']);
});

test('an MSI is followed through the mapping of its doorbell', () => {
  const bell = { kind: 'msi', endpoint: 1, address: 0x800_0040n };
  const { doorbells } = audit([
    attach(1, 7),
    bell,
    map(7, 0x800_0000n, 0x800_0fffn, 3, 0x802_0000n) as Record<string, unknown>,
    bell,
  ]);
  expect(doorbells).toEqual([
    { viommu: 'viommu0', endpoint: 1, addresses: [0x800_0040n, 0x802_0040n] },
  ]);
});

test('against a bitmap of pages', () => {
  const page = fc.nat(15);
  const step = fc.oneof(
    fc.record({ op: fc.constant('map' as const), first: page, count: fc.nat(3) }),
    fc.record({ op: fc.constant('unmap' as const), first: page, count: fc.nat(3) }),
    fc.record({ op: fc.constant('access' as const), first: page, count: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const owner = new Map<number, number>();
      const events: object[] = [attach(1, 7)];
      let expected = 0;
      for (const [id, { op, first, count }] of steps.entries()) {
        const pages = Array.from({ length: count + 1 }, (_, n) => first + n);
        const start = BigInt(first) * 4096n;
        const end = BigInt(first + count + 1) * 4096n - 1n;
        if (op === 'access') {
          events.push(access(1, start, (count + 1) * 4096));
          if (pages.some((one) => !owner.has(one))) expected++;
        } else if (op === 'map') {
          // The device refuses a MAP that overlaps.
          if (pages.some((one) => owner.has(one))) continue;
          for (const one of pages) owner.set(one, id);
          events.push(map(7, start, end));
        } else {
          // ... and an UNMAP that splits a mapping.
          const hit = new Set(pages.flatMap((one) => owner.get(one) ?? []));
          const whole = [...owner].every(([one, by]) => !hit.has(by) || pages.includes(one));
          if (!whole) continue;
          for (const one of pages) owner.delete(one);
          events.push(unmap(7, start, end));
        }
      }
      expect(audit(events as Record<string, unknown>[]).strayCount).toBe(expected);
    }),
  );
});
