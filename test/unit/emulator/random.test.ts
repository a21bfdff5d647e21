import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';

import { randomProgram } from '../../support/a64-random.ts';
import { hashOf, knownTo, PARTS, runOnCore, type Part } from '../../support/a64-run.ts';
import { builtCore } from '../../support/emulator.ts';
import type { WasmModule } from '../../../src/emulator/index.ts';

interface Row extends Part {
  readonly image: string;
  readonly instructions: number;
  /** Of what QEMU 7.2 answered: test/oracle/emulator/record.ts. */
  readonly sha256: string;
}

const golden = new URL('../../golden/emulator/random.json', import.meta.url);
const rows = JSON.parse(await readFile(golden, 'utf8')) as Row[];
let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
}, 60_000);

describe('random programs do what QEMU does', () => {
  test('more than a million instructions of every kind', () => {
    expect(rows.map(({ kind, seed }) => ({ kind, seed }))).toEqual(
      PARTS.map(({ kind, seed }) => ({ kind, seed })),
    );
    expect(rows.reduce((sum, { instructions }) => sum + instructions, 0)).toBeGreaterThan(1e6);
  });

  test.each(rows)('$kind, seed $seed', (row) => {
    const program = randomProgram(row.seed, row.kind, row.blocks, row.length, knownTo(module));
    // The generator asks the core which instructions it has: a smaller set makes another program.
    expect(hashOf(program.image), 'the program is the one that was recorded').toBe(row.image);
    expect(program.count).toBe(row.instructions);
    expect(hashOf(runOnCore(module, program))).toBe(row.sha256);
  });
});
