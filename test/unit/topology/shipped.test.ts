import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe as group, expect, test } from 'vitest';
import {
  describe,
  INPUT_RULES,
  jsonSchema,
  loadTopology,
  lookUpCoverage,
  rules,
  templateNames,
  type Model,
  type TreeDescription,
  type ViotDescription,
} from '../../../src/topology/index.ts';
import { keys, keyTable, type Schema } from '../../support/key-table.ts';

const root = resolve(import.meta.dirname, '../../..');
const folder = join(root, 'topologies');
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const invalid = readdirSync(join(folder, 'invalid')).filter((name) => name.endsWith('.yaml'));

function load(name: string): ReturnType<typeof loadTopology> {
  return loadTopology(relative(process.cwd(), join(folder, name)));
}

function modelOf(name: string): Model {
  const { model } = load(name);
  if (model === undefined) throw new Error(`${name} has no model`);
  return model;
}

/** First match wins, as in Linux's of_map_id. */
function treeId(tree: TreeDescription, host: string, rid: number): number | undefined {
  const rows = tree.hosts.find((h) => h.key === host)?.iommuMap?.rows ?? [];
  const row = rows.find((r) => rid >= r.ridBase && rid < r.ridBase + r.length);
  return row && row.outputBase + (rid - row.ridBase);
}

/** Last match wins, as in Linux's list_add. */
function viotId(viot: ViotDescription, segment: number, rid: number): number | undefined {
  let id: number | undefined;
  for (const node of viot.nodes) {
    if (node.type !== 'pci-range') continue;
    const { segments, rids, endpointStart } = node;
    if (segment < segments.start || segment > segments.end) continue;
    if (rid < rids.start || rid > rids.end) continue;
    id = ((segment - segments.start) << 16) + (rid - rids.start) + endpointStart;
  }
  return id;
}

/** The ends of every row and range, their neighbours, and a stride through the rest. */
function sample(model: Model): [string, number, number][] {
  return model.hosts.flatMap((host) => {
    const first = host.buses.start << 8;
    const last = (host.buses.end << 8) | 0xff;
    const rids = new Set<number>();
    for (let rid = first; rid <= last; rid += 251) rids.add(rid);
    for (const { host: of, rids: row } of model.coverage) {
      if (of !== host.id) continue;
      for (const rid of [row.start - 1, row.start, row.end, row.end + 1]) rids.add(rid);
    }
    return [...rids]
      .filter((rid) => rid >= first && rid <= last)
      .map((rid): [string, number, number] => [host.id, host.segment, rid]);
  });
}

group.each(files)('topologies/%s', (name) => {
  test('is clean', () => {
    expect(load(name).diagnostics).toEqual([]);
  });

  test('gives the same twice', () => {
    expect(load(name).model).toEqual(load(name).model);
    expect(describe(modelOf(name))).toEqual(describe(modelOf(name)));
  });

  test('says one endpoint ID for each requester in model, tree and VIOT', () => {
    const model = modelOf(name);
    const { tree, viot } = describe(model);
    const own = new Set(
      model.viommus.map(({ transport: t }) => (t.kind === 'pci' ? `${t.segment} ${t.rid}` : '')),
    );
    const samples = sample(model);
    expect(samples.length).toBeGreaterThan(0);
    for (const [host, segment, rid] of samples) {
      const id = lookUpCoverage(model.coverage, segment, rid)?.endpointId;
      if (tree !== undefined) expect(treeId(tree, host, rid)).toBe(id);
      // VIOT has no hole for the vIOMMU itself: a kernel never asks for it.
      if (viot !== undefined && !own.has(`${segment} ${rid}`)) {
        expect(viotId(viot, segment, rid)).toBe(id);
      }
      if (own.has(`${segment} ${rid}`)) expect(id).toBeUndefined();
    }
  });

  test('gives each endpoint the ID that its requester has', () => {
    const model = modelOf(name);
    for (const { location, viommu, endpointId } of model.endpoints) {
      if (location.kind !== 'pci' || location.form !== 'function') continue;
      const row = lookUpCoverage(model.coverage, location.segment, location.rids.start);
      expect(row).toEqual(viommu === undefined ? undefined : { viommu, endpointId });
    }
  });
});

