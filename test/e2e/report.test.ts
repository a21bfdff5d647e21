import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { builtCore } from '../support/emulator.ts';

const folder = mkdtempSync(join(tmpdir(), 'viommu-topo-e2e-report-'));
beforeAll(() => builtCore());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Data {
  readonly events: { readonly clock: string; readonly kinds: string; readonly at: number[] };
  readonly lines: readonly {
    readonly text: string;
    readonly after: number;
    readonly time?: number;
  }[];
}

function dataOf(name: string): Data {
  const page = readFileSync(join(folder, name), 'utf8');
  const [, json = ''] =
    /<script type="application\/json" id="data">(.*?)<\/script>/su.exec(page) ?? [];
  return JSON.parse(json) as Data;
}

/** Seconds at which an event happened. */
function timeOf({ events }: Data, index: number): number {
  return events.at.slice(0, index + 1).reduce((sum, step) => sum + step, 0) / 1e7;
}

test('a stock guest: lines and events on one clock, from worker threads too', async () => {
  const { code, err } = await cli(
    'boot',
    'topologies/faults.yaml',
    'topologies/one-endpoint.yaml',
    '--backend',
    'emulator',
    '--jobs',
    '2',
    '--report',
    folder,
  );
  expect({ code, told: err.includes(`report: ${join(folder, 'index.html')}`) }).toEqual({
    code: 0,
    told: true,
  });
  const data = dataOf('faults.html');
  expect(data.events.clock).toBe('time');
  const times = data.lines.map(({ time = Number.NaN }) => time);
  expect(times.length).toBeGreaterThan(50);
  expect(times.every((time, index) => time >= (times[index - 1] ?? 0))).toBe(true);
  // The kernel says of a fault soon after the device has told it, and never before.
  const fault = data.events.kinds.indexOf('f');
  const said = data.lines.find(({ text }) => text.includes('page fault from EP'));
  const delay = (said?.time ?? Number.NaN) - timeOf(data, fault);
  expect(delay).toBeGreaterThanOrEqual(0);
  expect(delay).toBeLessThan(0.1);
  expect(said?.after).toBeGreaterThan(fault);
  // The guest's own copy of the tree.
  expect(readFileSync(join(folder, 'one-endpoint.html'), 'utf8')).toContain(
    'device tree as the guest saw it',
  );
});
