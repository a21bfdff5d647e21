import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { reportIndex, RunRecorder } from '../../../src/report/index.ts';
import { encodeEvents } from '../../../src/report/html/encode.ts';
import { endpointNames } from '../../../src/report/html/names.ts';
import { escapeMarkup, scriptJson } from '../../../src/report/markup.ts';
import { judge, type DeviceEvent } from '../../../src/scenario/index.ts';
import { cli } from '../../support/cli.ts';
import { busyEvents, sampleReport } from '../../support/report.ts';
import { sampleModel, sampleObservation } from '../scenario/samples.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-html-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function access(order: number, time?: number): DeviceEvent {
  return {
    order,
    kind: 'access',
    endpoint: 0x10,
    iova: 0x1000n,
    write: false,
    how: 'translated',
    text: 'trace line',
    ...(time === undefined ? {} : { time }),
  };
}

describe('the recorder', () => {
  test('keeps events without the words of the backend, and where each line stands', () => {
    const recorder = new RunRecorder();
    recorder.console('first');
    recorder.event(access(0, 0.5));
    recorder.console('second', 0.75);
    const run = recorder.finish();
    expect(run.events).toEqual([
      {
        order: 0,
        time: 0.5,
        kind: 'access',
        endpoint: 0x10,
        iova: 0x1000n,
        write: false,
        how: 'translated',
      },
    ]);
    expect(run.lines).toEqual([
      { text: 'first', after: 0 },
      { text: 'second', after: 1, time: 0.75 },
    ]);
    expect({ events: run.eventsLeftOut, lines: run.linesLeftOut }).toEqual({ events: 0, lines: 0 });
  });

  test('is bounded, counts what it drops, and prefers what matters', () => {
    const recorder = new RunRecorder({ events: 10, important: 2, lines: 4 });
    let order = 0;
    for (; order < 100; order++) recorder.event(access(order));
    for (; order < 110; order++) {
      recorder.event({ order, kind: 'fault', endpoint: 0x10, reason: 'mapping', address: 0n });
    }
    for (let line = 0; line < 100; line++) recorder.console(`line ${line}`);
    const run = recorder.finish();
    expect(run.events.map(({ kind }) => kind)).toEqual([
      ...Array.from({ length: 10 }, () => 'access'),
      'fault',
      'fault',
    ]);
    expect(run.eventsLeftOut).toBe(98);
    expect(run.lines.map(({ text }) => text)).toEqual(['line 0', 'line 1', 'line 98', 'line 99']);
    expect({ lines: run.linesLeftOut, after: run.leftOutAfter }).toEqual({ lines: 96, after: 2 });
  });

  test('a line without an end is cut', () => {
    const recorder = new RunRecorder();
    recorder.console('x'.repeat(1_000_000));
    expect(recorder.finish().lines[0]?.text.length).toBeLessThan(3000);
  });

  test('a second boot takes the place of the first', () => {
    const recorder = new RunRecorder();
    recorder.console('old', 5);
    recorder.event(access(0, 6));
    recorder.event(access(1, 7));
    recorder.console('new', 0.1);
    recorder.event(access(0, 1));
    const run = recorder.finish();
    expect(run.lines.map(({ text }) => text)).toEqual(['new']);
    expect(run.events.map(({ order }) => order)).toEqual([0]);
    const silent = new RunRecorder();
    silent.event(access(3));
    silent.event(access(0));
    expect(silent.finish().events).toHaveLength(1);
  });
});

describe('the columns of the page', () => {
  const model = sampleModel();
  const encode = (events: readonly DeviceEvent[]): ReturnType<typeof encodeEvents> => {
    const recorder = new RunRecorder();
    for (const event of events) recorder.event(event);
    return encodeEvents(model, recorder.finish());
  };

  test('one letter, one row, one distance for each event', () => {
    const v = { viommu: 'viommu0' };
    const virt = { start: 0xffff_f000n, end: 0xffff_ffffn };
    const columns = encode([
      { ...v, order: 0, time: 0, kind: 'probe', endpoint: 0x10 },
      { ...v, order: 1, time: 0.5, kind: 'attach', endpoint: 0x10, domain: 7 },
      { ...v, order: 2, time: 0.5, kind: 'map', domain: 7, virt, phys: 0x4000_0000n, flags: 3 },
      { ...v, order: 3, time: 0.75, kind: 'map', domain: 7, virt, phys: 0n, flags: 1, status: 4 },
      { ...v, order: 4, time: 1, kind: 'fault', endpoint: 0x18, reason: 'domain', write: true },
      { ...v, order: 5, time: 1.5, kind: 'msi', endpoint: 0x10, address: 0x809_0040n },
    ]);
    expect(columns).toEqual({
      clock: 'time',
      kinds: 'pammfi',
      who: [0, 0, 0, 0, 1, 0],
      at: [0, 5e6, 0, 2.5e6, 2.5e6, 5e6],
      address: '- - fffff000 fffff000 - 8090040',
      size: '- - 1000 1000 - -',
      physical: '40000000 0',
      flags: '--xrww',
      reasons: 'd',
      domain: [0],
      status: { 3: 4 },
      endpoints: [
        { name: 'disk0 (00:02.0)', drawn: 'disk0', id: 0x10, viommu: 'viommu0' },
        { name: 'nic0 (00:03.0)', drawn: 'nic0', id: 0x18, viommu: 'viommu0' },
      ],
      domains: [{ viommu: 'viommu0', domain: 7 }],
    });
  });

  test('without a clock, events are counted', () => {
    const columns = encode([access(0), access(5, 3), access(9)]);
    expect({ clock: columns.clock, at: columns.at }).toEqual({ clock: 'order', at: [0, 1, 1] });
  });

  test('a hundred thousand events are a few megabytes', () => {
    const recorder = new RunRecorder();
    for (const event of busyEvents(100_000)) recorder.event(event);
    const text = scriptJson(encodeEvents(model, recorder.finish()));
    expect(text.length).toBeLessThan(4 * 2 ** 20);
  });

  test('names: the topology’s, then the place, then the number', () => {
    const coverage = [
      {
        host: 'pcie0',
        segment: 1,
        rids: { start: 0x100, end: 0x1ff },
        viommu: 'viommu0',
        endpointId: 0x1_0100,
        place: model.place,
      },
    ];
    const nameOf = endpointNames(sampleModel({ coverage }));
    expect(nameOf('viommu0', 0x10).name).toBe('disk0 (00:02.0)');
    expect(nameOf('', 0x10).name).toBe('disk0 (00:02.0)');
    expect(nameOf('viommu0', 0x1_0108).name).toBe('0001:01:01.0');
    expect(nameOf('other', 0x1_0108).name).toBe('endpoint 0x10108');
  });
});

