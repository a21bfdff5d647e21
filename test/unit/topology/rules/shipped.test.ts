import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTopology } from '../../../../src/topology/index.ts';

const files = readdirSync('topologies').filter((it) => it.endsWith('.yaml'));

describe('shipped topologies', () => {
  it.each(files)('%s has nothing wrong', (file) => {
    const { diagnostics } = loadTopology(`topologies/${file}`);
    expect(diagnostics.map((it) => `${it.severity} ${it.rule}: ${it.message}`)).toEqual([]);
  });
});
