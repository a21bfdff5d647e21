/**
 * Boots that must come out the same, to the instruction and to the byte, on kernels that are pinned by
 * their sha256. After a change that is meant to show:
 *
 *   UPDATE=1 npx vitest run --project e2e test/e2e/emulator-pinned.test.ts
 */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';

import type { WasmModule } from '../../src/emulator/index.ts';
import { cachedGuests, DEFAULT_SERIES, fetchGuest, type Guest } from '../../src/guest/index.ts';
import { builtCore } from '../support/emulator.ts';
import { pinnedBoot, type BootResult, type PinnedBoot } from '../support/pinned-boot.ts';

const golden = new URL('../golden/emulator/boots.json', import.meta.url);
const update = process.env['UPDATE'] !== undefined;
const rows = JSON.parse(await readFile(golden, 'utf8')) as PinnedBoot[];
let module: WasmModule;
let stock: BootResult;
let others: Guest[];
beforeAll(async () => {
  module = await builtCore();
  const guest = await fetchGuest('arm64');
  others = [...(await cachedGuests()).values()].filter(
    ({ arch, release }) => arch === 'arm64' && !release.startsWith(`${DEFAULT_SERIES}.`),
  );
  stock = await pinnedBoot(module, guest, 'stock');
}, 120_000);

/** Compares with the row of the same kernel; false when there is none. */
async function compare({ row }: BootResult): Promise<boolean> {
  const isSame = (one: PinnedBoot): boolean =>
    one.kernel === row.kernel && one.options === row.options;
  if (update) {
    const old = JSON.parse(await readFile(golden, 'utf8')) as PinnedBoot[];
    const next = [...old.filter((one) => !isSame(one)), row];
    next.sort((a, b) => a.release.localeCompare(b.release));
    await writeFile(golden, `${JSON.stringify(next, null, 2)}\n`);
    return true;
  }
  const pinned = rows.find(isSame);
  if (pinned !== undefined) expect(row).toEqual(pinned);
  return pinned !== undefined;
}

describe('the stock command line', () => {
  test('all self-tests of the kernel pass: hundreds of millions of instructions that check the CPU', () => {
    const text = stock.lines.join('\n');
    expect(stock.outcome.kind, stock.lines.slice(-20).join('\n')).toBe('off');
    const results = Array.from(text.matchAll(/^selftest +: (\w+)/gmu), ([, result]) => result);
    expect(results.length).toBeGreaterThan(30);
    expect(results.filter((result) => result !== 'passed')).toEqual([]);
    for (const name of ['sha256-generic', 'aes-generic', 'ecdsa-nist-p521-generic', 'dh-generic'])
      expect(text).toMatch(new RegExp(`^driver +: ${name}$`, 'mu'));
    expect(text).not.toMatch(/alg: .*(?:failed|unavailable)|self-tests? .*failed|WARNING|Oops/u);
  });

  test('instructions and console are those of the pinned kernel', async (context) => {
    if (!(await compare(stock))) context.skip(`${stock.row.release} is not pinned`);
  });
});

describe('the fast command line, on the other kernels of the cache', () => {
  test('instructions and console are those of the pinned kernels', async (context) => {
    if (others.length === 0) context.skip('the cache has no other');
    for (const guest of others) {
      const result = await pinnedBoot(module, guest, 'fast');
      expect(result.outcome.kind, result.lines.slice(-20).join('\n')).toBe('off');
      await compare(result);
    }
  });
});
