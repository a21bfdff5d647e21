import { describe, expect, test } from 'vitest';
import { userspaceCheck, userspaceOf } from '../../../src/backends/userspace.ts';
import { parseReport } from '../../../src/guest/index.ts';
import {
  EndpointTraces,
  judge,
  PROMISES,
  type DeviceEvent,
  type Item,
  type UserspaceObservation,
} from '../../../src/scenario/index.ts';
import type { Endpoint, Model } from '../../../src/topology/index.ts';
import { shippedModel } from '../../support/model-guest.ts';
import { sampleObservation } from './samples.ts';

const model: Model = shippedModel('vfio-userspace');
const AT = '0000:00:03.0';
const IOVA = 0x10_0000_0000n;

/** What the program prints on a kernel of 2026, in short: two pages, and a host of 64 mappings. */
const LINES = [
  'bind errno=0 driver=vfio-pci group=1',
  'group errno=0 viable=1',
  'container errno=0 api=0 type1v2=1',
  'limits errno=0 pagesizes=0xfffffffffffff000',
  'range errno=0 start=0x0 end=0x808ffff',
  'range errno=0 start=0x80a0000 end=0x8ffffff',
  'range errno=0 start=0x9100000 end=0xffffffffff',
  'device errno=0 registers=0x20000',
  'map errno=0 iova=0x1000000000 bytes=0x2000 access=3',
  'page errno=0 iova=0x1000000000 gpa=0x42800000',
  'page errno=0 iova=0x1000001000 gpa=0x42900000',
  'read errno=0 iova=0x1000000000 done=1 bytes=8192 right=1 untouched=0',
  'write errno=0 iova=0x1000000000 done=1 bytes=8192 right=1 untouched=0',
  'map-readable errno=0 iova=0x1000020000 bytes=0x1000 access=1',
  'page errno=0 iova=0x1000020000 gpa=0x42a00000',
  'read-readable errno=0 iova=0x1000020000 done=1 bytes=64 right=1 untouched=0',
  'write-readable errno=0 iova=0x1000020000 done=0 bytes=0 right=0 untouched=1',
  'unmap-readable errno=0 iova=0x1000020000 bytes=0x1000 gone=0x1000',
  'refused-unaligned errno=22 iova=0x1000000200 bytes=0x1000 access=3',
  'refused-overlap errno=17 iova=0x1000000000 bytes=0x1000 access=3',
  'refused-beyond errno=22 iova=0x10000000000 bytes=0x1000 access=3',
  'refused-reserved errno=22 iova=0x9000000 bytes=0x1000 access=3',
  'many errno=0 iova=0x1000030000 bytes=0x100000 asked=3 made=3 reached=2',
  'many-unmap errno=0 iova=0x1000030000 bytes=0x100000 gone=0x3000',
  'many-again errno=0 reached=1',
  'unmap errno=0 iova=0x1000000000 bytes=0x2000 gone=0x2000',
  'read-unmapped errno=0 iova=0x1000000000 done=0 bytes=0 right=0 untouched=1',
  'write-unmapped errno=0 iova=0x1000000000 done=0 bytes=0 right=0 untouched=1',
  'done errno=0 driver=',
];

function seen(lines: readonly string[] = LINES, status = '0'): UserspaceObservation[] {
  const text = lines.map((line, index) => `VT1 ${index + 1} vfio at=${AT} step=${line}\n`).join('');
  const end = `VT1 ${lines.length + 1} vfioend at=${AT} status=${status} error=\n`;
  return userspaceOf(parseReport(text + end), (at) => at);
}

/** The lines with one of them changed; nothing: it is left out, and all that follow. */
function changed(start: string, to?: string): string[] {
  const index = LINES.findIndex((line) => line.startsWith(`${start} `));
  expect(index).toBeGreaterThanOrEqual(0);
  return to === undefined
    ? LINES.slice(0, index)
    : LINES.map((line, at) => (at === index ? `${start} ${to}` : line));
}

type Loose = Record<string, unknown>;

