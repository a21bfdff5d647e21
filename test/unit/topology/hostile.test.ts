import { describe, expect, test } from 'vitest';
import { parseTopology } from '../../../src/topology/index.ts';
import { decode, TEXT_MAX } from '../../../src/topology/source/text.ts';

/** The first rule that each of these breaks. None may throw, and vitest's own limit is the clock. */
const TEXTS: readonly (readonly [string, string, string])[] = [
  ['flow lists, half a million deep', '['.repeat(500_000), 'yaml-too-big'],
  ['flow maps, deep', 'a: ' + '{a: '.repeat(200_000), 'yaml-too-big'],
  ['block lists on one line', '- '.repeat(500_000), 'yaml-too-big'],
  ['explicit keys on one line', '? '.repeat(500_000), 'yaml-too-big'],
  [
    'indentation',
    Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''),
    'yaml-too-big',
  ],
  ['many tokens', `a: [${'[],'.repeat(340_000)}]`, 'yaml-too-big'],
  ['an alias bomb', bomb(), 'yaml-too-big'],
  ['an alias in its own anchor', 'board: virt\nendpoints: &a [*a]\n', 'yaml-feature'],
  ['an alias without anchor', 'board: *nothing\n', 'yaml-feature'],
  ['a second document', 'board: virt\n---\nboard: q35\n', 'yaml-feature'],
  ['a directive', '%YAML 1.1\n---\nboard: virt\n', 'yaml-feature'],
  ['a tag', 'board: !!binary aGVsbG8=\n', 'yaml-feature'],
  ['a tag of its own', 'board: !js/function "x"\n', 'yaml-feature'],
  ['a merge key', 'board: virt\nmachine: { <<: { cpus: 1 } }\n', 'yaml-feature'],
  ['a map as a key', 'board: virt\n? { a: b }\n: c\n', 'yaml-feature'],
  ['a tab', 'board: virt\nmachine:\n\tcpus: 1\n', 'yaml-syntax'],
  ['an open quote', `board: "${'x'.repeat(900_000)}`, 'yaml-syntax'],
  ['nothing', '', 'yaml-syntax'],
  ['only comments', '# a\n'.repeat(1000), 'yaml-syntax'],
  ['a list at the top', '- 1\n', 'yaml-syntax'],
  [
    'a number of a million digits',
    `board: virt\nmachine: { cpus: ${'9'.repeat(900_000)} }\n`,
    'bad-number',
  ],
  [
    'keys of JavaScript objects',
    'board: virt\n__proto__: { a: 1 }\nconstructor: 1\n',
    'unknown-key',
  ],
];

function bomb(): string {
  const lines = ['board: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 40; i++) {
    lines.push(`k${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`);
  }
  return lines.join('\n');
}

describe('hostile text', () => {
  test.each(TEXTS)('%s', (_, text, rule) => {
    const { model, diagnostics } = parseTopology(text, 'hostile.yaml');
    expect(model).toBeUndefined();
    expect(diagnostics.map((d) => d.rule)).toContain(rule);
    expect(diagnostics.length).toBeLessThanOrEqual(300);
    for (const { message } of diagnostics) expect(message.length).toBeLessThan(400);
  });

  test('thousands of unknown keys are a hundred findings, and the last says how many more', () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `key${i}: 1\n`).join('');
    const { diagnostics } = parseTopology(`board: virt\n${keys}`, 'hostile.yaml');
    expect(diagnostics).toHaveLength(100);
    expect(diagnostics[99]?.message).toContain('and 19900 more of this kind');
  });

  test('names of JavaScript objects are names like any other', () => {
    const { model } = parseTopology(
      'extends: virt-arm64\nviommus: [{ id: constructor, at: 00:01.0 }]\n' +
        'endpoints: [{ id: toString, at: 00:02.0, device: virtio-blk }]\n' +
        'firmware: { overrides: { padding: 0 } }\n',
      'x.yaml',
    );
    expect(model?.coverage).toHaveLength(2);
    expect(model?.firmware.overrides?.viommus['constructor']).toBeUndefined();
  });
});

/** `00:02.0` … of the first functions of a segment. */
function functions(count: number): string[] {
  return Array.from({ length: count }, (_, rid) => {
    const part = (value: number): string => value.toString(16).padStart(2, '0');
    return `${part(rid >> 8)}:${part((rid >> 3) & 31)}.${rid & 7}`;
  });
}

describe('files that are long, and nothing else', () => {
  const endpoints = (count: number): string =>
    'extends: emulator\nviommus:\n  - { id: v0, mmio: 0xa000000 }\nendpoints:\n' +
    functions(count)
      .map((at, index) => `  - { id: e${index}, at: ${at} }\n`)
      .join('');
  const hosts = (count: number): string =>
    'extends: emulator\npci:\n  hosts:\n' +
    Array.from({ length: count }, (_, i) => `    - { id: h${i}, segment: ${i} }\n`).join('');
  const keys = (count: number): string =>
    `board: virt\n${Array.from({ length: count }, (_, i) => `key${i}: 1\n`).join('')}`;

  test.each([
    ['25,000 endpoints', endpoints(25_000)],
    ['25,000 hosts', hosts(25_000)],
    ['75,000 unknown keys', keys(75_000)],
  ])('%s are refused by their tokens, before anything is made of them', (_, text) => {
    expect(text.length).toBeLessThan(TEXT_MAX);
    const { diagnostics } = parseTopology(text, 'topologies/long.yaml');
    expect(diagnostics.map(({ rule, message }) => `${rule}: ${message}`)).toEqual([
      'yaml-too-big: more than 400000 YAML tokens',
    ]);
  });

  test('10,000 endpoints, each in a line of its own, are a topology', () => {
    const { model } = parseTopology(endpoints(10_000), 'topologies/long.yaml');
    expect(model?.endpoints).toHaveLength(10_000);
  });

  test('the first thousand unknown keys are compared with known ones', () => {
    const text = `${keys(99)}viommu: 1\n`;
    const hint = (from: string): unknown =>
      parseTopology(from, 'x.yaml').diagnostics.find(({ message }) => message.includes('viommu'));
    expect(hint(text)).toMatchObject({
      message: expect.stringContaining('did you mean') as string,
    });
  });
});

describe('hostile bytes', () => {
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from([0x61, 0x0a, ...values]);

  test.each([
    ['NUL', bytes(0x62, 0), 2, 2],
    ['a bell', bytes(7), 2, 1],
    ['DEL', bytes(0x7f), 2, 1],
    ['a lone continuation byte', bytes(0x62, 0x80), 2, 2],
    ['an overlong form', bytes(0xc0, 0xaf), 2, 1],
    ['a surrogate', bytes(0xed, 0xa0, 0x80), 2, 1],
    ['a cut sequence', bytes(0xe2, 0x82), 2, 1],
  ])('%s', (_, input, line, column) => {
    expect(decode(input, 'x')).toMatchObject({
      problem: { rule: 'not-text', place: { kind: 'source', line, column } },
    });
  });

  test('a byte-order mark and any other character are text', () => {
    const text = new TextEncoder().encode('\ufeffname: "€ \ufffd 🦊"\n');
    expect(decode(text, 'x')).toMatchObject({ source: { text: 'name: "€ \ufffd 🦊"\n' } });
  });

  test('the limit is one mebibyte', () => {
    expect(TEXT_MAX).toBe(1 << 20);
  });
});