group('the whole', () => {
  test('the large topology is said in a few rows', () => {
    const model = modelOf('large.yaml');
    const covered = model.coverage.reduce((n, r) => n + r.rids.end - r.rids.start + 1, 0);
    expect(covered).toBe(4 * 65_536 - 8);
    expect(model.viommus).toHaveLength(8);
    const { tree, viot } = describe(model);
    const rows = tree?.hosts.flatMap((host) => host.iommuMap?.rows ?? []);
    expect(rows).toHaveLength(4 * 4);
    // A range may run over its own vIOMMU, but not over another: that would translate it.
    expect(viot?.nodes).toHaveLength(8 + 4 * 3);
  });

  test('consecutive segments are one VIOT range', () => {
    const { viot } = describe(modelOf('segments.yaml'));
    const ranges = viot?.nodes.filter((node) => node.type === 'pci-range');
    expect(ranges?.map((range) => range.segments)).toEqual([
      { start: 0, end: 1 },
      { start: 2, end: 2 },
    ]);
  });

  test('a platform device has an ID above all segments', () => {
    const { viot, tree } = describe(modelOf('platform-device.yaml'));
    expect(viot?.nodes.filter((node) => node.type === 'mmio-endpoint')).toMatchObject([
      { endpoint: 0x10000, base: 0xa000200n },
    ]);
    expect(tree?.devices.map((device) => device.iommus.map((entry) => entry.ids))).toEqual([
      [[0x10000]],
      [],
    ]);
  });

  test('every rule of the readers has its bad topology, which breaks only that rule', () => {
    for (const { id } of INPUT_RULES) {
      const found = loadTopology(join(folder, 'invalid', `${id}.yaml`)).diagnostics;
      expect([id, [...new Set(found.map((d) => d.rule))]]).toEqual([id, [id]]);
      for (const { place } of found) {
        expect(place).toMatchObject({ kind: 'source', line: expect.any(Number) });
      }
    }
  });

  test('every bad topology is that of a rule', () => {
    const ids = new Set([...INPUT_RULES, ...rules].map((rule) => rule.id));
    expect(invalid.map((name) => name.replace('.yaml', '')).filter((id) => !ids.has(id))).toEqual(
      [],
    );
  });

  test('rule ids are unique', () => {
    const ids = [...INPUT_RULES, ...rules].map((rule) => rule.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('templates are known by name', () => {
    expect(templateNames()).toEqual(['emulator', 'q35', 'virt-arm64', 'virt-arm64-gicv2']);
  });
});

/** Prettier pads the columns of tables. */
function unpadded(table = ''): string {
  return table.trim().replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---');
}

group('JSON Schema', () => {
  const schema = jsonSchema() as Schema;
  const all = [...keys(schema)];

  test('describes every key', () => {
    expect(all.length).toBeGreaterThan(90);
    const mute = all.filter((key) => key.schema.description === undefined);
    expect(mute.map((key) => key.path).filter((path) => !path.endsWith('.type'))).toEqual([]);
  });

  // `UPDATE=1 npx vitest run --project unit test/unit/topology/shipped.test.ts` writes it anew.
  test('the table of keys in docs/reference/topology.md is that of the schema', () => {
    const path = join(root, 'docs/reference/topology.md');
    const text = readFileSync(path, 'utf8');
    const [before = '', after = ''] = text.split('<!-- keys -->\n', 2);
    const [table, rest = ''] = after.split('\n<!-- end of keys -->', 2);
    if (process.env['UPDATE'] === '1') {
      const fresh = `${before}<!-- keys -->\n${keyTable(schema)}\n<!-- end of keys -->${rest}`;
      writeFileSync(path, fresh);
    } else expect(unpadded(table)).toBe(unpadded(keyTable(schema)));
  });
});
