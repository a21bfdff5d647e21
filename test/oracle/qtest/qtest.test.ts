import { describe, expect, test } from 'vitest';

import {
  attachBytes,
  INVAL,
  mapBytes,
  OK,
  probeBytes,
  unmapBytes,
} from '../../support/iommu-rig.ts';
import { ALL_DEVIATIONS, compare, DEVIATIONS, outlive } from './compare.ts';
import { plainWire } from './deviations.ts';
import { deviationsPage } from './page.ts';

/** Enough that every entry of the list is used: from there on one that is not is an error. */
const FULL = 200_000;
const FEW = 20_000;
const EDU = 0x20;

const seed = Number(process.env['QTEST_SEED'] ?? 1);
const count = Number(process.env['QTEST_COUNT'] ?? FEW);
const round = Number(process.env['QTEST_ROUND'] ?? 0);

describe("our virtio-iommu beside QEMU's, through qtest", () => {
  test(
    `QTEST_SEED=${seed} QTEST_ROUND=${round} QTEST_COUNT=${count}: no difference but the listed ones`,
    { timeout: 3_600_000 },
    async () => {
      const { requests, accesses, milliseconds, used, answers } = await compare({
        seed,
        count,
        round,
      });
      const time = Math.round(milliseconds / 1000);
      const counts = DEVIATIONS.map(({ id }) => `${String(used.get(id) ?? 0).padStart(7)}  ${id}`);
      const statuses = [...answers].map(([key, times]) => `${key}: ${times}`).toSorted();
      console.log(
        [
          `${requests} requests, ${accesses} accesses, ${time} s`,
          statuses.join(', '),
          ...counts,
        ].join('\n'),
      );
      expect(requests).toBeGreaterThanOrEqual(count);
      expect(accesses).toBeGreaterThan(0);
      for (const name of ['attach', 'detach', 'map', 'unmap', 'probe']) {
        expect(answers.get(`${name} ${OK}`) ?? 0, name).toBeGreaterThan(0);
      }
      const unused = DEVIATIONS.filter(({ id }) => !used.has(id)).map(({ id }) => id);
      if (count >= FULL) expect(unused).toEqual([]);
    },
  );

  test('a bug that lets writes through read-only mappings is found', async () => {
    const buggy = compare({ seed: 1, count: 40_000, canary: 'write-ignores-flags' });
    await expect(buggy).rejects.toThrow(/write of .* records of ours/);
  });

  test('a PROBE without room for all properties ends QEMU 7.2, and is INVAL in ours', async () => {
    const { mine, end, log } = await outlive(
      [{ ...plainWire(probeBytes(EDU)), writable: 100 }],
      60,
    );
    expect(mine[0]?.used).toBe(100);
    expect([...(mine[0]?.bytes ?? [])]).toEqual([...new Uint8Array(96), INVAL, 0, 0, 0]);
    expect(end).toContain('QEMU has ended');
    expect(log).toContain('Assertion');
  });

  test('an UNMAP around a reversed mapping hangs QEMU, and is OK in ours', async () => {
    const wires = [
      attachBytes(1, EDU),
      mapBytes(1, 0x9000n, 0x4fffn, 0x10_0000n),
      unmapBytes(1, 0n, 0xf_ffffn),
    ].map(plainWire);
    // It is killed after these seconds; the others of its answers take milliseconds.
    const { mine, theirs, end } = await outlive(wires, 8);
    expect(mine.map((answer) => answer?.bytes[0])).toEqual([OK, INVAL, OK]);
    expect(theirs.map((answer) => answer?.bytes[0])).toEqual([OK, OK]);
    expect(end).toContain('QEMU has ended');
  });

  test('each deviation has one entry, and the page lists them all', async () => {
    const ids = ALL_DEVIATIONS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    await expect(deviationsPage(ALL_DEVIATIONS)).toMatchFileSnapshot(
      '../../../docs/reference/deviations.md',
    );
  });
});