describe('text of others', () => {
  test('a value in a script element is the value, and nothing of HTML', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = scriptJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(text).not.toMatch(/[<>&\u2028\u2029]/u);
      }),
    );
  });

  test('markup has no mark left', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escapeMarkup(text)).not.toMatch(/[<>"']|&(?!(?:amp|lt|gt|quot|#39);)/u);
      }),
    );
    expect(escapeMarkup('\u0000\uD800a\u0007')).toBe('\uFFFD\uFFFDa\uFFFD');
  });

  test('the page does not depend on anything but its input', async () => {
    const one = await sampleReport({ events: busyEvents(300), lines: ['a', 'b'] });
    expect(await sampleReport({ events: busyEvents(300), lines: ['a', 'b'] })).toBe(one);
    expect(one).not.toMatch(/(?:src|href)=["']?(?:https?:)?\/\//u);
  });

  test('firmware that differs is set side by side', async () => {
    const page = await sampleReport({
      observation: sampleObservation({
        firmware: [
          { name: 'VIOT', outcome: 'different', differences: ['one <byte>'], edited: [] },
          { name: 'IORT', outcome: 'missing', differences: [], edited: [] },
        ],
      }),
      firmware: [{ name: 'VIOT', passed: 'same\nold <row>\n', seen: 'same\nnew <row>\n' }],
    });
    expect(page).toContain('<span class="removed">-old &lt;row&gt;</span>');
    expect(page).toContain('<span class="added">+new &lt;row&gt;</span>');
    expect(page).toContain('<code>one &lt;byte&gt;</code>');
    expect(page).toContain('the guest has none');
  });

  test('of a guest that rebooted, the first boot is told of as well', async () => {
    expect(await sampleReport()).not.toContain('first-boot');
    const before = sampleObservation({
      ending: { kind: 'panic', detail: 'reset <early>', tail: [] },
      firmware: [{ name: 'VIOT', outcome: 'different', differences: ['a byte'], edited: [] }],
      environment: { backend: 'sample', timings: { total: 3 }, notes: ['it was <cold>'] },
    });
    const page = await sampleReport({ observation: sampleObservation({ before }) });
    const section = page.slice(page.indexOf('<section id="first-boot"'));
    for (const words of ['reset &lt;early&gt;', 'a byte', 'it was &lt;cold&gt;', 'total 3.0 s']) {
      expect(section).toContain(words);
    }
    expect(section).toContain('<table class="counters">');
  });

  test('the list escapes names and files', () => {
    const verdict = judge(sampleModel({ name: '<b>"' }), sampleObservation());
    const page = reportIndex([{ file: 'a"b<.html', verdict }], '0.0.0');
    expect(page).toContain('href="a%22b%3C.html"');
    expect(page).not.toContain('<b>"');
  });
});

describe('boot --report', () => {
  test('one page for a topology, a list as well for several, a name for each', async () => {
    const one = join(scratch, 'one');
    const file = 'topologies/one-endpoint.yaml';
    const { code, err } = await cli('boot', file, '--backend', 'model', '--report', one);
    expect({ code, err: err.includes(`report: ${join(one, 'one-endpoint.html')}`) }).toEqual({
      code: 0,
      err: true,
    });
    expect(readdirSync(one)).toEqual(['one-endpoint.html']);
    const page = readFileSync(join(one, 'one-endpoint.html'), 'utf8');
    // The guest's own copy of the firmware, as source.
    expect(page).toContain('iommu-map = &lt;');
    const two = join(scratch, 'two');
    const both = await cli(
      'boot',
      file,
      '--backend',
      'model',
      '--firmware',
      'both',
      '--report',
      two,
    );
    expect(both.code).toBe(0);
    expect(readdirSync(two).toSorted()).toEqual([
      'index.html',
      'one-endpoint-model-acpi.html',
      'one-endpoint.html',
    ]);
    expect(readFileSync(join(two, 'one-endpoint-model-acpi.html'), 'utf8')).toContain('VIOT');
  });

  test('a directory that cannot be made is said before the guest starts', async () => {
    const { code, err } = await cli(
      'boot',
      'topologies/one-endpoint.yaml',
      '--backend',
      'model',
      '--report',
      '/proc/none/such',
    );
    expect(code).toBe(2);
    expect(err).toContain('/proc/none/such');
  });

  test('--quiet says nothing of it', async () => {
    const quiet = join(scratch, 'quiet');
    const { err } = await cli(
      'boot',
      'topologies/one-endpoint.yaml',
      '--backend',
      'model',
      '--quiet',
      '--report',
      quiet,
    );
    expect(err).toBe('');
    expect(readdirSync(quiet)).toHaveLength(1);
  });
});
