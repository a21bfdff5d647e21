import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('a file of the room has one subject: 300 lines at most', () => {
  const files = readdirSync('src/topology', { recursive: true, encoding: 'utf8' });
  const lengths = files
    .filter((name) => name.endsWith('.ts'))
    .map((name) => [name, readFileSync(join('src/topology', name), 'utf8').split('\n').length - 1]);
  expect(lengths.length).toBeGreaterThan(100);
  expect(lengths.filter(([, lines]) => Number(lines) > 300)).toEqual([]);
});
