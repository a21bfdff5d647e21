import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { INPUT_RULES, rules } from '../../../../src/topology/index.ts';
import { errorsDocument } from '../../../support/errors-document.ts';

const FILE = 'docs/reference/errors.md';

describe('docs/reference/errors.md', () => {
  it('has a section for each rule, once, and for nothing else', () => {
    const text = readFileSync(FILE, 'utf8');
    const headings = Array.from(text.matchAll(/^### (.*)$/gm), (one) => one[1] ?? '');
    const ids = [...rules, ...INPUT_RULES].map((one) => one.id);
    expect(headings.toSorted()).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is what the rules say (npx vitest run -u writes it anew)', async () => {
    await expect(await errorsDocument()).toMatchFileSnapshot(`../../../../${FILE}`);
  }, 60_000);
});
