import { expect, test } from 'vitest';
import { fuzzQueues } from '../../fuzz/virtqueue.ts';

test('hostile rings break a queue with a code, and nothing else', () => {
  const { chains, codes } = fuzzQueues(Number(process.env['FUZZ_SEED'] ?? 1), 12_000);
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
