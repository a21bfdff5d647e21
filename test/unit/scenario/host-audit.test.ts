import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EndpointTraces, type DeviceEvent, type HostRecord } from '../../../src/scenario/index.ts';
import { clipped, insertAt, joined, removeFrom, type Piece } from '../../../src/scenario/pieces.ts';
import { PROMISES } from '../../../src/scenario/index.ts';
import { sampleModel, sampleObservation } from './samples.ts';

/** disk0 (endpoint 0x10) is passed through. */
function model(): ReturnType<typeof sampleModel> {
  const sample = sampleModel();
  const passthrough = {
    pageSizeMask: 0x1000n,
    aperture: { start: 0n, end: (1n << 40n) - 1n },
    mappings: 64,
    reserved: [],
  };
  const endpoints = sample.endpoints.map((one) =>
    one.id === 'disk0' ? { ...one, passthrough } : one,
  );
  return { ...sample, endpoints };
}

type Loose = Record<string, unknown>;

function hostOf(...events: Loose[]): HostRecord {
  const traces = new EndpointTraces(model());
  for (const [order, event] of events.entries()) {
    traces.add({ order, viommu: 'viommu0', ...event } as DeviceEvent);
  }
  const [host] = traces.finish().hosts;
  if (host === undefined) throw new Error('nothing is followed');
  return host;
}

const attach = (domain: number, endpoint = 0x10): Loose => ({ kind: 'attach', endpoint, domain });
const detach = (endpoint = 0x10): Loose => ({ kind: 'detach', endpoint, domain: 1 });
const virt = (page: number, pages = 1): { start: bigint; end: bigint } => ({
  start: BigInt(page) << 12n,
  end: (BigInt(page + pages) << 12n) - 1n,
});
const map = (page: number, pages = 1, flags = 3, status = 0): Loose => {
  const phys = BigInt(page + 100) << 12n;
  return { kind: 'map', domain: 1, virt: virt(page, pages), phys, flags, status };
};
const unmap = (page: number, pages = 1, status = 0): Loose => ({
  kind: 'unmap',
  domain: 1,
  virt: virt(page, pages),
  status,
});
const host = (call: 'map' | 'unmap', page: number, pages = 1, changes: Loose = {}): Loose => ({
  kind: 'host-call',
  endpoint: 0x10,
  call,
  virt: virt(page, pages),
  ...(call === 'map' ? { phys: BigInt(page + 100) << 12n, access: 3 } : {}),
  ...changes,
});
const empty: Loose = { kind: 'host-call', endpoint: 0x10, call: 'unmap-all' };

function why(...events: Loose[]): string[] {
  return hostOf(empty, attach(1), ...events).differences.map((one) => one.why);
}

