import { basename } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { shellWord } from '../../qemu/index.ts';
import {
  parseTopology,
  STARTER_DEVICES_MAX,
  STARTER_MACHINES,
  starterTopology,
  type StarterWishes,
} from '../../topology/index.ts';
import type { CommandContext } from '../context.ts';
import { InputError } from '../exit.ts';
import { writeNew } from '../files.ts';
import type { Io } from '../io.ts';

interface InitOptions extends Partial<StarterWishes> {
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly print?: boolean;
}

/** What is taken where nobody is asked and no option says otherwise. */
const DEFAULTS: StarterWishes = {
  machine: 'virt',
  disks: 1,
  nics: 1,
  bypassing: 0,
  ports: 0,
  bootBypass: true,
};

/** `viommu-topo init`: a first topology, from a few questions or from options. */
export function registerInit(program: Command, { io }: CommandContext): void {
  const machines = STARTER_MACHINES.map(({ id }) => id);
  program
    .command('init')
    .description('write a commented topology to start from')
    .argument('[file]', 'where to', 'topology.yaml')
    .addOption(new Option('--machine <machine>', `default: ${DEFAULTS.machine}`).choices(machines))
    .option('--disks <n>', `disks behind the vIOMMU (default: ${DEFAULTS.disks})`, count)
    .option('--nics <n>', `NICs behind the vIOMMU (default: ${DEFAULTS.nics})`, count)
    .option('--bypassing <n>', 'disks that the vIOMMU leaves out (default: 0)', count)
    .option('--ports <n>', 'empty root ports, for hot-plug (default: 0)', count)
    .option('--no-boot-bypass', 'no DMA before the guest has attached an endpoint')
    .option('-y, --yes', 'ask nothing: options and defaults')
    .option('--print', 'to standard output instead of a file')
    .option('--force', 'replace the file if it is there')
    .addHelpText(
      'after',
      `
On a terminal it asks what no option has said; elsewhere, and with --yes, it takes the defaults.

Machines:
${STARTER_MACHINES.map(({ id, what }) => `  ${id.padEnd(11)} ${what}`).join('\n')}

Examples:
  viommu-topo init
  viommu-topo init my.yaml --machine q35 --disks 2 --yes
  viommu-topo init --print --machine virt-gicv2 --nics 2`,
    )
    .action(async (file: string, options: InitOptions, command: Command) => {
      const wishes = await decide(options, command, io);
      let text: string;
      try {
        text = starterTopology(wishes);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new InputError(error.message, 'see viommu-topo init --help', { cause: error });
      }
      assertChecked(text, file);
      if (options.print === true) {
        io.out(text);
        return;
      }
      writeNew(file, text, options.force === true);
      const word = shellWord(file);
      const picture = `${basename(file).replace(/\.ya?ml$/u, '')}.svg`;
      io.out(
        `${file} is written. Next:\n` +
          `  viommu-topo check ${word}\n` +
          `  viommu-topo graph ${word} -o ${shellWord(picture)}\n` +
          `  viommu-topo boot ${word}\n`,
      );
    });
}

function count(text: string): number {
  const value = Number(text);
  if (/^\d+$/u.test(text) && value <= STARTER_DEVICES_MAX) return value;
  throw new InvalidArgumentError(`a number from 0 to ${STARTER_DEVICES_MAX}.`);
}

/** What each option says, a person's answers for the rest, and defaults where nobody is there. */
async function decide(options: InitOptions, command: Command, io: Io): Promise<StarterWishes> {
  const said = Object.fromEntries(
    Object.keys(DEFAULTS)
      .filter((key) => command.getOptionValueSource(key) === 'cli')
      .map((key) => [key, options[key as keyof StarterWishes]]),
  ) as Partial<StarterWishes>;
  const asks = io.interactive && process.stdin.isTTY && options.yes !== true && !options.print;
  const answers = asks ? await ask(said, io) : {};
  return { ...DEFAULTS, ...answers, ...said };
}

async function ask(said: Partial<StarterWishes>, io: Io): Promise<Partial<StarterWishes>> {
  const { confirm, number, select } = await import('@inquirer/prompts');
  const context = { output: process.stderr, signal: io.signal };
  const answers: { -readonly [key in keyof StarterWishes]?: StarterWishes[key] } = {};
  if (said.machine === undefined) {
    const choices = STARTER_MACHINES.map(({ id, what }) => ({
      value: id,
      name: `${id}: ${what}`,
    }));
    answers.machine = await select({ message: 'Which machine?', choices }, context);
  }
  const questions = [
    ['disks', 'Disks behind the vIOMMU?'],
    ['nics', 'NICs behind the vIOMMU?'],
    ['bypassing', 'Disks that the vIOMMU leaves out?'],
    ['ports', 'Empty root ports, for hot-plug?'],
  ] as const;
  for (const [key, message] of questions) {
    if (said[key] !== undefined) continue;
    answers[key] = await number(
      { message, min: 0, max: STARTER_DEVICES_MAX, default: DEFAULTS[key], required: true },
      context,
    );
  }
  if (said.bootBypass === undefined) {
    const message = 'May devices do DMA before the guest has attached them (boot-bypass)?';
    answers.bootBypass = await confirm({ message, default: DEFAULTS.bootBypass }, context);
  }
  return answers;
}

/** What we wrote must be right: if a rule objects, that is our mistake, not the user's. */
function assertChecked(text: string, file: string): void {
  const [first] = parseTopology(text, file).diagnostics;
  if (first === undefined) return;
  throw new Error(`init wrote a topology that check objects to: ${first.message} [${first.rule}]`);
}
