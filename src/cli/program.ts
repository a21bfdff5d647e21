import { Command, Option } from 'commander';
import { registerBoot } from './commands/boot/index.ts';
import { registerBuild } from './commands/build.ts';
import { registerCheck } from './commands/check.ts';
import { registerExplain } from './commands/explain.ts';
import { registerGraph } from './commands/graph.ts';
import { registerGuest } from './commands/guest.ts';
import { registerDebug } from './commands/debug/index.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerImport } from './commands/import.ts';
import { registerInit } from './commands/init.ts';
import { registerInspect } from './commands/inspect.ts';
import { registerJudge } from './commands/judge.ts';
import { registerMatrix } from './commands/matrix.ts';
import { registerQemu } from './commands/qemu.ts';
import { registerServe } from './commands/serve.ts';
import { registerSchema } from './commands/schema.ts';
import { registerTrace } from './commands/trace.ts';
import { addCompletion } from './completion.ts';
import type { CommandContext } from './context.ts';
import type { ExitCode } from './exit.ts';
import type { Io } from './io.ts';
import { packageVersion } from './version.ts';

/** The whole command line, without running it. */
export function createProgram(io: Io, exit: (code: ExitCode) => void): Command {
  const program = new Command('viommu-topo')
    .description('virtio-iommu topologies: firmware from YAML, and stock guests that prove it')
    .version(packageVersion())
    .addOption(new Option('--no-color', 'plain text, as with NO_COLOR'))
    .showHelpAfterError('(see viommu-topo --help)')
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err });
  const context: CommandContext = { io: withoutColor(io, program), exit };
  registerInit(program, context);
  registerCheck(program, context);
  registerBuild(program, context);
  registerGraph(program, context);
  registerBoot(program, context);
  registerMatrix(program, context);
  registerJudge(program, context);
  registerInspect(program, context);
  registerExplain(program, context);
  registerTrace(program, context);
  registerDebug(program, context);
  registerImport(program, context);
  registerGuest(program, context);
  registerServe(program, context);
  registerQemu(program, context);
  registerDoctor(program, context);
  registerSchema(program, context);
  addCompletion(program);
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
function inherit(command: Command, io: Io): void {
  command
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err })
    .showHelpAfterError(`(see viommu-topo ${command.name()} --help)`);
  for (const child of command.commands) inherit(child, io);
}
