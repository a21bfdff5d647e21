import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { cli, type CliResult } from './cli.ts';
import { blocksOf, missing, plainWords, ROOT, shellLines, type ShellLine } from './docs-page.ts';

/** What the commands of a page said, each by its line. */
export type Said = ReadonlyMap<string, CliResult>;

/**
 * Does what a page says, in a directory that has nothing but `topologies`: makes its files, runs every
 * line of its `sh` blocks in order, and holds what came against the `text` block below.
 *
 * @param after looks at the directory before it goes
 */
export async function follow(page: string, after: () => void = () => undefined): Promise<Said> {
  const home = process.cwd();
  const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-docs-'));
  symlinkSync(join(ROOT, 'topologies'), join(dir, 'topologies'));
  process.chdir(dir);
  try {
    const said = await followIn(dir, page);
    after();
    return said;
  } finally {
    process.chdir(home);
    rmSync(dir, { recursive: true, force: true });
  }
}

async function followIn(dir: string, page: string): Promise<Said> {
  const said = new Map<string, CliResult>();
  const background: Promise<void>[] = [];
  let came: string | undefined;
  for (const { language, file, text, line } of blocksOf(page)) {
    if (file !== undefined) {
      mkdirSync(join(dir, dirname(file)), { recursive: true });
      writeFileSync(join(dir, file), text);
    } else if (language === 'sh') {
      came = '';
      for (const command of shellLines(text)) {
        const done = runLine(command, page).then((result) => {
          said.set(command.text, result);
          came = `${came ?? ''}${result.out}\n${result.err}\n`;
        });
        if (command.background) background.push(done);
        else await done;
      }
    } else if (language === 'text' && came !== undefined) {
      expect(missing(text, came), `${page}:${line} shows this, of\n${came}`).toBeUndefined();
      came = undefined;
    } else came = undefined;
  }
  await Promise.all(background);
  return said;
}

/** One line; its exit code is what the page says. */
async function runLine({ text, code }: ShellLine, page: string): Promise<CliResult> {
  const words = plainWords(text);
  const [program, ...argv] = words ?? [];
  const result = program === 'viommu-topo' ? await patient(argv) : await shell(text);
  expect(result.code, `${page}: ${text}\n${result.out}${result.err}`).toBe(code);
  return result;
}

/** A debugger that comes before its boot listens tries again, as a person would. */
async function patient(argv: readonly string[]): Promise<CliResult> {
  for (let tries = 0; ; tries++) {
    const result = await cli(...argv);
    if (argv[0] !== 'debug' || result.code !== 3 || tries === 600) return result;
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** A line for a shell, in which `viommu-topo` is what stands in src/. */
async function shell(line: string): Promise<CliResult> {
  const shim = mkdtempSync(join(tmpdir(), 'viommu-topo-shim-'));
  try {
    const [jiti, script] = [join(ROOT, 'node_modules/.bin/jiti'), 'test/support/run-cli.ts'];
    const program = `#!/bin/sh\nexec '${jiti}' '${join(ROOT, script)}' "$@"\n`;
    writeFileSync(join(shim, 'viommu-topo'), program, { mode: 0o755 });
    const run = await execa('sh', ['-c', line], {
      reject: false,
      stdin: 'ignore',
      timeout: 300_000,
      env: { PATH: `${shim}:${process.env['PATH'] ?? ''}` },
    });
    return { code: run.exitCode ?? -1, out: run.stdout, err: run.stderr };
  } finally {
    rmSync(shim, { recursive: true, force: true });
  }
}
