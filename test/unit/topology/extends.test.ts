import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadTopology, parseTopology } from '../../../src/topology/index.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'viommu-topo-extends-'));
  mkdirSync(join(dir, 'sub'));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function write(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

test('maps merge, lists of named items merge by id, other lists are replaced', () => {
  write(
    'base.yaml',
    `extends: virt-arm64
name: base
machine: { cpus: 4 }
viommus:
  - { id: a, at: 00:01.0, features: [MAP_UNMAP, PROBE], queues: { event: { size: 64 } } }
  - { id: b, at: 00:02.0 }
`,
  );
  const file = write(
    'top.yaml',
    `extends: ./base.yaml
machine: { memory: 1G }
pci: { hosts: [{ id: pcie0, viommu: b }] }
viommus:
  - { id: c, at: 00:03.0 }
  - { id: a, features: [MAP_UNMAP], queues: { request: { size: 32 } } }
`,
  );
  const { model, diagnostics, sources } = loadTopology(file);
  expect(diagnostics.filter((d) => d.severity === 'error')).toEqual([]);
  expect(model?.name).toBe('top');
  expect(model?.cpus).toBe(4);
  expect(model?.memory).toEqual([{ start: 0x40000000n, end: 0x7fffffffn }]);
  expect(model?.hosts[0]).toMatchObject({ viommu: 'b', doorbell: 'its0' });
  expect(model?.viommus.map((v) => v.id)).toEqual(['a', 'b', 'c']);
  expect(model?.viommus[0]).toMatchObject({
    features: ['MAP_UNMAP'],
    requestQueue: { size: 32 },
    eventQueue: { size: 64 },
    places: { at: { file: join(dir, 'base.yaml') }, features: { file } },
  });
  expect([...sources.keys()]).toEqual([file, join(dir, 'base.yaml'), 'templates/virt-arm64.yaml']);
});

test('an empty list replaces a list of named items', () => {
  const { model } = parseTopology(
    'extends: virt-arm64\ndoorbells: []\npci: { hosts: [{ id: pcie0, doorbell: none }] }\n',
    'x.yaml',
  );
  expect(model?.doorbells).toEqual([]);
});

test('a relative path starts from the file that has it', () => {
  write('sub/leaf.yaml', 'extends: ../root.yaml\n');
  write('root.yaml', 'extends: virt-arm64\nmachine: { cpus: 3 }\n');
  const file = write('sub/top.yaml', 'extends: ./leaf.yaml\n');
  expect(loadTopology(file).model?.cpus).toBe(3);
});

test('a cycle over two files is reported where it closes', () => {
  write('ping.yaml', 'extends: ./pong.yaml\n');
  write('pong.yaml', 'extends: ./ping.yaml\n');
  const { diagnostics, model } = loadTopology(join(dir, 'ping.yaml'));
  expect(model).toBeUndefined();
  expect(diagnostics).toMatchObject([
    { rule: 'extends-cycle', place: { file: join(dir, 'pong.yaml'), line: 1, column: 10 } },
  ]);
});

test('a long chain is refused', () => {
  for (let i = 0; i < 12; i++) write(`chain${i}.yaml`, `extends: ./chain${i + 1}.yaml\n`);
  write('chain12.yaml', 'board: virt\n');
  const { diagnostics } = loadTopology(join(dir, 'chain0.yaml'));
  expect(diagnostics.map((d) => d.rule)).toEqual(['extends-cycle']);
});

test.each([
  ['./missing.yaml', 'there is no such file'],
  ['./sub', 'is a directory|not a regular file'],
  ['/dev/zero', 'not a regular file'],
  ['virt_arm64', 'did you mean "virt-arm64"'],
])('extends: %s', (name, reason) => {
  const { diagnostics } = loadTopology(write('bad.yaml', `extends: ${name}\n`));
  expect(diagnostics).toMatchObject([{ rule: 'file-unreadable', place: { line: 1, column: 10 } }]);
  expect(diagnostics[0]?.message).toMatch(new RegExp(reason));
});

test('a topology that does not exist is a diagnostic', () => {
  expect(loadTopology(join(dir, 'nothing.yaml')).diagnostics).toMatchObject([
    { rule: 'file-unreadable', place: { kind: 'file' } },
  ]);
});

test('an absolute path is shown as it is written', () => {
  const { diagnostics } = parseTopology('extends: /no/such.yaml\n', 'sub/x.yaml');
  expect(diagnostics[0]).toMatchObject({ rule: 'file-unreadable' });
  expect(diagnostics[0]?.message).toMatch(/^cannot read "\/no\/such\.yaml"/);
  const base = write('absolute.yaml', 'extends: virt-arm64\nmachine: { memory: 1 }\n');
  const places = parseTopology(`extends: ${base}\n`, 'sub/x.yaml').diagnostics.map((d) => d.place);
  expect(places).toMatchObject([{ file: base }]);
});
