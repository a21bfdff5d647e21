import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DebugError, Inspector, METHODS, type Json } from '../../../src/debug/index.ts';
import { hiOf, loOf, TranslatedDma } from '../../../src/memory/index.ts';
import { ModelGuest } from '../../../src/driver/index.ts';
import {
  firmwareOf,
  requests,
  shippedModel,
  world,
  type World,
} from '../../support/model-guest.ts';

type Fields = Record<string, Json>;

const text = (value: Json | undefined): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

/** A machine whose guest runs in this thread: a hold asks what the test wants to know, in place. */
class Bench {
  readonly world: World;
  readonly inspector: Inspector;
  readonly notices: { method: string; params: Fields }[] = [];
  /** What is done at a stop; without it the guest goes on. */
  atStop: (stop: Fields) => void = () => undefined;
  readonly name: string;

  constructor(name = 'its') {
    this.name = name;
    this.world = world(shippedModel(name));
    this.inspector = new Inspector(
      this.world.machine,
      { hold: () => this.#held(), release: () => undefined, clock: () => 5n },
      { tool: 'test', backend: 'model' },
    );
    this.inspector.onNotice = (method, params): void =>
      void this.notices.push({ method, params: params as Fields });
  }

  ask(method: string, params: object = {}): Fields {
    return this.inspector.handle(method, params) as Fields;
  }

  boot(): ModelGuest {
    const { platform, machine } = this.world;
    return ModelGuest.boot(platform, firmwareOf(machine.model, 'device-tree'));
  }

  stops(): Fields[] {
    return this.notices.flatMap(({ method, params }) => (method === 'stopped' ? [params] : []));
  }

  #held(): void {
    const stop = this.stops().at(-1);
    if (stop !== undefined) this.atStop(stop);
    if (this.inspector.isStopped) this.ask('continue');
  }
}

/** Memory as that device sees it. */
function dmaOf({ world: { machine } }: Bench, id: string): TranslatedDma {
  const { route } = machine.unit(id) ?? {};
  if (route === undefined) throw new Error(`${id} has no way`);
  return new TranslatedDma(machine.memory, route, 0);
}

function firstMapping(bench: Bench): bigint {
  const [first] = bench.ask('dump', { endpoint: 'disk0' })['mappings'] as Fields[];
  return BigInt(text(first?.['start']));
}

const refused = (act: () => unknown): { code: number; message: string } => {
  try {
    act();
  } catch (error) {
    if (error instanceof DebugError) return error;
    throw error;
  }
  throw new Error('it was answered');
};

describe('breaks', () => {
  test('the third MAP stops the guest when there are three mappings', () => {
    const bench = new Bench();
    bench.ask('break', { on: 'map', n: 3 });
    const seen: Json[] = [];
    bench.atStop = () => {
      const domains = bench.ask('list', { what: 'domains' })['domains'] as Fields[];
      seen.push(domains.reduce((sum, one) => sum + Number(one['mappings']), 0));
      expect(bench.ask('status')).toMatchObject({
        state: 'stopped',
        stop: { reason: 'break', break: 1 },
      });
    };
    bench.boot();
    expect(seen).toEqual([3]);
    expect(bench.stops()[0]?.['event']).toMatch(/^map: domain /u);
    // The n-th time comes once.
    expect(bench.ask('breaks')).toEqual([]);
  });

  test('without a number it is every time, until it is deleted', () => {
    const bench = new Bench();
    bench.ask('break', { on: 'attach' });
    bench.boot();
    const attached = requests(bench.world.events).filter(({ name }) => name === 'attach').length;
    expect(attached).toBeGreaterThan(1);
    expect(bench.stops()).toHaveLength(attached);
    expect(bench.ask('delete', { id: 1 })).toMatchObject({ id: 1, hits: attached });
    expect(refused(() => bench.ask('delete', { id: 1 })).code).toBe(-32001);
  });

  test('of one endpoint only', () => {
    const bench = new Bench();
    bench.ask('break', { on: 'map', endpoint: 'net0' });
    bench.atStop = (stop) => {
      const domain = Number(/domain (\d+)/u.exec(text(stop['event']))?.[1]);
      const dump = bench.ask('dump', { domain });
      expect(dump['endpoints']).toEqual([24]);
    };
    bench.boot();
    expect(bench.stops().length).toBeGreaterThan(0);
  });

  test('an address: every access there, also through a translation that the device keeps', () => {
    const bench = new Bench();
    bench.boot();
    const start = firstMapping(bench);
    bench.ask('break', {
      on: 'address',
      address: `0x${(start + 8n).toString(16)}`,
      endpoint: 'disk0',
    });
    const dma = dmaOf(bench, 'disk0');
    // The first access of the page is of no interest, and makes the device keep the translation.
    for (const offset of [0, 8, 8, 9]) dma.readU8(hiOf(start), loOf(start) + offset);
    expect(bench.stops()).toHaveLength(2);
    expect(bench.stops()[0]?.['event']).toMatch(/^translated: endpoint 0x10 read/u);
  });

  test('a fault', () => {
    const bench = new Bench();
    bench.boot();
    bench.ask('break', { on: 'fault', endpoint: 'disk0' });
    bench.ask('fault', { kind: 'access', endpoint: 'disk0', count: 1 });
    expect(dmaOf(bench, 'disk0').readU8(0, Number(firstMapping(bench)))).toBeLessThan(0);
    expect(dmaOf(bench, 'disk0').readU8(0, Number(firstMapping(bench)))).toBeGreaterThanOrEqual(0);
    expect(bench.stops()).toHaveLength(1);
    expect(bench.stops()[0]).toMatchObject({ reason: 'break', viommu: 'viommu0' });
    expect(text(bench.stops()[0]?.['event'])).toContain('fault: unknown, endpoint 0x10');
  });

  test('the guest does not notice any of it', () => {
    const free = new Bench('several-endpoints');
    free.boot();
    const bench = new Bench('several-endpoints');
    for (const on of ['map', 'unmap', 'attach', 'probe', 'fault']) bench.ask('break', { on });
    bench.ask('print', { on: true });
    bench.boot();
    expect(bench.stops().length).toBeGreaterThan(10);
    expect(bench.world.events).toEqual(free.world.events);
    expect(bench.ask('stat')).toEqual(free.ask('stat'));
  });
});

