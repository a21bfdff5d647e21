import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

// The pages of docs/ and README.md as tests see them. What a fence says decides what is done with
// its block; docs/internals/hacking.md, "A page of the documentation", has the convention.

export const ROOT: string = join(import.meta.dirname, '../..');

/** A fenced block of a page. */
export interface Block {
  /** `sh`, `text`, `console`, `yaml` …; empty: none was said. */
  readonly language: string;
  /** Of `yaml file=my.yaml`: the file that the reader is to make. */
  readonly file?: string;
  readonly text: string;
  /** From 1, of its fence. */
  readonly line: number;
  /** The HTML comment above it, such as `run by test/e2e/vfio-user.test.ts`. */
  readonly comment?: string;
}

/** Every page, relative to the repository. */
export function pages(): readonly string[] {
  const found = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' });
  return ['README.md', ...found.filter((name) => name.endsWith('.md')).map((it) => `docs/${it}`)]
    .map((name) => relative(ROOT, join(ROOT, name)))
    .toSorted();
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

export function blocksOf(page: string): readonly Block[] {
  const text = readPage(page);
  const fence =
    /(?:^<!-- ([^\n]*) -->\n\n)?^```([a-z]*)(?: file=(\S+))?\n((?:(?!```)[^\n]*\n)*)^```$/gmu;
  return Array.from(text.matchAll(fence), (match): Block => {
    const [whole, comment, language = '', file, body = ''] = match;
    const start = match.index + whole.indexOf('```');
    return {
      language,
      text: body,
      line: text.slice(0, start).split('\n').length,
      ...(file === undefined ? {} : { file }),
      ...(comment === undefined ? {} : { comment }),
    };
  });
}

/** A line of a `sh` block. */
export interface ShellLine {
  readonly text: string;
  /** `… &`: goes on while the next lines run. */
  readonly background: boolean;
  /** What `# exit code N` at its end says. */
  readonly code: number;
}

export function shellLines(block: string): readonly ShellLine[] {
  return block
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const code = /\s+# exit code (\d+)$/u.exec(line);
      const plain = line.slice(0, code?.index ?? line.length).trim();
      const background = plain.endsWith(' &');
      return {
        text: background ? plain.slice(0, -2) : plain,
        background,
        code: Number(code?.[1] ?? 0),
      };
    });
}

/** Words of a line without anything that only a shell understands; undefined: there is some. */
export function plainWords(line: string): readonly string[] | undefined {
  const words = Array.from(line.matchAll(/'([^']*)'|(\S+)/gu), ([, quoted, word]) => ({
    quoted: quoted !== undefined,
    word: quoted ?? word ?? '',
  }));
  if (words.some(({ quoted, word }) => !quoted && /[|&;<>()$`\\"*?[\]{}~]/u.test(word))) return;
  return words.map(({ word }) => word);
}

/**
 * What of a shown output did not come, in this order: `…` stands for anything within a line, and alone
 * for any number of lines.
 */
export function missing(shown: string, came: string): string | undefined {
  const lines = came.split('\n').map((line) => line.trimEnd());
  let at = 0;
  for (const line of shown.split('\n').map((one) => one.trimEnd())) {
    if (line === '' || line.trim() === '…') continue;
    const pattern = new RegExp(`^${line.split('…').map(escapeRegExp).join('.*')}$`, 'u');
    while (at < lines.length && !pattern.test(lines[at] ?? '')) at++;
    if (at === lines.length) return line;
    at++;
  }
  return undefined;
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/gu, '\\$&');
}
