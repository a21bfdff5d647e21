import { Command, InvalidArgumentError, Option } from 'commander';
import { shellWord } from '../../qemu/index.ts';
import type { Verdict } from '../../scenario/index.ts';
import type { CommandContext } from '../context.ts';
import { EXIT, InputError } from '../exit.ts';
import type { Io } from '../io.ts';
import { cellCommand, matrixOf, type Cell } from '../matrix/cells.ts';
import { inShard, shard, type Shard } from '../matrix/shard.ts';
import { BACKEND_NAMES, type BackendName } from './boot/backends.ts';
import { FIRMWARE_WORDS, type FirmwareKind } from './boot/boots.ts';
import { checkOptions } from './boot/conflicts.ts';
import { addBootOptions, type BootOptions } from './boot/options.ts';
import { machineReadable } from './boot/outputs.ts';
import { runBoots } from './boot/runner.ts';
import { writeResult } from '../files.ts';

interface MatrixOptions {
  readonly backend: readonly BackendName[];
  readonly firmware: readonly FirmwareKind[];
  readonly series?: readonly string[];
  readonly shard?: Shard;
  readonly run?: boolean;
  readonly list: 'commands' | 'json' | 'github';
  readonly verbose?: boolean;
}

/** `viommu-topo matrix`: topologies × backends × firmware × kernels. */
export function registerMatrix(program: Command, { io, exit }: CommandContext): void {
  program
    .command('matrix')
    .description('the product of topologies, backends, firmware and kernels: print it, or boot it')
    .argument('<file...>', 'topologies; after --, options of boot')
    .option('--backend <list>', `of ${BACKEND_NAMES.join(', ')}`, backends, ['emulator', 'qemu'])
    .option('--firmware <list>', 'of dt, acpi', firmware, ['device-tree', 'acpi'])
    .option('--series <list>', 'kernels, such as 6.12,7.3+ (default: the topology’s)', words)
    .option('--shard <part>', 'only this part, such as 2/5', shard)
    .option('--run', 'boot them, and judge')
    .addOption(
      new Option(
        '--list <form>',
        'without --run: commands, JSON, or a job matrix of GitHub Actions',
      )
        .choices(['commands', 'json', 'github'])
        .default('commands'),
    )
    .option('--verbose', 'say what cannot be booted, and why')
    .addHelpText(
      'after',
      `
What a backend cannot hold is left out; the same arguments give the same list, so that shards of
several machines make the whole.

Examples:
  viommu-topo matrix topologies/*.yaml
  viommu-topo matrix topologies/*.yaml --backend emulator --shard 1/4 --run -- --format junit -o v.xml
  viommu-topo matrix its.yaml --series 6.12,7.3+ --list github

Exit codes: those of boot.`,
    )
    .action(async (given: string[], options: MatrixOptions) => {
      const { files, rest } = divide(given);
      const boot = bootOptions(rest, io);
      const series = options.series ?? [undefined];
      const axes = { files, backends: options.backend, firmware: options.firmware, series };
      const { cells, gaps } = matrixOf(axes, { ...boot, quiet: true }, io);
      if (options.verbose === true) for (const gap of gaps) io.err(`not ${gap.name}: ${gap.why}\n`);
      if (cells.length === 0)
        throw new InputError('nothing of this can be booted', 'see --verbose');
      const mine = inShard(cells, options.shard);
      if (options.run !== true) {
        io.out(listing(mine, options.list));
        return;
      }
      const verdicts = await run(mine, boot, io);
      exit(verdicts.every(({ outcome }) => outcome === 'pass') ? EXIT.OK : EXIT.VERDICT);
    });
}

function words(text: string): string[] {
  const found = text.split(',').filter((word) => word !== '');
  if (found.length === 0) throw new InvalidArgumentError('A list is wanted, such as a,b.');
  return [...new Set(found)];
}

function oneOf<T extends string>(text: string, names: readonly T[]): T[] {
  return words(text).map((word) => {
    const found = names.find((name) => name === word);
    if (found === undefined) throw new InvalidArgumentError(`Of ${names.join(', ')}.`);
    return found;
  });
}

function backends(text: string): BackendName[] {
  return oneOf(text, BACKEND_NAMES);
}

function firmware(text: string): FirmwareKind[] {
  return oneOf(text, ['dt', 'acpi']).map((word) => (word === 'dt' ? 'device-tree' : 'acpi'));
}

/** Commander gives what stands after `--` with the files; the first option begins it. */
function divide(given: readonly string[]): { files: readonly string[]; rest: readonly string[] } {
  const at = given.findIndex((word) => word.startsWith('-'));
  if (at < 0) return { files: given, rest: [] };
  return { files: given.slice(0, at), rest: given.slice(at) };
}

const AXES = ['backend', 'firmware', 'series', 'debug'] as const;

function bootOptions(rest: readonly string[], io: Io): BootOptions {
  const command = addBootOptions(new Command('boot'))
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .allowExcessArguments(false);
  command.parse([...rest], { from: 'user' });
  const options = command.opts<BootOptions>();
  const axis = AXES.find((name) => options[name] !== undefined);
  if (axis !== undefined) {
    throw new InputError(`--${axis} after --`, `give it before --, as an option of matrix`);
  }
  checkOptions(options);
  return options;
}

function listing(cells: readonly Cell[], form: MatrixOptions['list']): string {
  if (form === 'commands') {
    return cells.map((cell) => `${cellCommand(cell).map(shellWord).join(' ')}\n`).join('');
  }
  const include = cells.map((cell) => ({
    topology: cell.boot.file,
    backend: cell.boot.backend,
    firmware: FIRMWARE_WORDS[cell.boot.kind],
    ...(cell.series === undefined ? {} : { series: cell.series }),
    command: cellCommand(cell).map(shellWord).join(' '),
  }));
  if (form === 'github') return `${JSON.stringify({ include })}\n`;
  return `${JSON.stringify(include, undefined, 2)}\n`;
}

/** One run for each kernel; what is for machines comes at the end, whole. */
async function run(cells: readonly Cell[], options: BootOptions, io: Io): Promise<Verdict[]> {
  const { format, output } = options;
  const verdicts: Verdict[] = [];
  const { output: _, ...rest } = options;
  // Standard output belongs to the form that was asked for.
  const told = format === 'text' ? io : { ...io, out: io.err, colorOut: io.colorErr };
  for (const series of new Set(cells.map((cell) => cell.series))) {
    const boots = cells.filter((cell) => cell.series === series).map(({ boot }) => boot);
    const chosen = {
      ...rest,
      format: 'text',
      ...(series === undefined ? {} : { series }),
    } as const;
    verdicts.push(...(await runBoots(boots, told, chosen)));
  }
  const text = machineReadable(format, verdicts);
  if (output !== undefined) writeResult(output, text);
  else if (format !== 'text') io.out(text);
  const failed = verdicts.filter(({ outcome }) => outcome !== 'pass').length;
  io.err(`${verdicts.length} boots: ${verdicts.length - failed} passed, ${failed} failed\n`);
  return verdicts;
}
