import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { fetchGuest } from '../../src/guest/index.ts';
import { builtCore } from '../support/emulator.ts';
import { cli } from '../support/cli.ts';

// What docs/guides/ci.md tells people to copy.

const SCRIPT = resolve('docs/examples/bisect-kernel.sh');
const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-ci-'));
beforeAll(() => builtCore());
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A directory with a program `viommu-topo`. */
function programIn(name: string, body: string): string {
  const dir = join(scratch, name);
  mkdirSync(dir);
  writeFileSync(join(dir, 'viommu-topo'), `#!/bin/sh\n${body}\n`);
  chmodSync(join(dir, 'viommu-topo'), 0o755);
  return `${dir}:${process.env['PATH'] ?? ''}`;
}

/** A repository whose fourth commit of six breaks something, and whose second does not build. */
async function history(): Promise<{ repo: string; commits: string[] }> {
  const repo = join(scratch, 'linux');
  mkdirSync(join(repo, 'scripts'), { recursive: true });
  writeFileSync(join(repo, 'scripts/config'), '#!/bin/sh\n', { mode: 0o755 });
  const git = execa({ cwd: repo });
  await git`git init -q`;
  await git`git config user.email nobody@example.org`;
  await git`git config user.name nobody`;
  const commits: string[] = [];
  for (let number = 1; number <= 6; number++) {
    writeFileSync(join(repo, 'state'), `${number >= 4 ? 'bad' : 'good'} ${number}\n`);
    writeFileSync(join(repo, 'builds'), number === 2 ? 'no\n' : 'yes\n');
    await git`git add -A`;
    await git`git commit -q -m ${`commit ${number}`}`;
    commits.push((await git`git rev-parse HEAD`).stdout);
  }
  return { repo, commits };
}

test('bisect-kernel.sh finds the commit, and passes over one that does not build', async () => {
  const { repo, commits } = await history();
  const path = programIn('verdicts', 'grep -q good state');
  // `make` is a word list in the script: a program that fails where the tree does not build.
  const make = join(scratch, 'make.sh');
  writeFileSync(make, '#!/bin/sh\ngrep -q yes builds\n', { mode: 0o755 });
  const env = { PATH: path, TOPOLOGY: 'its.yaml', MAKE: make, BUILD: 'build' };
  await execa({ cwd: repo })`git bisect start ${commits[5] ?? ''} ${commits[0] ?? ''}`;
  const { stdout, exitCode } = await execa('git', ['bisect', 'run', 'sh', SCRIPT], {
    cwd: repo,
    reject: false,
    env,
  });
  expect(stdout).toContain(`${commits[3] ?? ''} is the first bad commit`);
  expect(exitCode).toBe(0);
});

test('bisect-kernel.sh stops where the machine is wrong, and boots a real kernel', async () => {
  const guest = await fetchGuest('arm64');
  const jiti = resolve('node_modules/.bin/jiti');
  const path = programIn('real', `exec '${jiti}' '${resolve('test/support/run-cli.ts')}' "$@"`);
  const tree = join(scratch, 'tree');
  mkdirSync(join(tree, 'scripts'), { recursive: true });
  mkdirSync(join(tree, 'build/arch/arm64/boot'), { recursive: true });
  mkdirSync(join(tree, 'build/root/lib/modules'), { recursive: true });
  writeFileSync(join(tree, 'scripts/config'), '#!/bin/sh\n', { mode: 0o755 });
  symlinkSync(guest.kernel, join(tree, 'build/arch/arm64/boot/Image'));
  symlinkSync(guest.modulesDir, join(tree, 'build/root/lib/modules', guest.release));
  const bisect = (topology: string): Promise<{ exitCode?: number; stdout: string }> =>
    execa('sh', [SCRIPT], {
      cwd: tree,
      reject: false,
      env: { PATH: path, TOPOLOGY: topology, MAKE: 'true', BUILD: 'build' },
    });
  const good = await bisect(resolve('topologies/one-endpoint.yaml'));
  expect(good.stdout).toContain('PASS one-endpoint');
  expect(good.exitCode).toBe(0);
  expect((await bisect('no-such.yaml')).exitCode).toBe(128);
});

interface Workflow {
  readonly jobs: {
    readonly boot: {
      readonly strategy: { readonly matrix: { readonly shard: readonly number[] } };
      readonly steps: readonly { readonly run?: string }[];
    };
  };
}

test('github-workflow.yml: its commands run, and its shards are the whole', async () => {
  const { jobs } = parse(readFileSync('docs/examples/github-workflow.yml', 'utf8')) as Workflow;
  const { shard } = jobs.boot.strategy.matrix;
  const runs = jobs.boot.steps.flatMap(({ run }) => run ?? []);
  const wordsOf = (line: string): string[] => line.split(' ').slice(1);
  const line = (word: string): string =>
    runs.find((run) => run.startsWith(`viommu-topo ${word} `)) ?? expect.fail(`no ${word}`);
  expect((await cli(...wordsOf(line('doctor')))).code).toBe(0);
  const files = ['topologies/its.yaml', 'topologies/gicv2m.yaml'];
  const glob = (words: readonly string[]): string[] =>
    words.flatMap((word) => (word === 'topologies/*.yaml' ? files : [word]));
  expect((await cli(...glob(wordsOf(line('check'))))).code).toBe(0);

  const verdicts: string[] = [];
  for (const part of shard) {
    const [out, report] = [join(scratch, `${part}.xml`), join(scratch, `report-${part}`)];
    // The model instead of the emulator, and the rest as it stands there.
    const words = line('matrix')
      .replace('${{ matrix.shard }}', String(part))
      .replace('--backend emulator', '--backend model')
      .replace('-o verdicts.xml', `-o ${out}`)
      .replace('--report report', `--report ${report}`);
    const { code, err } = await cli(...glob(wordsOf(words)));
    expect(code, err).toBe(0);
    verdicts.push(...(readFileSync(out, 'utf8').match(/<testsuite name="[^"]*"/gu) ?? []));
  }
  expect(verdicts).toHaveLength(4);
});
