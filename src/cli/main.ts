import { CommanderError } from 'commander';
import { commandsFor, startsPrograms } from './commands/all.ts';
import { ConsoleLeft, EXIT, InputError, type ExitCode } from './exit.ts';
import { processIo, type Io } from './io.ts';
import { createProgram } from './program.ts';
import { guardStream } from './streams.ts';

/**
 * Runs one command line and returns its exit code; it never throws and never calls `process.exit`,
 * so that streams are flushed and children are gone when the process ends by itself.
 *
 * @param argv arguments without node and script
 */
export async function main(argv: readonly string[]): Promise<number> {
  const abort = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => abort.abort(signal);
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal);
  const stdout = guardStream(process.stdout);
  const stderr = guardStream(process.stderr);
  let release: (() => void) | undefined;
  try {
    // Loaded before it is needed: by then an update may have replaced the files of this program.
    if (startsPrograms(commandsFor(argv)))
      release = (await import('../qemu/index.ts')).releaseEverything;
    const code = await runCommand(argv, processIo(abort.signal));
    await stdout.settled();
    const lost = stdout.lost();
    if (lost !== undefined) {
      process.stderr.write(`viommu-topo: the results could not be written: ${lost.message}\n`);
    }
    await stderr.settled();
    return lost === undefined ? code : EXIT.ENVIRONMENT;
  } finally {
    // Whatever a failure left: no process and no directory of ours outlives the command.
    release?.();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal).off('SIGHUP', onSignal);
  }
}

/** The same with streams of the caller's; what unit tests use. */
export async function runCommand(argv: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = EXIT.OK;
  try {
    const program = await createProgram(io, (value) => void (code = value), argv);
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (io.signal.aborted) {
      io.err(`stopped by ${String(io.signal.reason)}\n`);
      return io.signal.reason === 'SIGINT' ? EXIT.INTERRUPTED : EXIT.TERMINATED;
    }
    return await explain(error, io);
  }
}

/** Every room has an error of its own for what the machine lacks; their codes begin alike. */
function isEnvironment(
  error: unknown,
): error is Error & { readonly code: string; readonly cure: string } {
  if (!(error instanceof Error) || !('code' in error) || !('cure' in error)) return false;
  return String(error.code).startsWith('env/');
}

async function explain(error: unknown, io: Io): Promise<ExitCode> {
  // commander has printed its own message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.INPUT;
  if (error instanceof ConsoleLeft) {
    io.err('\r\nleft the console: the boot was ended, and there is no verdict\n');
    return EXIT.INTERRUPTED;
  }
  if (error instanceof InputError) {
    io.err(`viommu-topo: ${error.message}\n${error.cure ? `  cure: ${error.cure}\n` : ''}`);
    return EXIT.INPUT;
  }
  return (await explainRooms(error, io).catch(() => undefined)) ?? explainBug(error, io);
}

/** Errors of rooms, which are loaded only now: a command that went well has no use for their names. */
async function explainRooms(error: unknown, io: Io): Promise<ExitCode | undefined> {
  if (isEnvironment(error)) {
    io.err(`viommu-topo: ${error.message} [${error.code}]\n  cure: ${error.cure}\n`);
    return EXIT.ENVIRONMENT;
  }
  const { FormatError } = await import('../bytes/index.ts');
  const { FdtTreeError } = await import('../fdt/index.ts');
  const { FirmwareError } = await import('../firmware/index.ts');
  const { QemuError } = await import('../qemu/index.ts');
  if (error instanceof FdtTreeError) {
    io.err(`viommu-topo: this cannot be a device tree: ${error.message} [${error.code}]\n`);
    return EXIT.INPUT;
  }
  if (error instanceof FirmwareError) {
    io.err(`viommu-topo: ${error.message}\n${error.cure ? `  cure: ${error.cure}\n` : ''}`);
    return error.code === 'outputs/no-space' ? EXIT.ENVIRONMENT : EXIT.INPUT;
  }
  if (error instanceof QemuError) {
    io.err(`viommu-topo: ${error.message} [${error.code}]\n`);
    return EXIT.ENVIRONMENT;
  }
  if (error instanceof FormatError) {
    io.err(`viommu-topo: ${error.message} [${error.code}]\n`);
    return EXIT.INPUT;
  }
  return undefined;
}

function explainBug(error: unknown, io: Io): ExitCode {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.err(
    `viommu-topo: this is a mistake of viommu-topo, not yours; please report it with the lines below\n` +
      `node ${process.version}, ${process.platform} ${process.arch}\n${stack}\n`,
  );
  return EXIT.BUG;
}
