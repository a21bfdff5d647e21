import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

/** What a command loads before it begins: loading a module takes Node half a millisecond. */

const source = resolve(import.meta.dirname, '../../../src');

interface Loaded {
  readonly own: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
}

/** Everything that is loaded with `files`: static imports of values, and no others. */
function loadedWith(...files: readonly string[]): Loaded {
  const own = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string): void => {
    if (own.has(path)) return;
    own.add(path);
    const text = readFileSync(path, 'utf8');
    const imports = text.matchAll(/^(?:import|export)\s+(?:([^;']*?)\s+from\s+)?'([^']+)';/gmu);
    for (const [, names = '', from = ''] of imports) {
      if (from.startsWith('node:') || isOfTypes(names)) continue;
      if (from.startsWith('.')) visit(resolve(dirname(path), from));
      else packages.add(from.replace(/^((?:@[^/]+\/)?[^/]+).*$/u, '$1'));
    }
  };
  for (const file of files) visit(join(source, file));
  return { own, packages };
}

/** `type { A }`, and under verbatimModuleSyntax nothing else: `{ type A }` still loads the module. */
function isOfTypes(names: string): boolean {
  return names.startsWith('type ');
}

const rooms = ({ own }: Loaded): string[] =>
  [...new Set([...own].map((path) => relative(source, path).split('/')[0] ?? ''))].toSorted();

test('the way of looking sees what there is', () => {
  const whole = loadedWith('index.ts');
  expect(whole.own.size).toBeGreaterThan(300);
  expect([...whole.packages]).toEqual(expect.arrayContaining(['yaml', 'zod']));
});

test('--version loads next to nothing', () => {
  const loaded = loadedWith('cli/main.ts');
  expect(rooms(loaded)).toEqual(['cli']);
  expect(loaded.own.size).toBeLessThanOrEqual(12);
  expect([...loaded.packages]).toEqual(['commander']);
});

test('check loads what reads and judges files, and nothing that runs', () => {
  const loaded = loadedWith('cli/main.ts', 'cli/commands/check.ts');
  for (const room of ['guest', 'qemu', 'emulator', 'machine', 'driver', 'backends', 'vmm', 'debug'])
    expect(rooms(loaded)).not.toContain(room);
  expect(loaded.own.size).toBeLessThanOrEqual(320);
  expect([...loaded.packages].toSorted()).toEqual(['commander', 'diff', 'yaml', 'zod']);
});

test('boot loads no other command, and no package that only some boots need', () => {
  const loaded = loadedWith('cli/main.ts', 'cli/commands/boot/index.ts');
  const commands = [...loaded.own].filter((path) => /cli\/commands\/[^/]+\.ts$/u.test(path));
  expect(commands.map((path) => relative(source, path))).toEqual(['cli/commands/all.ts']);
  expect(rooms(loaded)).not.toContain('vmm');
  for (const name of ['tinypool', 'koffi', '@inquirer/prompts', '@bomb.sh/tab', 'fast-xml-parser'])
    expect([...loaded.packages]).not.toContain(name);
});
