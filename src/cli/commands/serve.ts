import { Option, type Command } from 'commander';
import {
  builtImages,
  serveTopology,
  vfioUserPreflight,
  type ServedTopology,
} from '../../backends/index.ts';
import { asOutputError, buildFirmware } from '../../firmware/index.ts';
import { serveDebug, SocketError, type DebugServer } from '../../debug/index.ts';
import { EnvironmentError, fetchGuest, genericInitramfs } from '../../guest/index.ts';
import { findVfioUserQemu, stockSeries, workDirectory } from '../../qemu/index.ts';
import { renderDiagnostics } from '../../report/index.ts';
import type { BootInput } from '../../scenario/index.ts';
import type { Model } from '../../topology/index.ts';
import { collect, seconds } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { InputError } from '../exit.ts';
import type { Io } from '../io.ts';
import { Progress } from '../progress.ts';
import { serveMessages, type ServeMessages } from '../serving/messages.ts';
import { Watch } from '../serving/watch.ts';
import { requireTopology } from '../topology.ts';

interface ServeOptions {
  readonly dir?: string;
  readonly qemu?: string;
  readonly accel: 'kvm' | 'tcg';
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append: readonly string[];
  readonly seed: string;
  readonly wait?: number;
  readonly stay?: boolean;
  readonly verbose?: boolean;
  readonly format: 'text' | 'json';
  readonly force?: boolean;
  readonly debug?: string;
}

/** `viommu-topo serve`: a topology's devices for a QEMU that the user starts. */
export function registerServe(program: Command, { io, exit }: CommandContext): void {
  program
    .command('serve')
    .description("serve a topology's vIOMMUs and endpoints to a QEMU that you start")
    .argument('<file>', 'topology')
    .option('--dir <dir>', 'for sockets and firmware (default: a directory that goes in the end)')
    .option('--qemu <program>', 'the QEMU of the command line (default: one that can)')
    .addOption(new Option('--accel <accel>').choices(['tcg', 'kvm']).default('tcg'))
    .option('--kernel <image>', 'kernel of the command line; needs --initrd (default: a stock one)')
    .option('--initrd <file>', 'its initial RAM disk')
    .option('--append <parameter>', 'one more kernel parameter; may be repeated', collect, [])
    .option('--seed <text>', "what the disks' contents come from", 'viommu-topo')
    .option('--wait <seconds>', 'give up when no QEMU has connected by then', seconds)
    .option('--stay', 'serve the next QEMU when one is gone')
    .option('--verbose', 'print what the devices do')
    .option('--debug <socket>', 'let viommu-topo debug look into the devices')
    .addOption(
      new Option('--format <format>', 'json: a line for each message')
        .choices(['text', 'json'])
        .default('text'),
    )
    .option('--force', 'serve although the topology has errors')
    .addHelpText('after', HELP)
    .action(async (file: string, options: ServeOptions) => {
      if ((options.kernel === undefined) !== (options.initrd === undefined)) {
        throw new InputError('--kernel and --initrd belong together', 'give both, or neither');
      }
      exit(await run(file, options, io));
    });
}

const HELP = `
Prints the command line of QEMU, one line for each argument, and serves until QEMU is gone, or Ctrl-C.
Needs a QEMU of 10.1 or newer (viommu-topo qemu fetch), and Linux.

Examples:
  viommu-topo serve topologies/several-viommus.yaml
  viommu-topo serve topologies/q35-one-endpoint.yaml --dir /tmp/q35 --verbose
  viommu-topo serve topologies/its.yaml --format json --wait 60`;

async function run(file: string, options: ServeOptions, io: Io): Promise<0 | 1> {
  const model = requireTopology(file, io, { force: options.force === true });
  const firmware = builtImages(buildFirmware(model), `built from ${file}`);
  const { seed } = options;
  const input: BootInput = { model, firmware, seed, timeLimit: 0, signal: io.signal };
  refuse(input, file, io);
  const messages = serveMessages(options.format, io, options.verbose === true);
  const parts = await guestOf(model, options, io);
  const work = options.dir === undefined ? await workDirectory() : undefined;
  const watch = new Watch(messages, options);
  try {
    const served = await serveTopology(input, {
      ...parts,
      directory: options.dir ?? work?.path ?? '',
      accel: options.accel,
      append: options.append,
      live: options.verbose === true,
      onReport: (report) => watch.report(report),
    }).catch((error: unknown) => {
      throw asOutputError(error, options.dir ?? work?.path ?? '');
    });
    return await debugged(options.debug, served, () => serveUntilOver(served, watch, messages, io));
  } finally {
    work?.remove();
  }
}

/** `--debug`: the socket is there for as long as the devices are served. */
async function debugged<T>(
  socket: string | undefined,
  served: ServedTopology,
  work: () => Promise<T>,
): Promise<T> {
  if (socket === undefined) return work();
  let server: DebugServer;
  try {
    server = await serveDebug(socket, served.inspector);
  } catch (error) {
    await served.stop();
    if (!(error instanceof SocketError)) throw error;
    throw new InputError(error.message, error.cure, { cause: error });
  }
  try {
    return await work();
  } finally {
    await server.close();
  }
}

async function serveUntilOver(
  served: ServedTopology,
  watch: Watch,
  messages: ServeMessages,
  io: Io,
): Promise<0 | 1> {
  messages.ready(served);
  let failed = false;
  try {
    failed = await watch.untilOver(served, io.signal);
  } finally {
    if (watch.connected > 0) messages.note('a QEMU is still connected, and will abort');
    messages.ended(await served.stop());
  }
  return failed ? 1 : 0;
}

/** @throws InputError when the topology's devices cannot be served */
function refuse(input: BootInput, file: string, io: Io): void {
  const found = vfioUserPreflight(input);
  if (found.length === 0) return;
  io.err(renderDiagnostics(found, new Map(), { color: io.colorErr }));
  if (found.some(({ severity }) => severity === 'error')) {
    throw new InputError(`the devices of ${file} cannot be served over vfio-user`, 'see above');
  }
}

/** What the command line names: a lack of QEMU is said, but it need not be this machine's. */
async function guestOf(
  model: Model,
  { qemu, kernel, initrd }: ServeOptions,
  io: Io,
): Promise<{ qemu: string; kernel: string; initrd: string }> {
  const progress = new Progress(io);
  try {
    progress.stage('looking for QEMU');
    const program = await findVfioUserQemu(model.arch, qemu === undefined ? {} : { path: qemu })
      .then(({ path }) => path)
      .catch((error: unknown) => {
        if (!(error instanceof EnvironmentError) || qemu !== undefined) throw error;
        progress.end();
        io.err(`${error.message}\n  cure: ${error.cure}\n`);
        return model.arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64';
      });
    if (kernel !== undefined && initrd !== undefined) return { qemu: program, kernel, initrd };
    const guest = await fetchGuest(model.arch === 'arm64' ? 'arm64' : 'amd64', {
      series: stockSeries(model.guest.kernel),
      signal: io.signal,
      onProgress: (line) => progress.stage(`guest: ${line}`),
    });
    return { qemu: program, kernel: guest.kernel, initrd: await genericInitramfs(guest) };
  } finally {
    progress.end();
  }
}
