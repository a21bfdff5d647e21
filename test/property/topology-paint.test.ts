import fc from 'fast-check';
import { expect, test } from 'vitest';
import { disjoint, paintOver, punch, type Stroke } from '../../src/topology/resolve/paint.ts';
import { lookUpCoverage, parseTopology } from '../../src/topology/index.ts';

const SPACE = 64;

/** Disjoint sorted strokes in a small space, some without ID. */
const layer = fc
  .array(
    fc.record({
      start: fc.nat(SPACE - 1),
      length: fc.integer({ min: 1, max: 12 }),
      value: fc.constantFrom('a', 'b', 'none'),
      id: fc.option(fc.nat(1000), { nil: undefined }),
    }),
    { maxLength: 10 },
  )
  .map((items) =>
    disjoint(
      items.map(({ start, length, value, id }): Stroke<string> => {
        const end = Math.min(SPACE - 1, start + length - 1);
        return id === undefined ? { start, end, value } : { start, end, value, id };
      }),
      () => undefined,
    ),
  );

/** What a stroke says of each position: the slow and obvious way. */
function naive(layers: readonly (readonly Stroke<string>[])[]): Map<number, string> {
  const map = new Map<number, string>();
  for (const strokes of layers) {
    for (const { start, end, value, id } of strokes) {
      for (let at = start; at <= end; at++) {
        map.set(at, `${value} ${id === undefined ? '' : id + (at - start)}`);
      }
    }
  }
  return map;
}

function sorted(map: ReadonlyMap<number, string>): [number, string][] {
  return [...map].toSorted(([a], [b]) => a - b);
}

test('painting is what a map per position says', () => {
  fc.assert(
    fc.property(fc.array(layer, { maxLength: 4 }), (layers) => {
      const painted = layers.reduce<Stroke<string>[]>((low, up) => paintOver(low, up), []);
      expect(sorted(naive([painted]))).toEqual(sorted(naive(layers)));
      for (const [index, stroke] of painted.entries()) {
        expect(stroke.start).toBeLessThanOrEqual(stroke.end);
        expect(stroke.start).toBeGreaterThan(painted[index - 1]?.end ?? -1);
      }
    }),
    { numRuns: 500 },
  );
});

test('punching holes takes exactly these away', () => {
  fc.assert(
    fc.property(layer, fc.array(fc.nat(SPACE - 1)), (strokes, holes) => {
      const rest = punch(
        strokes,
        holes.toSorted((a, b) => a - b),
      );
      const expected = naive([strokes]);
      for (const hole of holes) expected.delete(hole);
      expect(sorted(naive([rest]))).toEqual(sorted(expected));
    }),
    { numRuns: 500 },
  );
});

const entry = fc.record({
  form: fc.constantFrom('function', 'range', 'buses'),
  at: fc.nat(0x3ff),
  length: fc.integer({ min: 2, max: 40 }),
  viommu: fc.constantFrom('v0', 'v1', 'none'),
});

const SPECIFICITY = ['buses', 'range', 'function'];

test('coverage of a topology is what its entries say, the more specific last', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
      const bdf = (rid: number): string =>
        `${(rid >> 8).toString(16)}:${((rid >> 3) & 31).toString(16)}.${rid & 7}`;
      const lines = entries.map(({ form, at, length, viommu }, index) => {
        const where = {
          function: `at: "${bdf(at)}"`,
          range: `at: "${bdf(at)}-${bdf(Math.min(0x3ff, at + length))}"`,
          buses: `buses: ${at >> 8}`,
        }[form];
        return `  - { id: e${index}, ${where}, viommu: ${viommu} }`;
      });
      const text = [
        'extends: emulator',
        'pci: { hosts: [{ id: pcie0, buses: 0x0-0x3, viommu: v0 }] }',
        'viommus: [{ id: v0, at: 00:01.0 }, { id: v1, at: 02:03.1 }]',
        `endpoints:${lines.length === 0 ? ' []' : ''}`,
        ...lines,
      ].join('\n');
      const { model, diagnostics } = parseTopology(text, 'x.yaml');
      if (model === undefined) {
        // Entries that claim the same requester are refused, and nothing else is wrong here.
        expect(diagnostics.length).toBeGreaterThan(0);
        return;
      }
      const expected = new Map<number, string>();
      for (let rid = 0; rid <= 0x3ff; rid++) expected.set(rid, 'v0');
      for (const form of SPECIFICITY) {
        for (const e of entries.filter((x) => x.form === form)) {
          const first = form === 'buses' ? e.at & 0xff00 : e.at;
          const spans = { buses: first | 0xff, range: Math.min(0x3ff, e.at + e.length) };
          const last = form === 'buses' ? spans.buses : form === 'range' ? spans.range : e.at;
          for (let rid = first; rid <= last; rid++) expected.set(rid, e.viommu);
        }
      }
      for (const own of [0x008, 0x219]) expected.set(own, 'none');
      for (const [rid, viommu] of expected) {
        const found = lookUpCoverage(model.coverage, 0, rid);
        expect(found).toEqual(viommu === 'none' ? undefined : { viommu, endpointId: rid });
      }
    }),
    { numRuns: 150 },
  );
});
