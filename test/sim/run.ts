/**
 * The long simulation: `npx jiti test/sim/run.ts [--seed N] [--steps N] [--canary BUG]`.
 * Exit code 1, with the command that repeats it and the fewest steps that do, when it fails.
 */
import { parseArgs } from 'node:util';
import type { Canary } from '../../src/iommu/index.ts';
import { replayCommand, shrink, simulate } from './simulate.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() >>> 0) },
    steps: { type: 'string', default: '1000000' },
    canary: { type: 'string' },
  },
});
const seed = Number(values.seed);
const steps = Number(values.steps);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(steps) || steps < 1) {
  console.error('--seed and --steps must be whole numbers');
  process.exit(2);
}
const canary = values.canary as Canary | undefined;
console.log(`seed ${seed}, ${steps} steps`);
const started = Date.now();
const failure = simulate(seed, steps, {
  canary,
  onProgress: (step) => {
    if (step % 100_000 === 0 && step > 0) console.log(`${step} steps`);
  },
});
if (failure === undefined) {
  console.log(`device and model agree (${((Date.now() - started) / 1000).toFixed(1)} s)`);
} else {
  console.error(`step ${failure.step}: ${failure.message}`);
  console.error(`again: ${replayCommand(seed, failure.step + 1)}`);
  const small = shrink(seed, failure, { canary }, failure.step > 50_000 ? 30 : 200);
  console.error(`${small.steps.length} steps are enough: ${small.steps.slice(0, 100).join(' ')}`);
  console.error(small.failure.message);
  process.exitCode = 1;
}
