import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTopology } from '../../../../src/topology/index.ts';

const files = readdirSync('topologies').filter((one) => one.endsWith('.yaml'));

describe('shipped topologies', () => {
  it.each(files)('%s has nothing wrong', (file) => {
    const { diagnostics } = loadTopology(`topologies/${file}`);
    expect(diagnostics.map((one) => `${one.severity} ${one.rule}: ${one.message}`)).toEqual([]);
  });
});
