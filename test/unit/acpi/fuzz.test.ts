import { expect, it } from 'vitest';
import { fuzzAcpi } from '../../fuzz/acpi.ts';

it('20,000 inputs: read or refused, and never anything else', () => {
  const { clean, flawed, refused, codes } = fuzzAcpi(2026, 20_000);
  expect(clean + flawed + refused).toBe(20_000);
  expect(clean).toBeGreaterThan(1000);
  expect(flawed).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(1000);
  // The damage gets as far as the last checks of each reader.
  for (const code of [
    'viot/range-overlap',
    'viot/empty-node',
    'viot/output-not-a-node',
    'iort/mapping-outside',
    'iort/mapping-target',
    'iort/its-count',
    'iort/rmr-outside',
    'apic/entry-length',
    'mcfg/buses',
    'rsdp/checksum',
  ]) {
    expect(codes.get(code) ?? 0, code).toBeGreaterThan(0);
  }
});

it('the same seed makes the same run', () => {
  expect(fuzzAcpi(7, 500)).toEqual(fuzzAcpi(7, 500));
});
