import { describe, expect, test } from 'vitest';
import { parseTopology, type Diagnostic } from '../../../src/topology/index.ts';

const FILE = 'topologies/test.yaml';

/** `rule line:column "source text"` of each finding, in order. */
function check(text: string): string[] {
  const { diagnostics, sources } = parseTopology(text, FILE);
  return diagnostics.map((found) => show(found, sources));
}

function show({ rule, place }: Diagnostic, sources: ReadonlyMap<string, string>): string {
  if (place.kind !== 'source') return `${rule} ${place.kind}`;
  const words = sources.get(place.file)?.slice(place.start, place.limit);
  return `${rule} ${place.line}:${place.column} ${words}`;
}

const BASE = 'extends: virt-arm64\nviommus:\n  - { id: viommu0, at: 00:01.0 }\n';

describe('spans', () => {
  test.each([
    [`${BASE}machine: { cpus: 0x }\n`, 'bad-number 4:18 0x'],
    [`${BASE}machine: { cpu: 1 }\n`, 'unknown-key 4:12 cpu'],
    [
      `${BASE}machine: { memory: [0x4000_0000-0x4fff_ffff, 0x20-0x1] }\n`,
      'bad-range 4:46 0x20-0x1',
    ],
    [`${BASE}endpoints: { id: a }\n`, 'wrong-type 4:12 { id: a }'],
    [`${BASE}endpoints: [{ id: a, at: 00:02.9 }]\n`, 'bad-bdf 4:26 00:02.9'],
    [`${BASE}endpoints: [{ id: a, at: 00:02.0, device: floppy }]\n`, 'bad-choice 4:43 floppy'],
    [
      `${BASE}endpoints: [{ id: a, at: 00:02.0, device: { kind: virtio-blk, sise: 1M } }]\n`,
      'unknown-key 4:63 sise',
    ],
    [
      `${BASE}endpoints: [{ id: a, at: 00:02.0, device: { kind: virtio-blk, size: x } }]\n`,
      'bad-number 4:69 x',
    ],
    [`${BASE}endpoints: [{ id: a, at: 00:02.0, viommu: its0 }]\n`, 'unknown-name 4:43 its0'],
    [`${BASE}endpoints: [{ id: a, at: 0003:00:02.0 }]\n`, 'bus-outside-host 4:26 0003:00:02.0'],
    [`${BASE}guest: { kernel: six }\n`, 'bad-number 4:18 six'],
    [`${BASE}machine:\n  cpus: 1\n  cpus: 2\n`, 'duplicate-key 6:3 cpus'],
    [`${BASE}expect: { log: { absent: ["["] } }\n`, 'bad-pattern 4:27 "["'],
    [`${BASE}firmware: { overrides: { hosts: { pcie9: {} } } }\n`, 'unknown-name 4:35 pcie9'],
    [
      `${BASE}firmware: { overrides: { hosts: { pcie0: { iommu-map: [[0, vio, 0, 8]] } } } }\n`,
      'unknown-name 4:60 vio',
    ],
    [
      'board: virt\nviommus:\n  - id: a\n    at: 00:01.0\n    granule: 3K\n',
      'bus-outside-host 4:9 00:01.0',
    ],
  ])('%j', (text, expected) => {
    expect(check(text)).toEqual([expected]);
  });

  test('a value from a template points into the template', () => {
    const text = `${BASE}machine: { gic: { version: 2 } }\n`;
    expect(check(text)).toEqual(['board-lacks 13:23 its']);
    const [found] = parseTopology(text, FILE).diagnostics;
    expect(found?.place.file).toBe('templates/virt-arm64.yaml');
  });

  test('CRLF lines and columns after tabs in comments count as an editor does', () => {
    expect(check('# \t x\r\nboard: virtt\r\n')).toEqual(['bad-choice 2:8 virtt']);
  });
});

test('all mistakes come in one run: form, names and addresses', () => {
  const found = check(`extends: virt-arm64
machine: { cpuss: 1 }
viommus:
  - { id: viommu0, at: 00:01.0 }
endpoints:
  - { id: disk0, at: 00:01.0, device: virtio-blk }
  - { id: disk0, at: 00:03.0 }
  - { id: disk2, at: 00:04.0, viommu: viommu9 }
  - { id: disk3, at: 00:05.0, device: virtio-blk, viommu: none, endpoint-id: 1 }
`);
  expect(found).toEqual([
    'unknown-key 2:12 cpuss',
    'slot-conflict 6:22 00:01.0',
    'duplicate-id 7:11 disk0',
    'unknown-name 8:39 viommu9',
    'not-translated 9:78 1',
  ]);
});

test('what was dropped for its own mistake is not unknown as well', () => {
  const found = check(`extends: virt-arm64
viommus:
  - { id: viommu0, at: 00:01.0, granule: x }
pci: { hosts: [{ id: pcie0, viommu: viommu0 }] }
`);
  expect(found).toEqual(['bad-number 3:42 x']);
});

