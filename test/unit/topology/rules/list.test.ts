import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkFacts, FINDINGS_PER_RULE_MAX, rules } from '../../../../src/topology/rules/index.ts';
import { firmware, machine, ridMap, row, tree, treeHost } from '../../../support/facts.ts';

const NOT_RULES = ['index.ts', 'list.ts', 'check.ts'];

describe('the list of rules', () => {
  it('has each file of the folder once, under its name', () => {
    const files = readdirSync('src/topology/rules').filter((one) => one.endsWith('.ts'));
    const ids = files.filter((one) => !NOT_RULES.includes(one)).map((one) => one.slice(0, -3));
    expect(rules.map((rule) => rule.id).toSorted()).toEqual(ids.toSorted());
  });

  it('covers every number of the catalogue', () => {
    const numbers = new Set(rules.flatMap((rule) => rule.catalogue ?? []));
    expect([...numbers].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
  });

  it('has nothing to say about a machine that is right', () => {
    expect(checkFacts(machine())).toEqual([]);
  });

  it('has nothing to say about nothing', () => {
    expect(checkFacts(firmware({}))).toEqual([]);
    expect(checkFacts(firmware({ tree: tree() }))).toEqual([]);
  });

  it('stops listing one mistake that is everywhere', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => row(i, 'viommu0', i, 0));
    const found = checkFacts(
      firmware({ tree: tree({ hosts: [treeHost({ iommuMap: ridMap(rows) })] }) }),
    );
    const empty = found.filter((one) => one.rule === 'map-row-empty');
    expect(empty).toHaveLength(FINDINGS_PER_RULE_MAX + 1);
    expect(empty.at(-1)?.message).toContain('more than 100');
  });
});