const page = (iova: bigint, pages = 1n): { start: bigint; end: bigint } => ({
  start: iova,
  end: iova + pages * 0x1000n - 1n,
});
const MAPS: readonly Loose[] = [
  { kind: 'attach', endpoint: 0x18, domain: 1 },
  { kind: 'map', domain: 1, virt: page(IOVA), phys: 0x4280_0000n, flags: 3 },
  { kind: 'map', domain: 1, virt: page(IOVA + 0x1000n), phys: 0x4290_0000n, flags: 3 },
  { kind: 'map', domain: 1, virt: page(IOVA + 0x20000n), phys: 0x42a0_0000n, flags: 1 },
  { kind: 'host-fault', endpoint: 0x18, address: IOVA + 0x20000n, write: true },
  { kind: 'unmap', domain: 1, virt: page(IOVA + 0x20000n) },
  { kind: 'map', domain: 1, virt: page(IOVA + 0x30000n), phys: 0n, flags: 3, status: 8 },
  { kind: 'unmap', domain: 1, virt: page(IOVA, 2n) },
  { kind: 'host-fault', endpoint: 0x18, address: IOVA, write: false },
  { kind: 'host-fault', endpoint: 0x18, address: IOVA, write: true },
];

function items(
  id: string,
  userspace: readonly UserspaceObservation[] | undefined,
  events: readonly Loose[] = MAPS,
): Item[] {
  const traces = new EndpointTraces(model);
  for (const [order, event] of events.entries()) {
    traces.add({ order, viommu: 'viommu0', ...event } as DeviceEvent);
  }
  const sample = sampleObservation();
  const guest = { ...sample.guest, ...(userspace === undefined ? {} : { userspace }) };
  const device = { ...sample.device, ...traces.finish() };
  const promise = PROMISES.find((one) => one.id === id);
  const all = promise?.judge(model, { ...sample, guest, device }) ?? [];
  return all.filter(({ endpoint }) => endpoint === 'dma0');
}

function outcomes(...args: Parameters<typeof items>): string[] {
  return items(...args).map(({ outcome, seen: words }) => `${outcome}: ${words}`);
}