test('an unknown key has a hint, and the list of those that are known', () => {
  const [first] = parseTopology('board: virt\nfirmwear: {}\n', FILE).diagnostics;
  expect(first?.message).toBe('unknown key "firmwear" (did you mean "firmware"?)');
  expect(first?.cure).toContain('reserved-regions');
});

test('two places that disagree are both named', () => {
  const { diagnostics } = parseTopology(
    `${BASE}endpoints:\n  - { id: a, at: 00:08.0-00:09.7 }\n  - { id: b, at: 00:09.0-00:0a.7 }\n`,
    FILE,
  );
  expect(diagnostics[0]).toMatchObject({
    rule: 'claim-conflict',
    place: { line: 6 },
    related: [{ place: { line: 5 } }],
  });
});

describe('sizes', () => {
  const memory = (value: string, more = ''): string =>
    `${BASE}machine: { memory: ${value} }\n${more}`;
  const disk = (size: string, kind = 'virtio-blk'): string =>
    `${BASE}endpoints: [{ id: a, at: 00:02.0, device: { kind: ${kind}, size: ${size} } }]\n`;

  test.each([
    [memory('1'), ['memory-size 4:20 1']],
    [memory('0'), ['memory-size 4:20 0']],
    [memory('63M'), ['memory-size 4:20 63M']],
    [memory('64M'), []],
    [memory('0x8000800'), ['memory-size 4:20 0x8000800']],
    [memory('0x8001000'), []],
    [memory('0x8001000', 'guest: { page-size: 64K }\n'), ['memory-size 4:20 0x8001000']],
    [
      memory('[0x40000000-0x4fffffff, 0x50000800-0x5fffffff]'),
      ['memory-size 4:44 0x50000800-0x5fffffff'],
    ],
    [memory('[0x40000000-0x40ffffff, 0x50000000-0x52ffffff]'), []],
    ['extends: q35\nmachine: { memory: 900T }\n', ['memory-size 2:20 900T']],
    [memory('1', 'guest: { page-size: 8K }\n'), ['memory-size 4:20 1', 'guest-page 5:21 8K']],
    [disk('1'), ['disk-size 4:69 1']],
    [disk('512'), []],
    [disk('1000', 'nvme'), ['disk-size 4:63 1000']],
    [disk('64G'), []],
    [disk('0x10_0000_0200'), ['disk-size 4:69 0x10_0000_0200']],
    [disk('900T'), ['disk-size 4:69 900T']],
    [disk('1', 'generic'), []],
  ])('%j', (text, expected) => {
    expect(check(text)).toEqual(expected);
  });
});

describe('endpoint IDs that do not fit 32 bits', () => {
  const cures = (text: string): unknown[] =>
    parseTopology(text, FILE)
      .diagnostics.filter(({ rule }) => rule === 'endpoint-id-range')
      .map(({ cure, place }) => [
        cure,
        show({ rule: '', place } as Diagnostic, new Map([[FILE, text]])),
      ]);

  test('one that is stated', () => {
    const text = `${BASE}endpoints: [{ id: a, at: 00:08.0-00:0f.7, endpoint-id: 0xffff_fffe }]\n`;
    expect(cures(text)).toEqual([['lower its `endpoint-id`', ' 4:56 0xffff_fffe']]);
  });

  test('one that comes from the host', () => {
    const text = `${BASE}pci: { hosts: [{ id: pcie0, endpoint-id-base: 0xffff_fff0 }] }\nendpoints: [{ id: a, at: 00:02.0 }]\n`;
    expect(cures(text)).toEqual([
      ['lower its `endpoint-id-base`', ' 4:47 0xffff_fff0'],
      ['lower `endpoint-id-base` of the host "pcie0", or state an `endpoint-id`', ' 5:19 a'],
    ]);
  });

  test('one of a platform device, above the last segment', () => {
    const text = `extends: emulator\nviommus:\n  - { id: v0, mmio: 0xa000000 }\npci: { hosts: [{ id: pcie0, segment: 0xffff }] }\nendpoints: [{ id: a, mmio: 0xa000200, viommu: v0 }]\n`;
    expect(cures(text)).toEqual([['state an `endpoint-id` that nothing else has', ' 5:19 a']]);
  });
});

test('a number that is too large is shown as it is written', () => {
  const message = (value: string): string | undefined =>
    parseTopology(`${BASE}machine: { memory: ${value} }\n`, FILE).diagnostics[0]?.message;
  expect(message('0x1ffff0000ffff0000')).toBe('memory: "0x1ffff0000ffff0000" does not fit 64 bits');
  expect(message('99999999999999999999')).toBe(
    'memory: "99999999999999999999" does not fit 64 bits',
  );
  expect(message('-5')).toBe('memory: -5 is negative');
});
