import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTopology, rules, type Diagnostic } from '../../../../src/topology/index.ts';

const files = readdirSync('topologies/invalid').map((name) => `topologies/invalid/${name}`);
/** The kernels that were measured: nothing is claimed of others. */
const MEASURED = new Set(['6.12', '7.3']);

function diagnose(file: string, major: number, minor: number): readonly Diagnostic[] {
  return loadTopology(file, { kernel: { major, minor } }).diagnostics;
}

/** Kernels of which an effect says that they do something. */
function kernels({ effect = '' }: Diagnostic): string[] {
  return [...effect.matchAll(/Linux (\d+\.\d+)/g)].map(([, version = '']) => version);
}

describe('what is said of kernels', () => {
  it.each([
    [6, 1],
    [6, 12],
    [6, 18],
    [7, 0],
    [7, 3],
  ])('asked about %i.%i, only of those that were measured', (major, minor) => {
    const claimed = new Set<string>();
    let unmeasured = 0;
    for (const diagnostic of files.flatMap((file) => diagnose(file, major, minor))) {
      for (const version of kernels(diagnostic)) claimed.add(version);
      if (diagnostic.effect?.includes(`(${major}.${minor} was not measured)`)) unmeasured++;
    }
    expect([...claimed].filter((version) => !MEASURED.has(version))).toEqual([]);
    expect(claimed.size).toBeGreaterThan(0);
    expect(unmeasured > 5).toBe(!MEASURED.has(`${major}.${minor}`));
  });

  it('a direct region is an error before 7.3, the oldest kernel known to map it', () => {
    const about = (major: number, minor: number): string[] =>
      diagnose('topologies/invalid/direct-region.yaml', major, minor)
        .filter(({ rule }) => rule === 'direct-region')
        .map(({ effect = '', cure = '' }) => `${effect} ${cure}`);
    expect(about(7, 3)).toEqual([]);
    expect(about(7, 0)).toHaveLength(1);
    expect(about(7, 0)[0]).toMatch(
      /^Linux 6\.12 oopses .* Linux 7\.3 works \(7\.0 was not measured\)/,
    );
    expect(about(6, 12)[0]).toContain('guest: { kernel: 7.3 }');
    expect(about(6, 12)[0]).not.toContain('not measured');
  });

  it('no rule names 7.0, of which nothing is known', () => {
    const texts = rules.map(({ summary, effect, cure }) => `${summary} ${effect} ${cure}`);
    expect(texts.filter((text) => text.includes('7.0'))).toEqual([]);
  });
});
