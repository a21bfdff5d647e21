import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';

type Register = (program: Command, context: CommandContext) => void;

/**
 * Every command, in the order of the help. Each is loaded when it is needed: most of what the tool
 * consists of is of no use to any one command, and loading it takes longer than `check` does.
 */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  init: async () => (await import('./init.ts')).registerInit,
  check: async () => (await import('./check.ts')).registerCheck,
  build: async () => (await import('./build.ts')).registerBuild,
  graph: async () => (await import('./graph.ts')).registerGraph,
  boot: async () => (await import('./boot/index.ts')).registerBoot,
  matrix: async () => (await import('./matrix.ts')).registerMatrix,
  judge: async () => (await import('./judge.ts')).registerJudge,
  inspect: async () => (await import('./inspect.ts')).registerInspect,
  explain: async () => (await import('./explain.ts')).registerExplain,
  trace: async () => (await import('./trace.ts')).registerTrace,
  debug: async () => (await import('./debug/index.ts')).registerDebug,
  import: async () => (await import('./import.ts')).registerImport,
  guest: async () => (await import('./guest.ts')).registerGuest,
  serve: async () => (await import('./serve.ts')).registerServe,
  qemu: async () => (await import('./qemu.ts')).registerQemu,
  doctor: async () => (await import('./doctor.ts')).registerDoctor,
  schema: async () => (await import('./schema.ts')).registerSchema,
};

/**
 * The commands that a command line can need: the one that it names, none when it asks for the version
 * only, and all of them for anything else: help, completion, a name with a slip in it.
 */
export function commandsFor(argv: readonly string[]): readonly string[] {
  const [first] = argv;
  if (argv.length === 1 && (first === '--version' || first === '-V')) return [];
  const named = argv.find((word) => !word.startsWith('-'));
  if (named !== undefined && Object.hasOwn(COMMANDS, named)) return [named];
  return Object.keys(COMMANDS);
}

/** Loads `names` and registers them. */
export async function registerCommands(
  names: readonly string[],
  program: Command,
  context: CommandContext,
): Promise<void> {
  for (const name of names) (await COMMANDS[name]?.())?.(program, context);
}

/** Whether these are all. */
export function areAll(names: readonly string[]): boolean {
  return names.length === Object.keys(COMMANDS).length;
}

/** Commands that start no program and make no directory that is to go with them. */
const WITHOUT_PROGRAMS = [
  'init',
  'check',
  'graph',
  'inspect',
  'explain',
  'trace',
  'debug',
  'schema',
];

/** Whether one of these can leave a program or a directory behind when it fails. */
export function startsPrograms(names: readonly string[]): boolean {
  return names.some((name) => !WITHOUT_PROGRAMS.includes(name));
}
