import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MODEL_CAPABILITIES } from '../../../src/backends/model-events.ts';
import { QEMU_CAPABILITIES } from '../../../src/backends/qemu-events.ts';
import { VFIO_USER_CAPABILITIES } from '../../../src/backends/qemu-vfio-user.ts';

test('docs/concepts/backends.md: what each sees is what the code says', () => {
  const page = readFileSync('docs/concepts/backends.md', 'utf8');
  const [, table = ''] = /## What each sees\n\n((?:\|.*\n)*)/u.exec(page) ?? [];
  const rows = table
    .trim()
    .split('\n')
    .slice(2)
    .map((row) => row.split('|').map((cell) => cell.trim()));
  const yes = (has: boolean): string => (has ? 'yes' : 'no');
  const all = [...MODEL_CAPABILITIES];
  expect(new Set(rows.map(([, name]) => name))).toEqual(new Set(all));
  expect(rows).toHaveLength(all.length);
  for (const [, name = '', ...cells] of rows) {
    const sets: ReadonlySet<string>[] = [
      MODEL_CAPABILITIES, // the emulator's are the same
      QEMU_CAPABILITIES,
      VFIO_USER_CAPABILITIES,
      MODEL_CAPABILITIES,
      new Set(),
    ];
    expect([name, ...cells.slice(0, 5)]).toEqual([name, ...sets.map((set) => yes(set.has(name)))]);
  }
});

/** `64 << 20`, `2 * 2 ** 20`, `0x1_0040`: what constants are written as. */
function valueOf(source: string): number {
  const plain = source.replaceAll(/_|n\b/gu, '').trim();
  expect(plain).toMatch(/^[\da-fx\s*<]+$/u);
  const [left = '', shift] = plain.split('<<');
  const product = left
    .split(/(?<!\*)\*(?!\*)/u)
    .map((factor) => {
      const [base = '', power] = factor.split('**');
      return power === undefined ? Number(base) : Number(base) ** Number(power);
    })
    .reduce((all, factor) => all * factor, 1);
  return shift === undefined ? product : product * 2 ** Number(shift);
}

const UNITS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

function limitOf(cell: string): number {
  const [count = '', unit] = cell.replaceAll(',', '').split(' ');
  return Number(count) * (unit === undefined ? 1 : (UNITS[unit] ?? Number.NaN));
}

test('docs/concepts/threat-model.md: the limits are those of the code', () => {
  const page = readFileSync('docs/concepts/threat-model.md', 'utf8');
  const rows = Array.from(
    page.matchAll(/^\| [^|]+ \| ([\d,]+(?: [KMG]iB)?) +\| \[`(\w+)`\]\(\.\.\/\.\.\/([^)]+)\)/gmu),
  );
  expect(rows.length).toBeGreaterThan(20);
  const wrong = rows.flatMap(([, limit = '', name = '', file = '']) => {
    const source = new RegExp(`const ${name}(?:: \\w+)? = ([^;]+);`, 'u').exec(
      readFileSync(file, 'utf8'),
    )?.[1];
    if (source === undefined) return [`${file} has no ${name}`];
    return valueOf(source) === limitOf(limit) ? [] : [`${name}: ${limit}, but ${source}`];
  });
  expect(wrong).toEqual([]);
});
