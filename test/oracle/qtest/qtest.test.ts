import { expect, test } from 'vitest';

import { compare, DEVIATIONS } from './compare.ts';

/** As many requests as use every entry of the list: from there on one that is not used is an error. */
const FULL = 200_000;
const FEW = 6_000;

test('our virtio-iommu against that of QEMU, through qtest', { timeout: 3_600_000 }, async () => {
  const seed = Number(process.env['QTEST_SEED'] ?? (Date.now() & 0xffff));
  const count = Number(process.env['QTEST_COUNT'] ?? FEW);
  const round = Number(process.env['QTEST_ROUND'] ?? 0);
  console.log(`QTEST_SEED=${seed} QTEST_COUNT=${count} QTEST_ROUND=${round}`);
  const { requests, accesses, rounds, milliseconds, used } = await compare({ seed, count, round });
  console.log(
    `${requests} requests, ${accesses} accesses, ${rounds} rounds in ${Math.round(milliseconds)} ms`,
  );
  const unused = DEVIATIONS.filter(({ id }) => !used.has(id)).map(({ id }) => id);
  for (const { id } of DEVIATIONS) console.log(`${String(used.get(id) ?? 0).padStart(7)}  ${id}`);
  expect(requests).toBeGreaterThanOrEqual(count);
  if (count >= FULL) expect(unused).toEqual([]);
});
