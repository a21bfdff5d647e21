import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { RULES, type Rule } from './rules.ts';

const root = resolve(import.meta.dirname, '../..');

export interface TestTitle {
  /** `D12` or `check 3`. */
  readonly ids: readonly string[];
  readonly title: string;
  /** From the root of the repository. */
  readonly file: string;
}

/** Titles of tests that name a rule: `D40, D41: …` or `check 6: …`. */
export function testTitles(): TestTitle[] {
  return readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.test.ts'))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .flatMap((name) => {
      const path = join(import.meta.dirname, name);
      const text = readFileSync(path, 'utf8');
      const pattern = /['"]((?:D\d+|check \d+)(?:, D\d+)*): ([^'"\n]+)['"]/g;
      return [...text.matchAll(pattern)].map(([, ids = '', title = '']) => ({
        ids: ids.split(', '),
        title: title.replaceAll('`', "'"),
        file: relative(root, path),
      }));
    });
}

/** Rules that no test names. */
export function untested(titles: readonly TestTitle[]): string[] {
  const tested = new Set(titles.flatMap(({ ids }) => ids));
  return RULES.map(({ id }) => id).filter((id) => !tested.has(id));
}

/** `docs/reference/conformance.md`. */
export function conformance(titles: readonly TestTitle[]): string {
  const of = (id: string): string =>
    titles
      .filter(({ ids }) => ids.includes(id))
      .map(({ title, file }) => `[${escape(title)}](../../${file})`)
      .join('<br>');
  const row = ({ id, section, level, text, choice }: Rule): string =>
    `| ${id} | ${section} | ${level} | ${escape(text)} | ${escape(choice ?? '')} | ${of(id)} |`;
  const checks = titles.filter(({ ids }) => ids[0]?.startsWith('check') ?? false);
  return [
    '<!-- Made from test/spec by `npx vitest run --project unit test/spec -u`. Do not edit. -->',
    '',
    '# Conformance of the virtio-iommu device',
    '',
    'Every normative sentence of VIRTIO 1.3, "IOMMU Device", that binds a device, and the rules of',
    'virtqueues that it leans on. _Rule_ is in our words. _Choice_ says what we do where the',
    'specification leaves it open, and the option of `IommuDevice` that changes it. A rule without a',
    'test fails the build.',
    '',
    '<!-- prettier-ignore-start -->',
    '',
    '| Id | Section | Level | Rule | Choice | Tests |',
    '| --- | --- | --- | --- | --- | --- |',
    ...RULES.map(row),
    '',
    '<!-- prettier-ignore-end -->',
    '',
    '## What others get wrong',
    '',
    'Each of these fails on at least one known implementation: QEMU, crosvm, cloud-hypervisor, kvmtool.',
    '',
    ...checks.map(({ ids, title, file }) => `- ${ids[0]}: [${escape(title)}](../../${file})`),
    '',
  ].join('\n');
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
