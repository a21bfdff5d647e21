import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/bytes/index.ts';
import type { DeviceEvent } from '../../../src/scenario/index.ts';
import {
  ChromeTrace,
  diffTraces,
  eventOf,
  JsonLinesTrace,
  readTrace,
  showRecord,
  type RunHeader,
  type TraceEntry,
} from '../../../src/trace/index.ts';

const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-trace-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const HEADER: RunHeader = {
  tool: '0.0.0',
  topology: 'its',
  file: 'its.yaml',
  backend: 'model',
  firmware: 'device-tree',
  seed: 's',
};

const at = (order: number): { order: number; time: number; viommu: string } => ({
  order,
  time: order / 1000,
  viommu: 'viommu0',
});

/** Two mappings that overlap in time, a fault, an MSI, and a domain that dies with one of them. */
const EVENTS: readonly DeviceEvent[] = [
  { ...at(1), kind: 'attach', endpoint: 16, domain: 1, status: 0 },
  {
    ...at(2),
    kind: 'map',
    domain: 1,
    virt: { start: 0x1000n, end: 0x1fffn },
    phys: 0x4000n,
    flags: 3,
  },
  {
    ...at(3),
    kind: 'map',
    domain: 1,
    virt: { start: (1n << 64n) - 0x1000n, end: (1n << 64n) - 1n },
    phys: 0x8000n,
    flags: 1,
  },
  {
    ...at(4),
    kind: 'access',
    endpoint: 16,
    iova: 0x1010n,
    length: 8,
    write: true,
    how: 'translated',
  },
  { ...at(5), kind: 'unmap', domain: 1, virt: { start: 0n, end: 0xffffn } },
  { ...at(6), kind: 'fault', endpoint: 16, reason: 'mapping', address: 0x1010n, write: true },
  { ...at(7), kind: 'msi', endpoint: 16, address: 0x809_0040n },
  {
    ...at(8),
    kind: 'map',
    domain: 7,
    virt: { start: 0n, end: 0xfffn },
    phys: 0n,
    flags: 1,
    status: 6,
  },
  { ...at(9), kind: 'detach', endpoint: 16, domain: 1 },
];

function written(events: readonly DeviceEvent[], header: Partial<RunHeader> = {}): string {
  let text = '';
  const trace = new JsonLinesTrace((piece) => void (text += piece));
  const run = trace.begin({ ...HEADER, ...header });
  for (const event of events) trace.event(run, event);
  trace.console(run, 'Linux version\u001b[31m');
  trace.end(run, { outcome: 'pass', ending: 'completed' });
  trace.close();
  return text;
}

let files = 0;
function file(text: string | Uint8Array): string {
  const path = join(dir, `${files++}.jsonl`);
  writeFileSync(path, text);
  return path;
}

async function all(path: string): Promise<TraceEntry[]> {
  const entries: TraceEntry[] = [];
  for await (const entry of readTrace(path)) entries.push(entry);
  return entries;
}

