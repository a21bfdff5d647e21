import { beforeAll, describe, expect, test } from 'vitest';

import { BASE, ENTRY, randomProgram, type RandomProgram } from '../../support/a64-random.ts';
import { runOnQemu } from '../../support/a64-qemu.ts';
import { knownTo, PARTS, runOnCore } from '../../support/a64-run.ts';
import { builtCore } from '../../support/emulator.ts';
import type { WasmModule } from '../../../src/emulator/index.ts';

let module: WasmModule;
beforeAll(async () => {
  module = await builtCore();
});

/** The first dump that differs: its block, the slot in it, both values; and the block's words. */
function firstDifference(program: RandomProgram, a: Uint8Array, b: Uint8Array): string {
  const [x, y] = [a, b].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  for (let at = 0; at + 8 <= program.outputSize; at += 8) {
    const [mine, theirs] = [x?.getBigUint64(at, true), y?.getBigUint64(at, true)];
    if (mine === theirs) continue;
    const block = Math.floor(at / program.dumpSize);
    const words = program.blocks[block]?.map((word) => word.toString(16)).join(' ');
    const slot = (at % program.dumpSize) / 8;
    return `block ${block}, slot ${slot}: ${mine?.toString(16)}, QEMU ${theirs?.toString(16)}: ${words}`;
  }
  return '';
}

describe('random programs, on the core and under qemu-aarch64', () => {
  // Other seeds than those of the committed hashes.
  for (const { kind, seed, blocks, length } of PARTS.filter((_, index) => index % 2 === 0)) {
    test(`${kind}, seed ${seed + 7000}`, async () => {
      const program = randomProgram(seed + 7000, kind, blocks, length, knownTo(module));
      expect(program.count).toBeGreaterThan(30_000);
      const mine = runOnCore(module, program);
      const theirs = await runOnQemu(program);
      expect(theirs.length).toBe(program.outputSize);
      expect(firstDifference(program, mine, theirs)).toBe('');
    });
  }

  test('the image is where both expect it', () => {
    const program = randomProgram(1, 'integer', 1, 1, knownTo(module));
    const first = new DataView(program.image.buffer).getUint32(ENTRY, true);
    // MOVZ x27: the middle of the scratch memory, above BASE.
    expect(first & 0xff80_001f).toBe(0xd280_001b | 0);
    expect(BASE).toBe(0x4000_0000);
  });
});
