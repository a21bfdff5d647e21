import { beforeAll, expect, test } from 'vitest';
import { bootTopology } from '../../docs/examples/boot-and-judge.ts';
import { builtCore } from '../support/emulator.ts';

beforeAll(() => builtCore());

test('docs/examples/boot-and-judge.ts boots a stock guest', async () => {
  const verdict = await bootTopology('topologies/one-endpoint.yaml');
  expect(verdict.summary).toMatch(/^PASS one-endpoint \(emulator, device tree/u);
  expect(verdict.environment.kernel?.release).toMatch(/-arm64$/u);
});

test('docs/examples/boot-and-judge.ts says what the emulator cannot hold', async () => {
  await expect(bootTopology('topologies/q35-one-endpoint.yaml')).rejects.toThrow(/arm64/u);
});