describe('the host of a passed-through endpoint', () => {
  test('that follows each request is right, however it cuts its mappings', () => {
    expect(why(host('map', 1), map(1), host('unmap', 1), unmap(1))).toEqual([]);
    expect(why(host('map', 1), host('map', 2), map(1, 2))).toEqual([]);
    const record = hostOf(empty, attach(1), host('map', 1), map(1), host('unmap', 1), unmap(1));
    expect(record).toMatchObject({ maps: 1, unmaps: 1, refusalCount: 0, differenceCount: 0 });
  });

  test.each([
    ['does not map', [map(1)], 'the host does not map all of it'],
    [
      'maps a part',
      [host('map', 1), map(1, 2)],
      'the host maps it elsewhere, or with other rights',
    ],
    [
      'gives other rights',
      [host('map', 1, 1, { access: 1 }), map(1)],
      'the host maps it elsewhere, or with other rights',
    ],
    [
      'maps other memory',
      [host('map', 1, 1, { phys: 0n }), map(1)],
      'the host maps it elsewhere, or with other rights',
    ],
    [
      'forgets to unmap',
      [host('map', 1), map(1), unmap(1)],
      'the host maps what the guest does not',
    ],
    [
      'maps what was refused',
      [host('map', 1), map(1, 1, 3, 4)],
      'the host maps what the guest does not',
    ],
  ])('that %s is told', (_, events, told) => {
    expect(why(...events)).toEqual([told]);
  });

  test('is compared whole at ATTACH, and by nobody while its endpoint is in no domain', () => {
    const other = attach(1, 0x18);
    const before = [other, map(1)];
    expect(hostOf(...before, empty, host('map', 1), attach(1)).differenceCount).toBe(0);
    expect(hostOf(...before, empty, attach(1)).differenceCount).toBe(1);
    expect(
      hostOf(...before, empty, host('map', 1), attach(1), detach(), map(5)).differenceCount,
    ).toBe(0);
    // A domain ends with its last endpoint, and its mappings with it.
    const ended = [...before, { ...detach(), endpoint: 0x18 }, empty, attach(1)];
    expect(hostOf(...ended).differenceCount).toBe(0);
  });

  test('need not have what no access needs, and all memory in a domain that bypasses', () => {
    expect(why(map(1, 1, 0), map(2, 1, 7))).toEqual([]);
    expect(hostOf(host('map', 0, 99), { ...attach(1), bypass: true }).differenceCount).toBe(0);
  });

  test('keeps what was refused, by it and of it', () => {
    const refused = host('map', 1, 1, { errno: 'ENOSPC' });
    const fault = { kind: 'host-fault', endpoint: 0x10, address: 0x1000n, write: true };
    const record = hostOf(empty, attach(1), refused, map(1, 1, 3, 8), fault);
    expect(record.refusals.map(({ errno }) => errno)).toEqual(['ENOSPC']);
    expect(record.faults.map(({ address }) => address)).toEqual([0x1000n]);
    expect(record.differenceCount).toBe(0);
  });

  test('is judged in the verdict', () => {
    const promise = PROMISES.find(({ id }) => id === 'host-follows');
    const judge = (...events: Loose[]): string[] => {
      const sample = sampleObservation();
      const device = { ...sample.device, hosts: [hostOf(empty, attach(1), ...events)] };
      const capabilities = new Set([...sample.capabilities, 'host' as const]);
      const seen = { ...sample, device, capabilities };
      return (promise?.judge(model(), seen) ?? []).map(
        (item) => `${item.subject} ${item.outcome}: ${item.seen}`,
      );
    };
    expect(judge(host('map', 1), map(1))).toEqual(['disk0 (00:02.0) pass: 1 mapped, 0 unmapped']);
    expect(judge(map(1))).toEqual(['disk0 (00:02.0) fail: different after 1 request(s)']);
    const blind = promise?.judge(model(), sampleObservation()) ?? [];
    expect(blind.map(({ outcome }) => outcome)).toEqual(['not-observable']);
  });
});

describe('lists of pieces', () => {
  /** Page by page: where it leads. */
  function pages(list: readonly Piece[]): Map<bigint, string> {
    const out = new Map<bigint, string>();
    for (const { virt: range, phys, access } of list) {
      for (let at = range.start; at <= range.end; at += 0x1000n) {
        out.set(at, `${phys + (at - range.start)}/${access}`);
      }
    }
    return out;
  }

  test('insert, remove, clip and join as a map of pages does', () => {
    const step = fc.record({
      page: fc.nat(30),
      count: fc.integer({ min: 1, max: 5 }),
      phys: fc.nat(3),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(30), fc.nat(8), (steps, from, more) => {
        const list: Piece[] = [];
        for (const { page, count, phys, remove } of steps) {
          const range = virt(page, count);
          const touched = list.filter(
            (one) => one.virt.start <= range.end && range.start <= one.virt.end,
          );
          if (remove) expect(removeFrom(list, range)).toBe(touched.length);
          else if (touched.length === 0) {
            // Neighbours that lead on evenly come about by chance often enough.
            insertAt(list, { virt: range, phys: range.start + (BigInt(phys) << 30n), access: 3 });
          }
        }
        const range = virt(from, more + 1);
        const inside = [...pages(list)].filter(([at]) => at >= range.start && at <= range.end);
        const cut = clipped(list, range);
        expect([...pages(cut)]).toEqual(inside);
        const whole = joined(cut);
        expect([...pages(whole)]).toEqual(inside);
        for (const [index, piece] of whole.slice(1).entries()) {
          const last = whole[index];
          const size = (last?.virt.end ?? 0n) - (last?.virt.start ?? 0n) + 1n;
          const even = last?.virt.end === piece.virt.start - 1n && last.phys + size === piece.phys;
          expect(even).toBe(false);
        }
      }),
    );
  });
});
