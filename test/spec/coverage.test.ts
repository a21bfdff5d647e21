import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const ROOMS = ['iommu', 'virtio', 'memory', 'host-iommu'];

/** Every place that `npm run coverage` does not count, as `file: what -- reason`. */
function ignored(): string[] {
  return ROOMS.flatMap((room) => {
    const files = readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' });
    return files
      .filter((name) => name.endsWith('.ts'))
      .toSorted((a, b) => (a < b ? -1 : 1))
      .flatMap((name) => {
        const path = join(root, 'src', room, name);
        const hints = readFileSync(path, 'utf8').matchAll(/(?:v8|c8|istanbul) ignore ([^*\n]*)/g);
        return [...hints].map(([, hint = '']) => `${relative(root, path)}: ${hint.trim()}`);
      });
  });
}

// One more is one more branch that nothing tests: it needs a reason, and a line here.
test('branches that are not counted, each with its reason', () => {
  expect(ignored()).toEqual([
    'src/iommu/mapping-tree.ts: next -- an assertion: keys never lie beyond the first entry below them',
  ]);
});
