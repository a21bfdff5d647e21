/**
 * Runs a stock kernel's boot on the core and under QEMU side by side, instruction by instruction.
 *
 *   npm run lockstep [-- INSTRUCTIONS]       default: 5 million from the kernel's first on
 *
 * Exit code 1 with both states and the way there when they part.
 */
import { performance } from 'node:perf_hooks';

import { disassemble } from '../../../src/emulator/disassemble.ts';
import { bootCmdline, fetchGuest } from '../../../src/guest/index.ts';
import { builtCore } from '../../support/emulator.ts';
import { lockstep } from '../../support/lockstep.ts';

const count = Number(process.argv[2] ?? 5e6);
const guest = await fetchGuest('arm64');
const start = performance.now();
const report = await lockstep(
  await builtCore(),
  { kernel: guest.kernel, cmdline: bootCmdline('arm64', 'fast'), ram: 256 },
  count,
);
const seconds = (performance.now() - start) / 1000;
const skipped = Array.from(
  report.skipped,
  ([word, times]) =>
    `\n  ${word.toString(16).padStart(8, '0')} ${disassemble(word)}, ${times} times`,
);
console.log(
  `${guest.release}: ${report.compared} instructions equal in ${seconds.toFixed(0)} s; ` +
    `${report.followed} reads followed, ${report.interrupts} interrupts; skipped:${skipped.join('') || ' none'}`,
);
if (report.divergence !== undefined) {
  console.error(report.divergence);
  process.exitCode = 1;
}
