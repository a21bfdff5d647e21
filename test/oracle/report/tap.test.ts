import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { verdictsTap } from '../../../src/report/index.ts';
import { judge } from '../../../src/scenario/index.ts';
import { sampleGuest, sampleModel, sampleObservation } from '../../unit/scenario/samples.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-tap-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const passed = judge(sampleModel(), sampleObservation());
const [disk] = sampleGuest().disks;
const nasty = 'x\nok 99 - lie # SKIP\nBail out!\n...\n---';
const failed = judge(
  sampleModel(),
  sampleObservation({
    guest: sampleGuest({
      disks: disk === undefined ? [] : [{ device: disk.device, error: nasty }],
    }),
  }),
);

/** Perl's own harness; it passes over what is indented. */
async function prove(name: string, text: string): Promise<{ code: number; says: string }> {
  const file = join(scratch, `${name}.tap`);
  writeFileSync(file, text);
  const run = await execa('prove', ['--verbose', '--exec', 'cat', file], {
    reject: false,
    all: true,
  });
  return { code: run.exitCode ?? -1, says: run.all };
}

/** The first subtest as a stream of its own, as TAP 14 defines it. */
function subtestOf(text: string): string {
  const lines = text.split('\n').filter((line) => line.startsWith('    '));
  return ['TAP version 13', ...lines.map((line) => line.slice(4)), ''].join('\n');
}

describe('prove', () => {
  test('passes what passed, and counts each promise', async () => {
    const text = verdictsTap([passed]).replace('version 14', 'version 13');
    expect(await prove('passed', text)).toMatchObject({ code: 0 });
    const inner = await prove('promises', subtestOf(text));
    expect(inner.code).toBe(0);
    expect(inner.says).toContain(`Tests=${passed.promises.length},`);
  });

  test('fails what failed: each broken promise, whatever the guest said', async () => {
    expect(failed.outcome).toBe('fail');
    const text = verdictsTap([passed, failed]).replace('version 14', 'version 13');
    const outer = await prove('failed', text);
    expect(outer.code).toBe(1);
    expect(outer.says).toContain('Failed 1/2 subtests');
    const broken = failed.promises.filter(({ outcome }) => outcome === 'fail').length;
    const inner = await prove('broken', subtestOf(verdictsTap([failed])));
    expect(inner.says).toContain(`Failed ${broken}/${failed.promises.length} subtests`);
    expect(inner.says).not.toMatch(/Parse errors|Bad plan/u);
  });
});
