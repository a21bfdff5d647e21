import type { Command, Option } from 'commander';
import { EXIT } from './exit.ts';

/** What each exit code means, as the README has it. */
const CODES: readonly (readonly [number, string])[] = [
  [EXIT.OK, 'Everything asked for was done, and nothing was found wrong.'],
  [EXIT.VERDICT, 'A guest ran and did not show what its topology promises.'],
  [EXIT.INPUT, 'A file or an argument is wrong.'],
  [EXIT.ENVIRONMENT, 'The machine lacks something: a program, a kernel, a right.'],
  [EXIT.BUG, 'A mistake of viommu-topo.'],
];

/**
 * The manual page of the whole command line, in the macros of man(7), from what the commands say of
 * themselves.
 *
 * @param date YYYY-MM-DD, for the foot of the page
 */
export function manPage(program: Command, date: string): string {
  const commands = [...leaves(program, [])];
  return [
    `.TH VIOMMU\\-TOPO 1 "${date}" "viommu\\-topo ${roff(program.version() ?? '')}" "User Commands"`,
    '.SH NAME',
    `viommu\\-topo \\- ${roff(program.description())}`,
    '.SH SYNOPSIS',
    ...commands.flatMap(({ path, command }) => [
      `.B viommu\\-topo ${roff(path)}`,
      roff(usage(command)),
      '.br',
    ]),
    '.SH COMMANDS',
    ...commands.flatMap(({ path, command }) => section(path, command)),
    '.SH EXIT STATUS',
    ...CODES.flatMap(([code, text]) => ['.TP', `.B ${code}`, roff(text)]),
    '.SH ENVIRONMENT',
    ...entry('NO_COLOR', 'Plain text on a terminal, too.'),
    ...entry('XDG_CACHE_HOME', 'Where kernels are kept; without it ~/.cache.'),
    ...entry('VIOMMU_TOPO_MIRROR', 'The mirror of Debian to fetch kernels from.'),
    '',
  ].join('\n');
}

interface Leaf {
  readonly path: string;
  readonly command: Command;
}

function* leaves(command: Command, path: readonly string[]): Generator<Leaf> {
  const help = command.createHelp();
  for (const child of help.visibleCommands(command)) {
    if (child.name() === 'help') continue;
    const below = [...path, child.name()];
    if (child.commands.length > 0) yield* leaves(child, below);
    else yield { path: below.join(' '), command: child };
  }
}

function usage(command: Command): string {
  return command.usage().replace(/^\[options\]/u, '[OPTION...]');
}

function section(path: string, command: Command): string[] {
  const options = command.createHelp().visibleOptions(command);
  return [
    `.SS ${roff(`${path} ${usage(command)}`)}`,
    roff(sentence(command.description())),
    ...command.registeredArguments.flatMap((argument) =>
      argument.description === '' ? [] : entry(argument.name(), argument.description),
    ),
    ...options.flatMap((option) => entry(option.flags, describe(option))),
    ...examples(command),
  ];
}

function describe(option: Option): string {
  const { argChoices, defaultValue, description } = option;
  const parts = [
    ...(argChoices === undefined ? [] : [`One of ${argChoices.join(', ')}.`]),
    ...(typeof defaultValue === 'string' || typeof defaultValue === 'number'
      ? [`Default: ${defaultValue}.`]
      : []),
  ];
  return [sentence(description), ...parts].join(' ').trim();
}

/** What `--help` adds below the options, line by line: its layout is part of it. */
function examples(command: Command): string[] {
  let text = '';
  const output = command.configureOutput();
  command.configureOutput({ ...output, writeOut: (part) => void (text += part) });
  command.outputHelp();
  command.configureOutput(output);
  const own = command.helpInformation();
  const rest = text.startsWith(own) ? text.slice(own.length) : text;
  const lines = rest.replaceAll(/^\n+|\n+$/gu, '').split('\n');
  if (lines.length === 1 && lines[0] === '') return [];
  return ['.PP', '.nf', ...lines.map(roff), '.fi'];
}

function entry(name: string, text: string): string[] {
  return ['.TP', `.B ${roff(name)}`, roff(sentence(text))];
}

function sentence(text: string): string {
  if (text === '') return text;
  const start = `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return /[.!?]$/u.test(start) ? start : `${start}.`;
}

/** Text that means nothing to roff: no escapes, no requests at the start of a line, ASCII. */
function roff(text: string): string {
  const plain = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('…', '...')
    .replaceAll('×', '\\(mu');
  return /^[.']/u.test(plain) ? `\\&${plain}` : plain;
}
