import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EXIT } from '../../../src/cli/exit.ts';
import { cliDocument, helpAfter, leavesOf, wholeProgram } from '../../support/cli-document.ts';

test('docs/reference/cli.md is what the program says (npx vitest run -u writes it anew)', async () => {
  await expect(await cliDocument()).toMatchFileSnapshot('../../../docs/reference/cli.md');
}, 60_000);

test('it has every exit code', () => {
  const page = readFileSync('docs/reference/cli.md', 'utf8');
  const [, table = ''] = /## Exit codes\n\n([\s\S]*?)\n\n/u.exec(page) ?? [];
  for (const code of Object.values(EXIT)) expect(table).toMatch(new RegExp(`\\b${code}\\b`, 'u'));
});

test('every command has a description, and examples where it has arguments', async () => {
  for (const { path, command } of leavesOf(await wholeProgram())) {
    expect(command.description(), path).not.toBe('');
    const simple = ['schema', 'trace show', 'trace convert', 'guest fetch', 'qemu fetch'];
    if (!simple.includes(path)) expect(helpAfter(command), path).toContain('viommu-topo ');
  }
});