async function damage(path: string): Promise<FormatError> {
  try {
    await all(path);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('it was read');
}

describe('JSON lines', () => {
  test('every event comes back as it was', async () => {
    const entries = await all(file(written(EVENTS)));
    expect(entries.flatMap(({ record }) => eventOf(record) ?? [])).toEqual(EVENTS);
    expect(entries.map(({ record }) => record.type)).toEqual([
      'header',
      ...EVENTS.map(() => 'event'),
      'console',
      'end',
    ]);
    expect(entries.at(-1)?.record).toMatchObject({ events: EVENTS.length, outcome: 'pass' });
  });

  test('a line for people has every field', async () => {
    const [, , map] = await all(file(written(EVENTS)));
    expect(map && showRecord(map.record)).toBe(
      '0.002000 viommu0 map domain 1 virt 0x1000-0x1fff phys 0x4000 flags 3',
    );
  });

  test.each([
    ['', 'trace/empty', ''],
    ['\n\n', 'trace/empty', ''],
    ['{"type":"console","run":0,"text":"x"}\n', 'trace/no-header', ':1:'],
    [`${written([])}{"type":`, 'trace/json', ':4:'],
    [`${written([])}[]\n`, 'trace/record', ':4:'],
    [`${written([])}{"type":"event","kind":7}\n`, 'trace/record', ':4:'],
    [written([]).replace('"version":1', '"version":99'), 'trace/version', ':1:'],
    [`${written([])}${'x'.repeat(2 << 20)}`, 'trace/long-line', ':4:'],
    [`${'['.repeat(100_000)}\n`, 'trace/json', ':1:'],
  ])('a damaged one (%#) is refused with its line', async (text, code, place) => {
    const error = await damage(file(text));
    expect(error.code).toBe(code);
    expect(error.message).toContain(place);
  });

  test('random bytes never do anything else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        const text = Buffer.concat([Buffer.from(written([])), bytes]);
        try {
          await all(file(text));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('a line that chunks of the file cut in two is one line', async () => {
    const many = Array.from({ length: 3000 }, (_, order): DeviceEvent => ({
      ...at(order),
      kind: 'msi',
      endpoint: 1,
      address: BigInt(order),
    }));
    const entries = await all(file(written(many)));
    expect(entries.flatMap(({ record }) => eventOf(record) ?? [])).toEqual(many);
  });
});

describe('diff', () => {
  const differ = async (
    a: readonly DeviceEvent[],
    b: readonly DeviceEvent[],
    options = {},
  ): ReturnType<typeof diffTraces> =>
    diffTraces(readTrace(file(written(a))), readTrace(file(written(b))), options);

  test('alike, whatever the clock says', async () => {
    const later = EVENTS.map((event) => ({
      ...event,
      time: (event.time ?? 0) + 1,
      order: event.order + 5,
    }));
    expect(await differ(EVENTS, later)).toEqual({ same: true, compared: EVENTS.length });
    expect(await differ(EVENTS, later, { ignore: ['order'] })).toMatchObject({
      same: false,
      compared: 0,
      fields: ['time'],
    });
  });

  test('names the first difference, with what was around it', async () => {
    const other = EVENTS.map((event, index) =>
      index === 5 ? { ...event, address: 0x2000n } : event,
    ) as DeviceEvent[];
    const found = await differ(EVENTS, other, { context: 2 });
    expect(found).toMatchObject({ same: false, compared: 5, fields: ['address'] });
    if (found.same) throw new Error('same');
    // The header is line 1.
    expect([found.a?.line, found.b?.line]).toEqual([7, 7]);
    expect(found.before.map(({ line }) => line)).toEqual([5, 6]);
    expect(found.afterA).toHaveLength(2);
  });

  test('one that ends early', async () => {
    const found = await differ(EVENTS, EVENTS.slice(0, 4));
    expect(found).toMatchObject({ same: false, compared: 4, fields: [] });
    if (!found.same) expect(found.b).toBeUndefined();
  });

  test('only some kinds, and the console', async () => {
    const other = EVENTS.filter(({ kind }) => kind !== 'access');
    expect(await differ(EVENTS, other)).toMatchObject({ same: false });
    expect(await differ(EVENTS, other, { kinds: ['map', 'unmap'] })).toMatchObject({ same: true });
    expect(await differ(EVENTS, EVENTS, { console: true })).toEqual({
      same: true,
      compared: EVENTS.length + 1,
    });
  });
});

describe('a trace for Perfetto', () => {
  interface Put {
    readonly ph: string;
    readonly id?: string;
    readonly pid: number;
    readonly tid: number;
    readonly ts?: number;
    readonly name: string;
    readonly args: Record<string, unknown>;
  }

  function chrome(events: readonly DeviceEvent[], end = true): Put[] {
    let text = '';
    const trace = new ChromeTrace((piece) => void (text += piece));
    const run = trace.begin(HEADER);
    for (const event of events) trace.event(run, event);
    trace.console(run, 'a line');
    if (end) trace.end(run, { outcome: 'pass', ending: 'completed' });
    trace.close();
    return (JSON.parse(text) as { traceEvents: Put[] }).traceEvents;
  }

  test('a process for the vIOMMU, a thread for the endpoint, microseconds', () => {
    const events = chrome(EVENTS);
    expect(events.find(({ name }) => name === 'process_name')?.args).toEqual({
      name: 'its: viommu0',
    });
    const thread = events.find(({ name, tid }) => name === 'thread_name' && tid === 16);
    expect(thread?.args).toEqual({ name: 'endpoint 0x10' });
    expect(events.find(({ name }) => name.startsWith('fault'))).toMatchObject({
      ph: 'i',
      ts: 6000,
      tid: 16,
    });
  });

  test('a mapping lives from its MAP to its UNMAP, or to the end of its domain', () => {
    const events = chrome(EVENTS);
    const begins = events.filter(({ ph }) => ph === 'b');
    const ends = events.filter(({ ph }) => ph === 'e');
    expect(begins.map(({ ts, tid }) => [ts, tid])).toEqual([
      [2000, 16],
      [3000, 16],
    ]);
    expect(ends.map(({ id, ts }) => [id, ts])).toEqual([
      ['0x0', 5000],
      ['0x1', 9000],
    ]);
    expect(events.find(({ name }) => name === 'map refused, status 6')).toBeDefined();
  });

  test('every slice that begins ends, also when the run was cut off', () => {
    const kinds = fc.constantFrom<DeviceEvent['kind']>('map', 'unmap', 'attach', 'detach');
    const step = fc.tuple(kinds, fc.nat(3), fc.nat(15), fc.nat(3));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, cut) => {
        const events = steps.map(([kind, domain, page, endpoint], order): DeviceEvent => {
          const virt = { start: BigInt(page) << 12n, end: (BigInt(page) << 12n) + 0xfffn };
          if (kind === 'map') return { ...at(order), kind, domain, virt, phys: 0n, flags: 1 };
          if (kind === 'unmap') return { ...at(order), kind, domain, virt };
          return { ...at(order), kind: kind === 'attach' ? kind : 'detach', domain, endpoint };
        });
        const put = chrome(events, !cut);
        const open = new Set<string>();
        for (const { ph, id = '' } of put) {
          if (ph === 'b') open.add(id);
          if (ph === 'e') expect(open.delete(id)).toBe(true);
        }
        expect(open.size).toBe(0);
      }),
    );
  });
});
