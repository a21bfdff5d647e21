import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as acpi from '../../src/acpi/index.ts';
import { overlappingRanges } from '../../src/acpi/viot-overlap.ts';

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const ascii = (max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('A', 'B', 'X', 'Z', '0', '9', '_'), maxLength: max });
const ids = fc.record({
  oemId: ascii(6),
  oemTableId: ascii(8),
  oemRevision: u32,
  creatorId: ascii(4),
  creatorRevision: u32,
});
const pair = fc.tuple(u16, u16).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);

/** What a node says, without its place in the table. */
function content(node: acpi.ViotNode | acpi.IortNode): object {
  const places = new Set(['offset', 'length', 'mappingOffset']);
  return Object.fromEntries(Object.entries(node).filter(([name]) => !places.has(name)));
}

/** What is to be added to a VIOT, in which order; endpoints name an IOMMU by its number. */
const viotStep = fc.oneof(
  fc.record({ add: fc.constant('pci' as const), segment: u16, bdf: u16 }),
  fc.record({ add: fc.constant('mmio' as const), base: u64 }),
  fc.record({ add: fc.constant('device' as const), endpoint: u32, base: u64, iommu: fc.nat() }),
  fc.record({
    add: fc.constant('range' as const),
    endpointStart: fc.nat(0xff),
    segments: fc.tuple(fc.nat(0xff), fc.nat(0xff)),
    bdfs: pair,
    iommu: fc.nat(),
  }),
);

describe('VIOT', () => {
  it('what the builder writes is read back, each endpoint behind its own IOMMU', () => {
    fc.assert(
      fc.property(fc.array(viotStep, { maxLength: 40 }), ids, (steps, names) => {
        const builder = new acpi.ViotBuilder();
        const iommus: acpi.ViotIommu[] = [];
        const expected: unknown[] = [];
        for (const step of steps) {
          if (step.add === 'pci') iommus.push(builder.addPciIommu(step));
          else if (step.add === 'mmio') iommus.push(builder.addMmioIommu(step));
          else {
            const output = iommus[step.iommu % Math.max(1, iommus.length)];
            if (output === undefined) continue;
            const { nodeOffset: outputNode } = output;
            if (step.add === 'device') {
              const { endpoint, base } = step;
              builder.addMmioEndpoint({ endpoint, base, output });
              expected.push({ kind: 'mmio-endpoint', endpoint, base, outputNode });
            } else {
              const [a, b] = step.segments;
              const range = {
                endpointStart: step.endpointStart,
                segmentStart: Math.min(a, b),
                segmentEnd: Math.max(a, b),
                bdfStart: step.bdfs[0],
                bdfEnd: step.bdfs[1],
              };
              builder.addPciRange({ ...range, output });
              expected.push({ kind: 'pci-range', ...range, outputNode });
            }
          }
        }
        const bytes = builder.build(names);
        const viot = acpi.readViot(bytes);
        expect(viot.nodes.slice(iommus.length).map(content)).toEqual(expected);
        expect(viot.nodes.slice(0, iommus.length).map(({ offset }) => offset)).toEqual(
          iommus.map(({ nodeOffset }) => nodeOffset),
        );
        // Random devices may be there twice, or overlap: nothing else may be wrong.
        const codes = viot.problems.map(({ code }) => code);
        expect(codes.filter((code) => !/duplicate|range-overlap/.test(code))).toEqual([]);
        expect(acpi.writeViotRaw({ nodes: viot.nodes, ids: viot.header })).toEqual(bytes);
        expect(acpi.linuxView(viot).messages).toEqual([]);
      }),
    );
  });

  const rectangle = fc.tuple(fc.nat(4), fc.nat(4), fc.nat(20), fc.nat(20)).map(([a, b, c, d]) => ({
    segmentStart: Math.min(a, b),
    segmentEnd: Math.max(a, b),
    bdfStart: Math.min(c, d),
    bdfEnd: Math.max(c, d),
  }));

  it('overlapping ranges are found exactly when a function is in two of them', () => {
    fc.assert(
      fc.property(fc.array(rectangle, { maxLength: 8 }), (ranges) => {
        const owners = new Map<number, number>();
        for (const range of ranges) {
          for (let segment = range.segmentStart; segment <= range.segmentEnd; segment++) {
            for (let bdf = range.bdfStart; bdf <= range.bdfEnd; bdf++) {
              const key = segment * 0x10000 + bdf;
              owners.set(key, (owners.get(key) ?? 0) + 1);
            }
          }
        }
        const found = [...overlappingRanges(ranges)];
        expect(found.length > 0).toBe([...owners.values()].some((count) => count > 1));
        for (const [a, b] of found) {
          expect(a).not.toBe(b);
          expect(a.segmentStart <= b.segmentEnd && b.segmentStart <= a.segmentEnd).toBe(true);
          expect(a.bdfStart <= b.bdfEnd && b.bdfStart <= a.bdfEnd).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

const mappings = fc.array(
  fc.record({ inputBase: u32, idCount: u32, outputBase: u32, outputReference: u32, flags: u32 }),
  { maxLength: 4 },
);
const common = { revision: u8, identifier: u32, mappings };
const iortNode: fc.Arbitrary<acpi.RawIortNode> = fc.oneof(
  fc.record({ kind: fc.constant('its-group' as const), identifiers: fc.array(u32), ...common }),
  fc.record({
    kind: fc.constant('named-component' as const),
    nodeFlags: u32,
    memoryProperties: u64,
    addressLimit: u8,
    path: ascii(30),
    ...common,
  }),
  fc.record({
    kind: fc.constant('root-complex' as const),
    memoryProperties: u64,
    atsAttribute: u32,
    segment: u32,
    addressLimit: u8,
    pasidCapabilities: u16,
    ...common,
  }),
  fc.record({
    kind: fc.constant('rmr' as const),
    flags: u32,
    ranges: fc.array(fc.record({ base: u64, length: u64 })),
    ...common,
  }),
);

describe('IORT', () => {
  it('whatever nodes are written are read and written again', () => {
    fc.assert(
      fc.property(fc.array(iortNode, { maxLength: 8 }), ids, (nodes, names) => {
        const bytes = acpi.writeIortRaw({ nodes, ids: names });
        const iort = acpi.readIort(bytes);
        expect(iort.nodes.map(content)).toEqual(nodes);
        expect(acpi.writeIortRaw({ nodes: iort.nodes, ids: iort.header })).toEqual(bytes);
      }),
    );
  });
});

describe('the other tables', () => {
  it('an MCFG', () => {
    const allocation = fc
      .record({ base: u64, segment: u16, startBus: u8, endBus: u8 })
      .filter(({ startBus, endBus }) => startBus <= endBus);
    fc.assert(
      fc.property(fc.array(allocation), ids, (allocations, names) => {
        const mcfg = acpi.readMcfg(acpi.writeMcfg(allocations, names));
        expect(mcfg.allocations).toEqual(allocations);
        expect(mcfg.problems).toEqual([]);
      }),
    );
  });

  it('an RSDP', () => {
    const rsdpContent = fc.record({
      oemId: ascii(6).map((text) => text.padEnd(6)),
      rsdtAddress: u32,
      xsdtAddress: u64,
    });
    fc.assert(
      fc.property(rsdpContent, (rsdp) => {
        expect(acpi.readRsdp(acpi.writeRsdp(rsdp))).toEqual({ ...rsdp, revision: 2, problems: [] });
      }),
    );
  });
});
