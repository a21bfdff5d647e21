import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CURE = 'sudo apt-get install -y gcc libc6-dev linux-libc-dev';

/**
 * Asks the kernel's headers for the values of expressions: compiles a program that prints them.
 *
 * @returns the value of each; undefined for a name that the headers do not define
 */
export function askHeaders(
  headers: readonly string[],
  macros: readonly string[],
  expressions: readonly string[],
): Map<string, bigint | undefined> {
  const includes = ['stddef.h', 'stdio.h', 'linux/types.h', ...headers];
  const print = (name: string): string =>
    `printf("%s=%llu\\n", ${JSON.stringify(name)}, (unsigned long long)(${name}));`;
  const source = [
    ...includes.map((header) => `#include <${header}>`),
    'int main(void) {',
    ...macros.flatMap((name) => [`#ifdef ${name}`, print(name), '#endif']),
    ...expressions.map(print),
    'return 0; }',
  ].join('\n');
  const folder = mkdtempSync(join(tmpdir(), 'viommu-topo-headers-'));
  try {
    writeFileSync(join(folder, 'ask.c'), source);
    const program = join(folder, 'ask');
    const args = ['-Wall', '-Werror', '-o', program, join(folder, 'ask.c')];
    const compiled = spawnSync('gcc', args, { encoding: 'utf8', timeout: 60_000 });
    if (compiled.status !== 0) {
      const told = compiled.error?.message ?? compiled.stderr;
      throw new Error(`cannot compile against the kernel's headers: ${CURE}\n${told}`);
    }
    const run = spawnSync(program, { encoding: 'utf8', timeout: 60_000 });
    if (run.status !== 0) throw new Error(`exit ${run.status}: ${run.stderr}`);
    const values = new Map(
      run.stdout
        .trim()
        .split('\n')
        .map((line): [string, bigint] => {
          const cut = line.lastIndexOf('=');
          return [line.slice(0, cut), BigInt(line.slice(cut + 1))];
        }),
    );
    return new Map([...macros, ...expressions].map((name) => [name, values.get(name)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
