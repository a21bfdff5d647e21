/**
 * Writes test/golden/emulator/random.json: what QEMU answers to the random programs, as hashes.
 *
 *   npx jiti test/oracle/emulator/record.ts
 */
import { writeFile } from 'node:fs/promises';

import { randomProgram } from '../../support/a64-random.ts';
import { runOnQemu } from '../../support/a64-qemu.ts';
import { hashOf, knownTo, PARTS } from '../../support/a64-run.ts';
import { builtCore } from '../../support/emulator.ts';

const known = knownTo(await builtCore());
const rows = [];
for (const part of PARTS) {
  const program = randomProgram(part.seed, part.kind, part.blocks, part.length, known);
  const sha256 = hashOf(await runOnQemu(program));
  rows.push({ ...part, image: hashOf(program.image), instructions: program.count, sha256 });
}
const place = new URL('../../golden/emulator/random.json', import.meta.url);
await writeFile(place, `${JSON.stringify(rows, null, 2)}\n`);
