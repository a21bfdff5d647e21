import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeviceRecorder, recordOf, type DeviceEvent } from '../../../src/scenario/index.ts';
import { KEPT } from '../../../src/scenario/device-record.ts';

function record(events: readonly Record<string, unknown>[]): ReturnType<DeviceRecorder['finish']> {
  const recorder = new DeviceRecorder();
  for (const [order, event] of events.entries()) recorder.add({ order, ...event } as DeviceEvent);
  return recorder.finish();
}

const attach = (endpoint: number, domain: number, viommu?: string): Record<string, unknown> => ({
  kind: 'attach',
  endpoint,
  domain,
  ...(viommu === undefined ? {} : { viommu }),
});
const mapped = (domain: number, viommu?: string): Record<string, unknown> => ({
  kind: 'map',
  domain,
  virt: { start: 0n, end: 0xfffn },
  phys: 0n,
  flags: 3,
  ...(viommu === undefined ? {} : { viommu }),
});

test('a MAP counts for who is in the domain at that moment', () => {
  const { endpoints } = record([
    attach(1, 7),
    mapped(7),
    attach(2, 7),
    mapped(7),
    // ATTACH to another domain leaves the first.
    attach(1, 8),
    mapped(7),
    mapped(8),
    { kind: 'detach', endpoint: 2, domain: 7 },
    mapped(7),
  ]);
  expect(endpoints.map(({ endpoint, map }) => [endpoint, map.count])).toEqual([
    [1, 3],
    [2, 2],
  ]);
});

test('two vIOMMUs have domains and endpoints of their own, where the backend tells them apart', () => {
  const result = record([attach(1, 0, 'a'), attach(1, 0, 'b'), mapped(0, 'a')]);
  expect(recordOf(result, 'a', 1)?.map.count).toBe(1);
  expect(recordOf(result, 'b', 1)?.map.count).toBe(0);
  expect(recordOf(record([attach(1, 0), mapped(0)]), 'a', 1)?.map.count).toBe(1);
});

test('refused requests are failures and nothing else', () => {
  const result = record([{ ...attach(1, 0), status: 6 }, mapped(0)]);
  expect(result).toMatchObject({ failureCount: 1, endpoints: [] });
});

test('what a guest can make us keep is bounded', () => {
  const faults = Array.from({ length: 5000 }, (_, n) => ({
    kind: 'fault',
    endpoint: n % 3,
    reason: 'mapping',
  }));
  const result = record(faults);
  expect(result.faults).toHaveLength(KEPT);
  expect(result.faultCount).toBe(5000);
  expect(result.endpoints.map(({ fault }) => fault.count)).toEqual([1667, 1667, 1666]);
});

test('against a naive recount', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('attach'),
      endpoint: fc.nat(3),
      domain: fc.nat(3),
    }),
    fc.record({ kind: fc.constant('detach'), endpoint: fc.nat(3), domain: fc.nat(3) }),
    fc.nat(3).map((domain) => mapped(domain)),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const at = new Map<number, number>();
      const maps = new Map<number, number>();
      for (const one of events as { kind: string; endpoint: number; domain: number }[]) {
        if (one.kind === 'attach') at.set(one.endpoint, one.domain);
        else if (one.kind === 'detach') at.delete(one.endpoint);
        else {
          for (const [endpoint, domain] of at) {
            if (domain === one.domain) maps.set(endpoint, (maps.get(endpoint) ?? 0) + 1);
          }
        }
      }
      for (const { endpoint, map } of record(events).endpoints) {
        expect(map.count).toBe(maps.get(endpoint) ?? 0);
      }
    }),
  );
});
