import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTopology, rules } from '../../../../src/topology/index.ts';
import { readHeader } from '../../../support/invalid.ts';

/** Mistakes that a topology cannot contain: they are found in firmware of other makers only. */
const FOREIGN_ONLY = [
  'iommu-compatible',
  'iort-damaged',
  'iort-hides-viot',
  'range-reversed',
  'tree-and-viot-disagree',
  'tree-damaged',
];

const fileOf = (id: string): string => `topologies/invalid/${id}.yaml`;

describe('topologies/invalid', () => {
  it('has a file for each rule, but for those that only foreign firmware can break', () => {
    const without = rules.map((rule) => rule.id).filter((id) => !existsSync(fileOf(id)));
    expect(without.toSorted()).toEqual(FOREIGN_ONLY);
  });

  const ids = rules.map((rule) => rule.id).filter((id) => !FOREIGN_ONLY.includes(id));
  it.each(ids)('%s.yaml sets off its rule at its place, and nothing unannounced', (id) => {
    const header = readHeader(fileOf(id));
    const { diagnostics } = loadTopology(fileOf(id));
    const own = diagnostics.find((one) => one.rule === id);
    const { place } = own ?? {};
    expect(header.rule).toBe(id);
    expect({
      severity: own?.severity,
      at: place?.kind === 'source' && [place.line, place.column],
    }).toEqual({ severity: header.severity, at: [header.line, header.column] });
    expect(place?.file).toMatch(/invalid\//);
    const others = new Set(diagnostics.map((one) => one.rule).filter((one) => one !== id));
    expect([...others].toSorted()).toEqual([...header.also]);
    expect(own?.message).not.toBe('');
    expect(own?.effect).toBeTruthy();
    expect(own?.cure).toBeTruthy();
  });
});
