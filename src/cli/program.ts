import { Command, Option } from 'commander';
import { areAll, commandsFor, registerCommands } from './commands/all.ts';
import type { CommandContext } from './context.ts';
import type { ExitCode } from './exit.ts';
import type { Io } from './io.ts';
import { packageVersion } from './version.ts';

/**
 * The command line, without running it.
 *
 * @param argv what is on it, so that only commands it can need are there; default: all are
 */
export async function createProgram(
  io: Io,
  exit: (code: ExitCode) => void,
  argv: readonly string[] = [],
): Promise<Command> {
  const program = new Command('viommu-topo')
    .description('virtio-iommu topologies: firmware from YAML, and stock guests that prove it')
    .version(packageVersion())
    .addOption(new Option('--no-color', 'plain text, as with NO_COLOR'))
    .showHelpAfterError('(see viommu-topo --help)')
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err });
  const context: CommandContext = { io: withoutColor(io, program), exit };
  const names = commandsFor(argv);
  await registerCommands(names, program, context);
  if (areAll(names)) (await import('./completion.ts')).addCompletion(program);
  for (const command of program.commands) inherit(command, io);
  program.addHelpText(
    'after',
    `
Examples:
  viommu-topo check topologies/*.yaml            what is wrong, and what Linux would do with it
  viommu-topo build topologies/its.yaml -o out   device tree, ACPI tables, boot.sh
  viommu-topo boot topologies/its.yaml           a stock guest, and a verdict
  viommu-topo inspect out/topology.dtb           anyone's tree or table, as a table or as YAML
  viommu-topo explain topologies/its.yaml disk0  why Linux puts it behind a vIOMMU, or does not
  viommu-topo debug run/socket                   look into a boot --debug run/socket

Exit codes: 0 fine; 1 the guest did not show what the topology promises; 2 a file or argument is
wrong; 3 the machine lacks something; 70 a mistake of viommu-topo.`,
  );
  return program;
}

/** The same streams; plain once `--no-color` was read, wherever on the line it stands. */
function withoutColor(io: Io, program: Command): Io {
  const plain = (): boolean => program.opts<{ color?: boolean }>().color === false;
  return {
    ...io,
    get colorOut() {
      return io.colorOut && !plain();
    },
    get colorErr() {
      return io.colorErr && !plain();
    },
  };
}

/** commander copies these settings only to commands made by `.command()` after they were set. */
function inherit(command: Command, io: Io, path = `viommu-topo ${command.name()}`): void {
  command
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .showHelpAfterError(`(see ${path} --help)`);
  for (const child of command.commands) inherit(child, io, `${path} ${child.name()}`);
}
