import type { Argument, Command, Option } from 'commander';
import { format } from 'prettier';
import { createProgram } from '../../src/cli/program.ts';

// docs/reference/cli.md is written from the program itself: `npx vitest run -u` writes it anew.

/** A command that does something, and the words that call it. */
export interface Leaf {
  readonly path: string;
  readonly command: Command;
}

/** The whole program, which prints nothing. */
export function wholeProgram(): Promise<Command> {
  const io = {
    out: () => undefined,
    outBytes: () => undefined,
    err: () => undefined,
    interactive: false,
    colorOut: false,
    colorErr: false,
    env: {},
    signal: new AbortController().signal,
  };
  return createProgram(io, () => undefined, ['--help']);
}

/** Every command that is not only a family of others. */
export function leavesOf(command: Command, path: readonly string[] = []): readonly Leaf[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help')
    .flatMap((child) => {
      const below = [...path, child.name()];
      return child.commands.length > 0
        ? leavesOf(child, below)
        : [{ path: below.join(' '), command: child }];
    });
}

/** The whole document, as prettier would leave it. */
export async function cliDocument(): Promise<string> {
  const leaves = leavesOf(await wholeProgram());
  const rows = leaves.map(
    ({ path, command }) =>
      `| [\`${path}\`](#${path.replaceAll(' ', '-')}) | ${cell(command.description())} |`,
  );
  const text = [
    INTRODUCTION,
    ['| command | what it does |', '|---|---|', ...rows].join('\n'),
    EXIT_CODES,
    ENVIRONMENT,
    ...leaves.map(section),
  ].join('\n\n');
  return format(text, { parser: 'markdown', printWidth: 100 });
}

const INTRODUCTION = `# The command line

Written from the program (\`test/support/cli-document.ts\`), like \`man viommu-topo\` and what \`--help\` prints after each command. \`--no-color\` and \`--help\` go with every command, \`--version\` with none.`;

const EXIT_CODES = `## Exit codes

| code | meaning |
|---|---|
| 0 | What was asked for was done, and nothing was found wrong. Warnings are nothing wrong, unless \`--strict\` says so. |
| 1 | A guest ran and did not show what its topology promises; two traces differ; the run ended before what was waited for. |
| 2 | A file or an argument is wrong. The message has the place and the cure. |
| 3 | The machine lacks something: a program, a kernel, a right, space. The message says how to get it. |
| 70 | A mistake of viommu-topo. Please report it with what it prints. |
| 130, 143 | Stopped by Ctrl-C or SIGTERM. Nothing is left behind. |

With several boots the gravest code counts: 3, then 2, then 1.`;

const ENVIRONMENT = `## Environment

| variable | effect |
|---|---|
| \`NO_COLOR\` | Plain text, on a terminal too. |
| \`FORCE_COLOR\` | Colours where there is no terminal. |
| \`CI\` | Progress as plain lines. |
| \`XDG_CACHE_HOME\` | Kernels and answers are kept below it; default \`~/.cache\`. |
| \`VIOMMU_TOPO_MIRROR\` | The Debian mirror that kernels are fetched from. |`;

function section({ path, command }: Leaf): string {
  const help = command.createHelp();
  const args = help.visibleArguments(command);
  const options = help.visibleOptions(command).filter(({ long }) => long !== '--help');
  const after = helpAfter(command);
  return [
    `## ${path}`,
    `\`viommu-topo ${path} ${command.usage()}\``,
    sentence(command.description()),
    ...(args.length === 0 ? [] : [argumentTable(args)]),
    ...(options.length === 0 ? [] : [optionTable(options)]),
    ...(after === '' ? [] : [`\`\`\`text\n${after}\n\`\`\``]),
  ].join('\n\n');
}

function argumentTable(args: readonly Argument[]): string {
  const rows = args.map((it) => `| \`${it.name()}\` | ${cell(it.description)} |`);
  return ['| argument | what |', '|---|---|', ...rows].join('\n');
}

function optionTable(options: readonly Option[]): string {
  const rows = options.map((it) => `| \`${it.flags}\` | ${cell(describe(it))} |`);
  return ['| option | what |', '|---|---|', ...rows].join('\n');
}

function describe({ argChoices, defaultValue, description, required }: Option): string {
  const said = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return [
    sentence(description),
    ...(argChoices === undefined ? [] : [`One of ${argChoices.map(code).join(', ')}.`]),
    ...(required && said ? [`Default ${code(String(defaultValue))}.`] : []),
  ]
    .join(' ')
    .trim();
}

/** What `--help` adds below the options. */
export function helpAfter(command: Command): string {
  let text = '';
  const output = command.configureOutput();
  command.configureOutput({ ...output, writeOut: (part) => void (text += part) });
  command.outputHelp();
  command.configureOutput(output);
  const own = command.helpInformation();
  return text.startsWith(own) ? text.slice(own.length).replaceAll(/^\n+|\n+$/gu, '') : '';
}

function code(text: string): string {
  return `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/[<*_]/gu, '\\$&');
}

function sentence(text: string): string {
  const start = `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return text === '' || /[.!?:]$/u.test(start) ? start : `${start}.`;
}
