import { readFileSync, readdirSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { afterAll, describe, expect, test } from 'vitest';
import { topologyDot, topologySvg } from '../../../src/report/index.ts';
import { loadTopology, type Endpoint, type Model } from '../../../src/topology/index.ts';
import { cli } from '../../support/cli.ts';
import { endpoint, PLACE, sampleModel } from '../scenario/samples.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-graph-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function shipped(name: string): Model {
  const { model } = loadTopology(`topologies/${name}.yaml`);
  if (model === undefined) throw new Error(`${name} does not load`);
  return model;
}

/** Text of an element, whatever is around it. */
function texts(svg: string): string[] {
  return Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/gu), ([, text]) => text ?? '');
}

function ids(svg: string): string[] {
  return Array.from(svg.matchAll(/<g id="([^"]*)"/gu), ([, id]) => id ?? '');
}

/** Class of the element with an id. */
function classOf(svg: string, id: string): string | undefined {
  return new RegExp(`<g id="${id}" class="([^"]*)"`, 'u').exec(svg)?.[1];
}

describe('the picture of a topology', () => {
  test('every shipped topology is well-formed SVG with all its parts, the same each time', async () => {
    const names = readdirSync('topologies')
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => name.slice(0, -5));
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) {
      const model = shipped(name);
      const svg = await topologySvg(model);
      expect(XMLValidator.validate(svg), name).toBe(true);
      expect(await topologySvg(model), name).toBe(svg);
      const drawn = ids(svg);
      expect(new Set(drawn).size, name).toBe(drawn.length);
      expect(drawn, name).toEqual(
        expect.arrayContaining([
          ...model.hosts.map(({ id }) => `host-${id}`),
          ...model.viommus.map(({ id }) => `viommu-${id}`),
          ...model.doorbells.map(({ id }) => `doorbell-${id}`),
          ...model.reserved.map(({ id }) => `region-${id}`),
          ...model.endpoints.map(({ id }) => `endpoint-${id}`),
        ]),
      );
    }
  });

  test('says who is translated by what, with its ID, and who bypasses', async () => {
    const svg = await topologySvg(shipped('bypass'));
    expect(texts(svg)).toEqual(
      expect.arrayContaining(['disk0', '00:02.0 · virtio-blk', 'ID 0x10', 'viommu0', 'its0']),
    );
    expect(classOf(svg, 'endpoint-disk0')).toBe('node endpoint');
    expect(classOf(svg, 'endpoint-disk1')).toBe('node endpoint bypass');
    const titles = Array.from(svg.matchAll(/<title>([^<]*)<\/title>/gu), ([, text]) => text);
    expect(titles).toEqual(
      expect.arrayContaining([
        'disk0 is translated by viommu0',
        'disk1 bypasses translation',
        'MSIs of pcie0 go to its0',
        'viommu0 reaches guest memory through its mappings',
      ]),
    );
  });

  test('MSIs go through the vIOMMU where the guest maps the doorbell', async () => {
    const svg = await topologySvg(shipped('software-doorbell'));
    expect(svg).toContain('<title>MSIs of viommu0 go to its0</title>');
    expect(texts(svg)).toContain('mapped by the guest');
  });

  test('is accessible: a role, a title, a description in words; and knows dark rooms', async () => {
    const svg = await topologySvg(shipped('reserved-regions'));
    const { svg: root } = new XMLParser({ ignoreAttributes: false }).parse(svg) as {
      svg: Record<string, unknown>;
    };
    expect(root['@_role']).toBe('img');
    expect(root['@_aria-labelledby']).toBe('topology-title topology-desc');
    expect(svg).toContain('<title id="topology-title">Topology reserved-regions</title>');
    const described = /<desc id="topology-desc">([^<]*)<\/desc>/u.exec(svg)?.[1];
    expect(described).toContain('disk0, 00:02.0 · virtio-blk, ID 0x10: behind viommu0.');
    expect(described).toContain('hole0, reserved, by PROBE, 0xe0000000 – 0xefffffff.');
    expect(svg).toContain('@media (prefers-color-scheme: dark)');
  });

  test('text of a file cannot become markup, in SVG or in DOT', async () => {
    const hostile = '</desc><script>alert(1)</script> "\\" & \u0007 ]]> --> \\';
    const svg = await topologySvg(sampleModel({ name: hostile, description: hostile }));
    expect(XMLValidator.validate(svg)).toBe(true);
    expect(svg).not.toMatch(/<script/iu);
    expect(svg).toContain('&lt;script&gt;');
    expect(topologyDot(sampleModel({ name: 'a"b\\' }))).toMatch(/^digraph "a\\"b\\\\" \{$/mu);
  });
});

