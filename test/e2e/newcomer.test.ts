import { readFileSync, statSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { builtCore } from '../support/emulator.ts';
import { follow } from '../support/docs-run.ts';

// What docs/start.md says, done as it says, from an empty directory: init, check, build, graph, boot,
// report, debug.

beforeAll(() => builtCore());

test('a newcomer comes from nothing to a verdict and into a running guest', async () => {
  const said = await follow('docs/start.md', () => {
    expect(readFileSync('out/topology.dtb').subarray(0, 4).toString('hex')).toBe('d00dfeed');
    expect(readFileSync('my.svg', 'utf8')).toMatch(/^<svg[\s\S]*disk0[\s\S]*<\/svg>\s*$/u);
    const page = readFileSync('report/my.html', 'utf8');
    expect(page).toContain('23 promises kept');
    // The socket goes with the boot.
    expect(statSync('run.sock', { throwIfNoEntry: false })).toBeUndefined();
  });
  const commands = Array.from(said.keys(), (line) => /^viommu-topo (\w+)/u.exec(line)?.[1]);
  expect([...new Set(commands.filter((name) => name !== undefined))]).toEqual(
    expect.arrayContaining(['init', 'check', 'build', 'graph', 'boot', 'debug']),
  );
  // The boot that was looked into ended as well as the one that was not.
  const debugged = said.get('viommu-topo boot my.yaml --quiet --debug run.sock --wait');
  expect(debugged?.out).toMatch(/^PASS my /mu);
});
