import { closeSync, openSync, readSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { judgeConsole } from '../../backends/index.ts';
import { renderVerdict } from '../../report/index.ts';
import type { CommandContext } from '../context.ts';
import { EXIT, InputError } from '../exit.ts';
import { refuseInput, refuseUnending, writeResult } from '../files.ts';
import { requireTopology } from '../topology.ts';
import { VERDICT_FORMATS, type VerdictFormat } from './boot/options.ts';
import { machineReadable } from './boot/outputs.ts';
import { namedImages } from './boot/ready.ts';

interface JudgeOptions {
  readonly firmwareFrom?: string;
  readonly machine?: string;
  readonly seed: string;
  readonly format: VerdictFormat;
  readonly output?: string;
  readonly verbose?: boolean;
  readonly force?: boolean;
}

/** A guest that prints more says no more that is looked at. */
const CONSOLE_MAX = 64 << 20;

/** `viommu-topo judge`: a verdict on a guest that somebody else's VMM has run. */
export function registerJudge(program: Command, { io, exit }: CommandContext): void {
  program
    .command('judge')
    .description('a verdict on the console of a guest that another VMM has run')
    .argument('<file>', 'topology')
    .argument('<console>', 'what its first serial port printed; - for standard input')
    .option('--firmware-from <dir>', 'what it was given, as build wrote it: compare its own copy')
    .option('--machine <text>', 'who ran it, for the verdict')
    .option('--seed <text>', 'the one that guest export was given', 'viommu-topo')
    .addOption(
      new Option('--format <format>', 'of the verdict').choices(VERDICT_FORMATS).default('text'),
    )
    .option('-o, --output <file>', 'write the verdict there')
    .option('--verbose', 'every item of every promise')
    .option('--force', 'judge although the topology has errors')
    .addHelpText(
      'after',
      `
The guest must be the one that viommu-topo guest export made for this topology. What the guest
itself can show is judged; what only the device sees is not observable.

Examples:
  viommu-topo guest export its.yaml -o guest && my-vmm … | tee console.log
  viommu-topo judge its.yaml console.log --machine 'my-vmm 1.2' --format junit -o verdict.xml

Exit codes: those of boot.`,
    )
    .action((file: string, consoleFile: string, options: JudgeOptions) => {
      const model = requireTopology(file, io, { force: options.force === true });
      refuseInput(options.output, [file, consoleFile]);
      const { firmwareFrom, machine, seed, format, output, verbose } = options;
      refuseUnending(consoleFile);
      const verdict = judgeConsole(model, readConsole(consoleFile), {
        seed,
        ...(machine === undefined ? {} : { machine }),
        ...(firmwareFrom === undefined ? {} : { firmware: namedImages(firmwareFrom) }),
      });
      const text = renderVerdict(verdict, { color: io.colorOut, verbose: verbose === true });
      if (output !== undefined) writeResult(output, machineReadable(format, [verdict]));
      if (format === 'text' || output !== undefined) io.out(text);
      else io.out(machineReadable(format, [verdict]));
      exit(verdict.outcome === 'pass' ? EXIT.OK : EXIT.VERDICT);
    });
}

/** The beginning of a console that never ends is enough to say so. */
function readConsole(file: string): string {
  const parts: Buffer[] = [];
  try {
    const fd = file === '-' ? 0 : openSync(file, 'r');
    try {
      for (let size = 0; size < CONSOLE_MAX;) {
        const part = Buffer.alloc(1 << 16);
        const got = readSync(fd, part);
        if (got === 0) break;
        parts.push(part.subarray(0, got));
        size += got;
      }
    } finally {
      if (fd !== 0) closeSync(fd);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InputError(`cannot read ${file}: ${why}`, 'name a file, or - for standard input', {
      cause: error,
    });
  }
  return Buffer.concat(parts).toString('utf8');
}