describe('questions', () => {
  const bench = new Bench();
  bench.boot();
  const { device: iommu } = bench.world.machine.viommus.get('viommu0') ?? {};
  const tree = iommu?.endpoints.get(16)?.domain?.mappings;
  for (let page = 1; page < 4; page++)
    tree?.insert(0, page << 20, 0, (page << 20) + 0xfff, 0, 0x4000_0000, 3);

  test('list', () => {
    const { viommus, endpoints, domains } = bench.ask('list') as Record<string, Fields[]>;
    expect(viommus).toMatchObject([{ viommu: 'viommu0', endpoints: 2, bypass: true }]);
    expect(endpoints?.map(({ name, endpoint, path }) => [name, endpoint, path])).toEqual([
      ['disk0', 16, 'translated'],
      ['net0', 24, 'translated'],
    ]);
    expect(endpoints?.[0]?.['reserved']).toEqual([
      { range: { start: '0x8090000', end: '0x809ffff' }, type: 'msi' },
    ]);
    expect(domains).toHaveLength(2);
    expect(Object.keys(bench.ask('list', { what: 'domains' }))).toEqual(['domains']);
  });

  test('dump, page by page', () => {
    const all = bench.ask('dump', { endpoint: '0000:00:02.0' });
    const mappings = all['mappings'] as Fields[];
    expect(mappings.length).toBeGreaterThan(2);
    const first = bench.ask('dump', { endpoint: '0x10', limit: 1 });
    expect(first['mappings']).toEqual(mappings.slice(0, 1));
    expect(first['next']).toBe(mappings[1]?.['start']);
    const rest = bench.ask('dump', { endpoint: 16, from: first['next'] });
    expect(rest['mappings']).toEqual(mappings.slice(1));
  });

  test('translate agrees with dump, and counts nothing', () => {
    const before = bench.ask('stat');
    const { mappings } = bench.ask('dump', { endpoint: 'disk0' });
    for (const { start, end, physical, flags } of mappings as Fields[]) {
      const write = (Number(flags) & 2) !== 0;
      const length = `0x${(BigInt(text(end)) - BigInt(text(start)) + 1n).toString(16)}`;
      const access = write ? 'write' : 'read';
      const answer = bench.ask('translate', { endpoint: 'disk0', iova: start, length, access });
      expect(answer['pieces']).toMatchObject([{ iova: start, physical, how: 'memory', length }]);
    }
    const hole = bench.ask('translate', { endpoint: 'disk0', iova: '0x1234' });
    expect(hole).toMatchObject({ fault: '0x1234', path: 'translated' });
    const msi = bench.ask('translate', { endpoint: 'disk0', iova: '0x8090040', access: 'write' });
    expect(msi['pieces']).toMatchObject([{ how: 'msi' }]);
    expect(bench.ask('stat')).toEqual(before);
  });

  test.each([
    ['nothing', {}, -32601],
    ['dump', {}, -32602],
    ['dump', { domain: 99 }, -32001],
    ['dump', { endpoint: 'disk0', domain: 1 }, -32602],
    ['translate', { endpoint: 'disk0', iova: '0x1ffffffffffffffff' }, -32602],
    ['translate', { endpoint: 'disk0', iova: 0, length: 0 }, -32602],
    ['translate', { endpoint: 'nobody', iova: 0 }, -32001],
    ['list', { viommu: 'viommu9' }, -32001],
    ['break', { on: 'address' }, -32602],
    ['break', { on: 'map', n: 0 }, -32602],
    ['break', { on: 'map', extra: 1 }, -32602],
    ['fault', { kind: 'record', endpoint: 'disk0' }, -32602],
    ['continue', {}, -32002],
  ])('%s %j is refused', (method, params, code) => {
    expect(refused(() => bench.ask(method, params)).code).toBe(code);
  });

  test('no parameters do anything but answer or be refused', () => {
    const own = new Bench();
    own.boot();
    const value = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constantFrom('disk0', '0x10', 'map', 'viommu0'),
    );
    const keys = fc.constantFrom(
      'endpoint',
      'iova',
      'on',
      'n',
      'kind',
      'address',
      'domain',
      'viommu',
      'length',
      'what',
      'count',
      'id',
      'from',
      'limit',
      'status',
      'reason',
    );
    const params = fc.oneof(fc.dictionary(keys, value), fc.anything());
    fc.assert(
      fc.property(fc.constantFrom(...METHODS), params, (method, it) => {
        try {
          JSON.stringify(own.inspector.handle(method, it));
        } catch (error) {
          expect(error).toBeInstanceOf(DebugError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('disturbances', () => {
  test('the next MAPs of an endpoint fail, those of others do not', () => {
    const bench = new Bench();
    bench.ask('break', { on: 'attach', endpoint: 'net0', n: 1 });
    bench.atStop = () => bench.ask('fault', { kind: 'map', endpoint: 'net0', count: 2, status: 8 });
    try {
      bench.boot();
    } catch {
      // A driver may give up.
    }
    const failed = requests(bench.world.events).filter(({ status }) => status === 8);
    expect(failed.map(({ name }) => name)).toEqual(['map', 'map']);
  });

  test('a record of a fault that never was arrives in the guest', () => {
    const bench = new Bench();
    bench.boot();
    const answer = bench.ask('fault', {
      kind: 'record',
      endpoint: 'disk0',
      address: '0xdead000',
      access: 'write',
    });
    expect(answer).toMatchObject({ queued: true, endpoint: 16 });
    bench.world.machine.settle();
    expect(bench.ask('stat')).toMatchObject([{ reports: 1 }]);
  });

  test('nothing is left over when the run is over', () => {
    const bench = new Bench();
    bench.boot();
    bench.ask('fault', { kind: 'map', endpoint: 'disk0', count: 5 });
    bench.ask('fault', { kind: 'access', endpoint: 'disk0', count: 5 });
    bench.ask('break', { on: 'fault' });
    bench.inspector.end();
    const { device } = bench.world.machine.viommus.get('viommu0') ?? {};
    expect(device?.state.refuse).toBeUndefined();
    expect(device?.endpoints.get(16)?.injected).toBe(0);
    expect(bench.notices.at(-1)?.method).toBe('ended');
    expect(bench.ask('status')['state']).toBe('ended');
    expect(refused(() => bench.ask('pause')).code).toBe(-32002);
  });
});

describe('tracing', () => {
  test('print tells requests, flood accesses as well', () => {
    const lines = (flood: boolean): string[] => {
      const bench = new Bench();
      bench.ask('print', { on: true, flood });
      bench.boot();
      dmaOf(bench, 'disk0').readU8(0, Number(firstMapping(bench)));
      return bench.notices.map(({ params }) => text(params['line']));
    };
    const print = lines(false);
    expect(print.some((line) => line.startsWith('map: domain'))).toBe(true);
    expect(print.some((line) => line.startsWith('translated'))).toBe(false);
    expect(lines(true).some((line) => line.startsWith('translated'))).toBe(true);
  });

  test('off is off', () => {
    const bench = new Bench();
    bench.ask('print', { on: true });
    bench.ask('print', { on: false });
    bench.boot();
    expect(bench.notices).toEqual([]);
  });
});
