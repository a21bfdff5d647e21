import { lstat, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';

import { makeDirectories } from '../bytes/index.ts';
import { bootCmdline, EnvironmentError } from '../guest/index.ts';
import {
  argumentLines,
  buildVfioUserCommand,
  cpuModel,
  type Bindings,
  type FileName,
} from '../qemu/index.ts';
import type { Answerer } from '../debug/index.ts';
import type { BootInput, DeviceEvent } from '../scenario/index.ts';
import {
  servedFunctions,
  type ServedFunction,
  type ServerReport,
  type ServerStats,
} from '../vfio-user/index.ts';
import { passedImages } from './qemu-prepare.ts';
import { startServer } from './qemu-vfio-user-session.ts';
import { RemoteInspector } from './remote-debug.ts';
import type { LiveEvents } from './vfio-user-setup.ts';

/** Of a server for a QEMU that somebody else starts. */
export interface ServeTopologyOptions {
  /** Where sockets and firmware are; made when absent. */
  readonly directory: string;
  /** The program of the command line. */
  readonly qemu: string;
  readonly accel: 'kvm' | 'tcg';
  readonly kernel: string;
  readonly initrd: string;
  /** Kernel parameters beside those for console and init. */
  readonly append?: readonly string[];
  /** Whether {@link ServedTopology.events} will be asked for. */
  readonly live: boolean;
  readonly onReport: (report: ServerReport) => void;
}

/** A topology's devices on sockets. */
export interface ServedTopology {
  readonly functions: readonly ServedFunction[];
  /** The command line of a QEMU that uses them: each argument with its value, ready for a shell. */
  readonly command: readonly string[];
  /** Files written beside the sockets. */
  readonly files: readonly string[];
  /** What the devices did since the last call. */
  readonly events: () => Promise<readonly DeviceEvent[]>;
  /** For `serveDebug`. */
  readonly inspector: Answerer;
  /** Rejects with what the server died of. */
  readonly ended: Promise<void>;
  /** To be called when QEMU is gone: it aborts when its server goes first. */
  readonly stop: () => Promise<ServerStats>;
}

/**
 * Writes the firmware that QEMU is to be given and serves every PCI function of a topology; the
 * caller starts QEMU.
 *
 * Throws {@link EnvironmentError}, also when another server listens in the directory.
 */
export async function serveTopology(
  input: Pick<BootInput, 'model' | 'firmware' | 'seed'>,
  options: ServeTopologyOptions,
): Promise<ServedTopology> {
  const { model } = input;
  const directory = resolve(options.directory);
  makeDirectories(directory);
  for (const { socket } of servedFunctions(model, directory)) await clearSocket(socket);
  const files = new Map<FileName, string>([
    ['kernel', resolve(options.kernel)],
    ['initrd', resolve(options.initrd)],
  ]);
  const { tree, tables } = passedImages({ ...input, timeLimit: 0 }, { firmware: 'own' });
  const written: string[] = [];
  const put = async (
    name: FileName,
    file: string,
    bytes: Uint8Array | undefined,
  ): Promise<void> => {
    if (bytes === undefined) return;
    const path = join(directory, file);
    await writeFile(path, bytes);
    files.set(name, path);
    written.push(path);
  };
  await put('tree', 'topology.dtb', tree);
  await put('viot', 'viot.aml', tables.get('VIOT'));
  const inspector = new RemoteInspector();
  const notice = (value: unknown): void => void inspector.take(value);
  const server = await startServer(input, directory, options.live, options.onReport, notice);
  inspector.connect(server);
  const arch = model.arch === 'arm64' ? 'arm64' : 'amd64';
  const command = buildVfioUserCommand(model, {
    functions: server.functions,
    append: bootCmdline(arch, 'stock', options.append),
    viot: files.has('viot'),
    tree: files.has('tree'),
    reset: 'again',
  });
  const { accel } = options;
  const bindings: Bindings = { files, accel, cpu: cpuModel(model, accel) };
  return {
    functions: server.functions,
    command: [...argumentLines(options.qemu, command, bindings), '-serial stdio'],
    files: written,
    events: async () => ((await server.ask('events')) as LiveEvents).events,
    inspector,
    ended: server.ended,
    stop: () => {
      inspector.end();
      return server.stop();
    },
  };
}

/** Removes a socket that a server left behind which was killed; never one that somebody listens on. */
async function clearSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket() || (await isListenedOn(path))) {
    throw new EnvironmentError(
      'env/program-failed',
      found.isSocket()
        ? `somebody serves on ${path} already`
        : `${path} is in the way of a socket of that name`,
      'End the other server, or choose another directory: --dir DIR',
    );
  }
  await rm(path, { force: true });
}

function isListenedOn(path: string): Promise<boolean> {
  return new Promise((answer) => {
    const socket = createConnection(path);
    const done = (listened: boolean): void => {
      socket.destroy();
      answer(listened);
    };
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}