describe('many endpoints', () => {
  const functions = (count: number, make: (index: number) => Endpoint): Model =>
    sampleModel({ endpoints: Array.from({ length: count }, (_, index) => make(index)) });

  test('ten of a bus are drawn one by one, eleven in step are one node', async () => {
    const make = (index: number): Endpoint => endpoint(`vf${index}`, 0x100 + index, 'virtio-net');
    const ten = await topologySvg(functions(10, make));
    expect(ids(ten).filter((id) => id.startsWith('endpoint-'))).toHaveLength(10);
    const eleven = await topologySvg(functions(11, make));
    expect(texts(eleven)).toEqual(
      expect.arrayContaining([
        '11 functions',
        'vf0 … vf10',
        '01:00.0 … 01:01.2',
        'IDs 0x100 – 0x10a',
      ]),
    );
    expect(ids(eleven).filter((id) => id.startsWith('endpoint-'))).toEqual([]);
  });

  test('a function past the vIOMMU divides a run', async () => {
    const svg = await topologySvg(
      functions(600, (index) =>
        endpoint(`vf${index}`, 0x100 + index, 'virtio-net', index === 512 ? null : 'viommu0'),
      ),
    );
    expect(texts(svg)).toEqual(expect.arrayContaining(['512 functions', 'vf512', '87 functions']));
    expect(classOf(svg, 'endpoint-vf512')).toBe('node endpoint bypass');
  });

  test('5,000 of which no two neighbours agree are two nodes', async () => {
    const model = functions(5000, (index) =>
      endpoint(`vf${index}`, 0x100 + index, 'virtio-net', index % 2 === 0 ? 'viommu0' : null),
    );
    const svg = await topologySvg(model);
    expect(texts(svg).filter((text) => text === '2,500 functions')).toHaveLength(2);
    expect(texts(svg)).toContain('IDs 0x100 – 0x1486, with gaps');
    expect(svg.length).toBeLessThan(40_000);
  });

  test('hosts, bridges, vIOMMUs and regions are counted where they are too many', async () => {
    const model = sampleModel();
    const [host] = model.hosts;
    const [viommu] = model.viommus;
    if (host === undefined || viommu === undefined) throw new Error('no sample');
    const bridges = Array.from({ length: 40 }, (_, index) => ({
      id: `rp${index}`,
      kind: 'root-port' as const,
      rid: 0x100 + index,
      buses: { start: index + 2, end: index + 2 },
      hotplug: false,
      place: PLACE,
    }));
    const many = sampleModel({
      hosts: Array.from({ length: 300 }, (_, index) => ({
        ...host,
        id: `pcie${index}`,
        segment: index,
        bridges,
      })),
      viommus: Array.from({ length: 100 }, (_, index) => ({ ...viommu, id: `viommu${index}` })),
      reserved: Array.from({ length: 100 }, (_, index) => ({
        id: `r${index}`,
        range: { start: BigInt(index) << 20n, end: (BigInt(index) << 20n) + 0xfffn },
        type: 'reserved' as const,
        via: ['probe' as const],
        endpoints: [],
        viommu: `viommu${index}`,
        place: PLACE,
      })),
      endpoints: [],
    });
    const svg = await topologySvg(many);
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        '285 more host bridges',
        '77 more vIOMMUs',
        '85 more regions',
        '40 bridges, not drawn',
      ]),
    );
    expect(ids(svg).filter((id) => /^host-pcie\d+$/u.test(id))).toHaveLength(15);
  });
});

describe('viommu-topo graph', () => {
  test('prints SVG, or DOT; the name of the output says which', async () => {
    const file = 'topologies/several-endpoints.yaml';
    const { code, out } = await cli('graph', file);
    expect({ code, start: out.slice(0, 5) }).toEqual({ code: 0, start: '<svg ' });
    expect((await cli('graph', file, '--format', 'dot')).out).toMatch(
      /^digraph "several-endpoints"/u,
    );
    const dot = join(scratch, 'a.dot');
    expect(await cli('graph', file, '-o', dot)).toEqual({ code: 0, out: '', err: '' });
    expect(readFileSync(dot, 'utf8')).toMatch(/^digraph/u);
    expect((await cli('graph', file, '-o', join(scratch, 'no', 'a.svg'))).code).toBe(2);
  });

  test('a topology with errors is drawn only when asked for', async () => {
    const file = 'topologies/invalid/iommu-map-overlap.yaml';
    expect((await cli('graph', file)).code).toBe(2);
    expect((await cli('graph', file, '--force')).out).toContain('<svg ');
  });

  test('build writes the same picture', async () => {
    const file = join(scratch, 'one.yaml');
    writeFileSync(file, 'extends: virt-arm64\nviommus: [{ id: viommu0, at: 00:01.0 }]\n');
    const out = join(scratch, 'out');
    expect((await cli('build', file, '-o', out)).code).toBe(0);
    const { out: drawn } = await cli('graph', file);
    expect(readFileSync(join(out, 'topology.svg'), 'utf8')).toBe(drawn);
  });
});
