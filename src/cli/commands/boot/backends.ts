import { join } from 'node:path';
import {
  emulatorBackend,
  modelBackend,
  qemuBackend,
  qemuVfioUserBackend,
  SnapshotCache,
  type MachineVisitor,
  type RunTape,
  type TapMaker,
  type Terminal,
} from '../../../backends/index.ts';
import {
  cacheDirectory,
  type BootOptionSet,
  type Guest,
  type ModuleTree,
} from '../../../guest/index.ts';
import type { Backend } from '../../../scenario/index.ts';
import type { Boot } from './boots.ts';
import { debugVisit, remoteDebugVisit } from './debug-visit.ts';
import type { BootOptions } from './options.ts';
import { tapsOf } from './net.ts';
import { pcapTaps } from './pcap.ts';
import { readSystemMap } from './system-map.ts';

/** The backends of `--backend`. */
export const BACKEND_NAMES = ['emulator', 'qemu', 'qemu-vfio-user', 'model'] as const;

export type BackendName = (typeof BACKEND_NAMES)[number];

/** Whether a backend's guest runs in QEMU, on QEMU's boards. */
export function runsInQemu(backend: BackendName): boolean {
  return backend === 'qemu' || backend === 'qemu-vfio-user';
}

/** What a backend is made from. */
export interface BackendParts {
  readonly options: BootOptions;
  readonly boot: Boot;
  /** The stock guest; fetched when it is asked for. */
  readonly guest: () => Promise<Guest>;
  /** Writes the run down, or compares it. */
  readonly tape?: RunTape;
  /** Somebody at the guest's console. */
  readonly terminal?: Terminal;
  /** Its modules, where an earlier boot has read some. */
  readonly modules?: ModuleTree;
  /** A line for the person in front. */
  readonly say?: (line: string) => void;
}

/** One line for each backend. */
export const BACKENDS: Readonly<
  Record<BackendName, (parts: BackendParts) => Backend | Promise<Backend>>
> = {
  emulator: async ({ options, boot, guest, modules, terminal, tape, say }) =>
    emulatorBackend({
      guest: await guest(),
      firmware: boot.kind,
      ...(modules === undefined ? {} : { modules }),
      ...(terminal === undefined ? {} : { terminal }),
      ...(tape === undefined ? {} : { tape }),
      realTime: options.realtime === true,
      ...snapshotsOf(options),
      ...cmdlineOf(options),
      ...visitOf(options, say),
      ...tapOf(options, boot),
      taps: tapsOf(options.net, boot.model),
      ...(options.systemMap === undefined ? {} : { symbols: readSystemMap(options.systemMap) }),
    }),
  qemu: async ({ options, guest }) => {
    const { qemu, accel = 'auto', firmwareBy, firmwareFrom } = options;
    return qemuBackend({
      guest: await guest(),
      ...(qemu === undefined ? {} : { qemu }),
      accel,
      firmware: firmwareFrom === undefined ? firmwareBy : 'own',
      ...cmdlineOf(options),
    });
  },
  'qemu-vfio-user': async ({ options, boot, guest }) => {
    const { qemu, accel = 'auto' } = options;
    return qemuVfioUserBackend({
      guest: await guest(),
      ...(qemu === undefined ? {} : { qemu }),
      accel,
      ...(options.debug === undefined ? {} : { visit: remoteDebugVisit(options.debug) }),
      taps: tapsOf(options.net, boot.model),
      ...cmdlineOf(options),
    });
  },
  model: ({ boot, options }) => modelBackend({ firmware: boot.kind, ...tapOf(options, boot) }),
};

function tapOf({ pcap }: BootOptions, boot: Boot): { readonly tap?: TapMaker } {
  return pcap === undefined ? {} : { tap: pcapTaps(pcap, boot) };
}

function snapshotsOf({ fromSnapshot }: BootOptions): { readonly snapshots?: SnapshotCache } {
  if (fromSnapshot !== true) return {};
  return { snapshots: new SnapshotCache(join(cacheDirectory(), 'snapshots')) };
}

function visitOf(
  { debug, wait }: BootOptions,
  say: (line: string) => void = () => undefined,
): { readonly visit?: MachineVisitor } {
  if (debug === undefined) return {};
  return { visit: debugVisit({ socket: debug, wait: wait === true, backend: 'emulator', say }) };
}

/** Kernel parameters: those without which there is no report, those for speed or the user's, more. */
export function cmdlineOf({ stockCmdline, cmdline, append }: BootOptions): {
  readonly bootOptions: BootOptionSet;
  readonly append: readonly string[];
} {
  if (cmdline !== undefined) return { bootOptions: 'stock', append: [cmdline, ...append] };
  return { bootOptions: stockCmdline === true ? 'stock' : 'fast', append };
}
