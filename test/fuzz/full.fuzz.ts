import { expect, test } from 'vitest';
import { processIo } from '../../src/cli/io.ts';
import { Progress } from '../../src/cli/progress.ts';
import { fuzzAcpi } from './acpi.ts';
import { fuzzFdt } from './fdt.ts';
import { fuzzFirmware } from './firmware.ts';

// The readers on a million inputs each: `npm run fuzz`. A finding prints its seed; the same seed
// repeats it:  FUZZ_SEED=… FUZZ_COUNT=… npm run fuzz

const count = Number(process.env['FUZZ_COUNT'] ?? 1_000_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fffffff);
const hour = 3_600_000;

console.log(`fuzz: seed ${seed}, ${count} inputs for each reader`);

/** Says how far the readers have come. */
function telling(what: string): (done: number) => void {
  const progress = new Progress(processIo(new AbortController().signal));
  return (done) => progress.count(what, done, count);
}

test(`device trees, seed ${seed}`, { timeout: hour }, () => {
  const { read, refused } = fuzzFdt(seed, count, telling('device trees'));
  expect(read + refused).toBe(count);
});

test(`ACPI tables, seed ${seed}`, { timeout: hour }, () => {
  expect(fuzzAcpi(seed, count, telling('ACPI tables'))).toBeDefined();
});

test(`firmware of whole machines, seed ${seed}`, { timeout: hour }, () => {
  const { described, refused } = fuzzFirmware(seed, count, telling('firmware'));
  expect(described + refused).toBe(count);
});