describe('a program that drives a device from user space', () => {
  test('keeps all four promises on a good day', () => {
    for (const id of ['works', 'mapped', 'refused', 'limits']) {
      const all = items(`userspace-${id}`, seen());
      expect(all.length, id).toBeGreaterThan(0);
      expect(all.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
    }
  });

  test('must run, and every step of it', () => {
    const works = (lines?: string[], status?: string): string[] =>
      outcomes('userspace-works', seen(lines, status));
    expect(outcomes('userspace-works', [])).toEqual(['fail: the program never ran']);
    expect(outcomes('userspace-works', undefined)).toEqual([
      'not-observable: this backend has no user space',
    ]);
    expect(works(changed('bind', 'errno=1 driver= group='))).toEqual(['fail: bind: EPERM']);
    expect(works(changed('read', 'errno=0 done=1 right=0'))).toEqual(['fail: read: wrong data']);
    expect(works(changed('write', 'errno=0 done=0 right=0'))).toEqual(['fail: write: wrong data']);
    expect(works(changed('device'), '1')).toEqual(['fail: it stopped after range (done)']);
    expect(works(LINES, 'timeout')).toHaveLength(1);
    expect(works(LINES, 'timeout')[0]).toMatch(/^fail/u);
  });

  test('must see its mappings arrive as they are', () => {
    const mapped = (events: readonly Loose[]): string[] =>
      items('userspace-mapped', seen(), events).map(({ outcome }) => outcome);
    expect(mapped(MAPS)).toEqual(['pass', 'pass']);
    expect(mapped(MAPS.filter((_, index) => index !== 2))).toEqual(['fail', 'pass']);
    const swap = (index: number, changes: Loose): Loose[] =>
      MAPS.map((event, at) => (at === index ? { ...event, ...changes } : event));
    expect(mapped(swap(1, { phys: 0x1000n }))).toEqual(['fail', 'pass']);
    expect(mapped(swap(3, { flags: 3 }))).toEqual(['pass', 'fail']);
    expect(mapped(swap(2, { status: 1 }))).toEqual(['fail', 'pass']);
    // Of another domain.
    expect(mapped(swap(0, { domain: 2 }))).toEqual(['fail', 'fail']);
  });

  test('must find its access gone, nothing changed, and somebody refusing it', () => {
    const refused = (lines: string[], events = MAPS): string[] =>
      outcomes('userspace-refused', seen(lines), events);
    const through = changed('write-unmapped', 'errno=0 iova=0x1000000000 done=1 untouched=0');
    expect(refused(through).at(-1)).toBe('fail: it went through');
    const spoilt = changed('read-unmapped', 'errno=0 iova=0x1000000000 done=0 untouched=0');
    expect(refused(spoilt)[1]).toBe('fail: refused, but something changed');
    expect(refused([...LINES], MAPS.slice(0, -1)).at(-1)).toBe(
      'fail: refused, and nobody reported a fault',
    );
    expect(refused(changed('unmap')).at(-1)).toBe('fail: the program did not come to it');
  });

  test('must be told of limits, in the way its kernel can', () => {
    const wrong = (lines: string[], events = MAPS): string[] =>
      items('userspace-limits', seen(lines), events).flatMap(({ outcome, expected }) =>
        outcome === 'fail' ? [expected] : [],
      );
    expect(wrong([...LINES])).toEqual([]);
    const reserved = 'errno=0 iova=0x9000000 bytes=0x1000';
    expect(wrong(changed('refused-reserved', reserved))).toEqual([
      'reserved (0x9000000-0x9000fff): EINVAL',
    ]);
    expect(wrong(changed('range', 'errno=0 start=0x0 end=0xffff'))[0]).toMatch(
      /^ranges 0x0-0x808f/u,
    );
    const many = "of 3 mappings, those above the host's 64 refused";
    const told = 'errno=12 iova=0x1000030000 bytes=0x100000 asked=3';
    expect(wrong(changed('many', `${told} made=2 reached=2`))).toEqual([]);
    expect(wrong(changed('many', `${told} made=2 reached=1`))).toEqual([many]);
    const untold = 'errno=0 iova=0x1000030000 bytes=0x100000 asked=3';
    expect(wrong(changed('many', `${untold} made=3 reached=3`))).toEqual([many]);
    // Lost without a refusal of the vIOMMU.
    expect(wrong(changed('many', `${untold} made=3 reached=1`))).toEqual([many]);
    expect(wrong(changed('many-again', 'errno=0 reached=0'))).toEqual([many]);
  });

  test('excuses the requests and faults that it was made to provoke, and no others', () => {
    const sample = sampleObservation({
      events: [
        { kind: 'fault', order: 1, endpoint: 0x18, reason: 'mapping', address: IOVA, write: true },
        {
          kind: 'map',
          order: 2,
          domain: 1,
          virt: page(IOVA + 0x3_2000n),
          phys: 0n,
          flags: 3,
          status: 8,
        },
      ],
    });
    const devices = [{ name: AT, driver: 'vfio-pci', group: 1 }];
    const failed = (userspace: readonly UserspaceObservation[]): string[] =>
      judge(model, { ...sample, guest: { ...sample.guest, devices, log: [], userspace } })
        .promises.filter(({ outcome }) => outcome === 'fail')
        .map(({ id }) => id);
    expect(failed(seen())).not.toContain('no-unexpected-fault');
    expect(failed(seen())).not.toContain('no-failed-request');
    expect(failed([])).toEqual(
      expect.arrayContaining(['no-unexpected-fault', 'no-failed-request']),
    );
  });
});

describe('the plan for it', () => {
  const dma0 = model.endpoints.find(({ id }) => id === 'dma0') as Endpoint;

  test('has addresses that the host can map, cannot map, and keeps for itself', () => {
    expect(userspaceCheck(model, dma0, AT)).toEqual([
      {
        verb: 'vfio',
        at: AT,
        iova: IOVA,
        bytes: 65_536,
        beyond: 1n << 40n,
        reserved: 0x900_0000n,
        many: 128,
      },
    ]);
  });

  test('stays inside a small aperture and clear of regions, or makes no check at all', () => {
    const { passthrough } = dma0;
    if (passthrough === undefined) throw new Error('dma0 is passed through');
    const within = (end: bigint, start = 0n): bigint | undefined => {
      const narrow = { ...dma0, passthrough: { ...passthrough, aperture: { start, end } } };
      const endpoints = model.endpoints.map((one) => (one === dma0 ? narrow : one));
      const [action] = userspaceCheck({ ...model, endpoints }, narrow, AT);
      return action?.verb === 'vfio' ? action.iova : undefined;
    };
    expect(within((1n << 36n) - 1n)).toBe(1n << 32n);
    expect(within((1n << 31n) - 1n)).toBe(0x4000_0000n);
    expect(within(0xff_ffffn)).toBe(0x10_0000n);
    expect(within(0x10_ffffn)).toBeUndefined();
  });
});
