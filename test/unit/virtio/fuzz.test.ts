import { expect, test } from 'vitest';
import { fuzzTransports } from '../../fuzz/virtio-transport.ts';
import { fuzzQueues } from '../../fuzz/virtqueue.ts';

// FUZZ_SEED=n tries another seed; a failure names the call that repeats it.
const seed = Number(process.env['FUZZ_SEED'] ?? 1);

test('hostile rings break a queue with a code, and nothing else', () => {
  const { chains, codes } = fuzzQueues(seed, 12_000);
  expect(chains).toBeGreaterThan(10_000);
  // Every way to break a queue was met.
  expect([...codes.keys()].toSorted()).toEqual([
    'avail-index',
    'chain-bytes',
    'chain-length',
    'chain-order',
    'descriptor-index',
    'in-flight',
    'indirect-length',
    'indirect-nested',
    'indirect-not-negotiated',
    'indirect-unreachable',
    'indirect-with-next',
    'ring-size',
    'ring-unreachable',
  ]);
});

test('hostile drivers of both transports: bounded, restorable, in a state that exists', () => {
  const seen = fuzzTransports(seed, 1500);
  expect(seen.features).toBeGreaterThan(1000);
  expect(seen.lived).toBeGreaterThan(1000);
  expect(seen.answered).toBeGreaterThan(1000);
  expect(seen.broken).toBeGreaterThan(100);
});
