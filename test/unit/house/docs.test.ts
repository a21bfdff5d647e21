import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { wholeProgram } from '../../support/cli-document.ts';
import { blocksOf, pages, readPage, ROOT, shellLines } from '../../support/docs-page.ts';

describe('links', () => {
  test.each(pages())('%s leads somewhere', (page) => {
    expect(linksOf(page).filter((link) => problemOf(page, link) !== undefined)).toEqual([]);
  });

  test('every page is reached from README.md or docs/index.md', () => {
    const seen = new Set(['README.md', 'docs/index.md']);
    for (const page of seen) {
      for (const link of linksOf(page)) {
        const target = targetOf(page, link);
        if (target.endsWith('.md') && existsSync(join(ROOT, target))) seen.add(target);
      }
    }
    expect(pages().filter((page) => !seen.has(page))).toEqual([]);
  });

  test('docs/index.md has every page of docs', () => {
    const named = new Set(linksOf('docs/index.md').map((link) => targetOf('docs/index.md', link)));
    const all = pages().filter((page) => page !== 'README.md' && page !== 'docs/index.md');
    expect(all.filter((page) => !named.has(page))).toEqual([]);
  });
});

describe('commands', () => {
  test.each(pages())('%s: commands and their options exist', async (page) => {
    const program = await wholeProgram();
    const wrong = commandsOf(page).flatMap((line) => {
      const problem = problemWith(program, line);
      return problem === undefined ? [] : [`${line}: ${problem}`];
    });
    expect(wrong).toEqual([]);
  });

  test.each(pages())('%s: what no test can run says why, or who runs it', (page) => {
    const unsaid = blocksOf(page).filter(({ language, text, comment = '' }) => {
      if (!text.includes('viommu-topo ') || language === 'sh' || language === 'text') return false;
      if (page === 'README.md' || ['', 'yaml'].includes(language)) return false;
      const [, by] = /^run by (\S+)/u.exec(comment) ?? [];
      return by === undefined ? !/^not run: \S+/u.test(comment) : !existsSync(join(ROOT, by));
    });
    expect(unsaid.map(({ line, text }) => `${page}:${line}: ${text}`)).toEqual([]);
  });

  test.each(pages())('%s: no command stands in an indented block', (page) => {
    expect(readPage(page).match(/^ {4}\$? ?viommu-topo /gmu) ?? []).toEqual([]);
  });
});

/** Links of a page, without code. */
function linksOf(page: string): string[] {
  const text = readPage(page)
    .replaceAll(/^```[\s\S]*?^```$/gmu, '')
    .replaceAll(/`[^`\n]*`/gu, (code) => code.replaceAll(/[[\]()]/gu, '_'));
  return Array.from(text.matchAll(/\]\(([^)\s]+)\)/gu), ([, link = '']) => link);
}

function targetOf(page: string, link: string): string {
  const [path = ''] = link.split('#');
  return path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
}

function problemOf(page: string, link: string): string | undefined {
  if (/^https?:/u.test(link)) return undefined;
  const target = targetOf(page, link);
  if (!existsSync(join(ROOT, target))) return 'no such file';
  const [, anchor] = link.split('#');
  if (anchor === undefined || !target.endsWith('.md')) return undefined;
  return anchorsOf(target).has(anchor) ? undefined : 'no such heading';
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): ReadonlySet<string> {
  const headings = Array.from(readPage(page).matchAll(/^#+ (.*)$/gmu), ([, text = '']) => text);
  return new Set(
    headings.map((text) =>
      text
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Command lines of a page, wherever they stand: fenced, after a prompt, or in a sentence. */
function commandsOf(page: string): string[] {
  // In the page of commands, blocks of text are what --help has: an indented line with its remark.
  const help = page === 'docs/reference/cli.md';
  const fenced = blocksOf(page)
    .filter(({ language }) => help || language !== 'text')
    .flatMap(({ text }) => shellLines(text))
    .flatMap(({ text }) => text.split(/ (?:\||&&|;) /u))
    .map((line) => line.trim().replace(/^(?:\$|run:|- run:) /u, ''))
    .map((line) => (help ? (line.split(/ {2,}/u)[0] ?? '') : line));
  const inline = Array.from(
    readPage(page).matchAll(/`(viommu-topo [^`\n]*)`/gu),
    ([, line = '']) => line,
  );
  return [...fenced, ...inline].filter(
    (line) => line.startsWith('viommu-topo ') && line !== 'viommu-topo resolved topology',
  );
}

function problemWith(program: Command, line: string): string | undefined {
  let command = program;
  const words = Array.from(line.matchAll(/'[^']*'|\S+/gu), ([word]) => word).slice(1);
  for (const word of words) {
    const below = command.commands.find((one) => one.name() === word);
    if (below === undefined) break;
    command = below;
  }
  const named = words.find((word) => /^[a-z]+$/u.test(word));
  if (command === program && named !== undefined && words[0] === named && named !== 'help') {
    return `there is no command ${named}`;
  }
  const options = words.slice(0, words.includes('--') ? words.indexOf('--') : undefined);
  const unknown = options
    .filter((word) => /^--?[a-z]/u.test(word))
    .map((word) => word.replace(/=.*/u, ''))
    .find(
      (word) =>
        !['--help', '-h', '--version', '--no-color'].includes(word) &&
        !command.options.some(({ short, long }) => word === short || word === long),
    );
  return unknown === undefined ? undefined : `it has no ${unknown}`;
}
