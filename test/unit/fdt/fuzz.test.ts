import { expect, it } from 'vitest';
import { fuzzFdt } from '../../fuzz/fdt.ts';

it('survives 20,000 damaged and random blobs, and sees each kind of damage', () => {
  const { read, refused, codes } = fuzzFdt(1, 20_000);
  expect(read).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(1000);
  expect([...codes.keys()].toSorted()).toEqual([
    'fdt/alignment',
    'fdt/bad-nameoff',
    'fdt/bad-token',
    'fdt/duplicate-node',
    'fdt/duplicate-phandle',
    'fdt/duplicate-property',
    'fdt/magic',
    'fdt/memreserve',
    'fdt/node-name',
    'fdt/nop-before-root',
    'fdt/overlap',
    'fdt/phandle',
    'fdt/property-after-node',
    'fdt/property-name',
    'fdt/root-name',
    'fdt/struct-slack',
    'fdt/trailing-bytes',
    'fdt/truncated',
    'fdt/unbalanced',
    'fdt/version',
  ]);
});

it('does the same for the same seed', () => {
  expect(fuzzFdt(7, 500)).toEqual(fuzzFdt(7, 500));
});
