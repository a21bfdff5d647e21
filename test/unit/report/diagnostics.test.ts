import { expect, test } from 'vitest';
import { diagnosticsJson, renderDiagnostics } from '../../../src/report/index.ts';
import type { Diagnostic, SourcePlace } from '../../../src/topology/index.ts';

const TEXT = [
  'name: two-disks',
  'endpoints:',
  '  - { id: disk0, at: 00:02.0, endpoint-id: 0x10 }',
  '  - { id: disk1, at: 00:03.0, endpoint-id: 0x10 }',
  '\tbad: tab',
  '',
].join('\n');
const SOURCES = new Map([['two.yaml', TEXT]]);

function at(word: string, from = 0): SourcePlace {
  const start = TEXT.indexOf(word, from);
  const before = TEXT.slice(0, start).split('\n');
  return {
    kind: 'source',
    file: 'two.yaml',
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1,
    start,
    limit: start + word.length,
  };
}

const collision: Diagnostic = {
  rule: 'endpoint-id-collision',
  severity: 'error',
  place: at('0x10', TEXT.indexOf('disk1')),
  message: 'disk1 has endpoint ID 0x10, which disk0 has already',
  effect: 'both attach to one endpoint of the device, and I/O hangs',
  cure: 'give disk1 an ID of its own',
  related: [{ place: at('0x10'), message: 'disk0 has it here' }],
};

test('place, line, caret, second place, effect, cure and count', () => {
  expect(renderDiagnostics([collision], SOURCES, { color: false })).toBe(
    [
      'two.yaml:4:44: error: disk1 has endpoint ID 0x10, which disk0 has already [endpoint-id-collision]',
      '  4 |   - { id: disk1, at: 00:03.0, endpoint-id: 0x10 }',
      '    |                                            ^~~~',
      '  also two.yaml:3:44: disk0 has it here',
      '  3 |   - { id: disk0, at: 00:02.0, endpoint-id: 0x10 }',
      '    |                                            ^~~~',
      '  effect: both attach to one endpoint of the device, and I/O hangs',
      '  cure:   give disk1 an ID of its own',
      '',
      '1 error',
      '',
    ].join('\n'),
  );
});

test('nothing to say', () => {
  expect(renderDiagnostics([], SOURCES, { color: true })).toBe('');
});

test('the caret stands below its character after a tab', () => {
  const text = renderDiagnostics([{ ...collision, place: at('bad'), related: [] }], SOURCES, {
    color: false,
  });
  expect(text).toContain('  5 | \tbad: tab\n    | \t^~~\n');
});

test('a very long line is cut around the place', () => {
  const long = `${'a'.repeat(5000)}BAD${'b'.repeat(5000)}`;
  const place = { ...at('name'), line: 1, column: 5001, start: 5000, limit: 5003 };
  const text = renderDiagnostics(
    [{ ...collision, place, related: [] }],
    new Map([['two.yaml', long]]),
    {
      color: false,
    },
  );
  const [, line = '', caret = ''] = text.split('\n');
  expect(line.length).toBeLessThan(120);
  expect(line.slice(caret.indexOf('^'), caret.indexOf('^') + 3)).toBe('BAD');
});

test('a span over several lines ends its caret with the first', () => {
  const place = { ...at('endpoints:'), limit: TEXT.length };
  const text = renderDiagnostics([{ ...collision, place, related: [] }], SOURCES, { color: false });
  expect(text).toContain('  2 | endpoints:\n    | ^~~~~~~~~~\n');
});

test('places in firmware, and files that are not there', () => {
  const places = [
    { kind: 'tree', file: 'a.dtb', path: '/pcie', property: 'iommu-map', offset: 0x1c0 },
    { kind: 'table', file: 'viot.aml', table: 'VIOT', offset: 0x30, field: 'output_node' },
    { kind: 'file', file: 'x\u001B[2J.yaml' },
    { ...at('name'), file: 'gone.yaml' },
    { ...at('name'), line: 999 },
  ] as const;
  const text = renderDiagnostics(
    places.map((place) => ({ rule: 'r', severity: 'warning', place, message: 'm', related: [] })),
    SOURCES,
    { color: false },
  );
  expect(text.split('\n').filter((line) => line !== '')).toEqual([
    'a.dtb: /pcie iommu-map (offset 0x1c0): warning: m [r]',
    'viot.aml: VIOT+0x30 output_node: warning: m [r]',
    'x\\x1b[2J.yaml: warning: m [r]',
    'gone.yaml:1:1: warning: m [r]',
    'two.yaml:999:1: warning: m [r]',
    '5 warnings',
  ]);
});

test('ten thousand diagnostics are counted, not printed', () => {
  const many = Array.from({ length: 10_000 }, () => collision);
  const text = renderDiagnostics(many, SOURCES, { color: false, limit: 3 });
  expect(text.match(/error:/gu)).toHaveLength(3);
  expect(text).toContain('… and 9997 more\n\n10000 errors\n');
});

test('JSON', () => {
  const parsed = JSON.parse(diagnosticsJson([collision])) as Record<string, unknown>;
  expect(parsed).toMatchObject({
    schema: 1,
    kind: 'viommu-topo/diagnostics',
    errors: 1,
    warnings: 0,
  });
  expect(parsed['diagnostics']).toEqual([collision]);
});
