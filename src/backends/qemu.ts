import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import {
  bootCmdline,
  buildInitramfs,
  formatPlan,
  type BootOptionSet,
  type Guest,
} from '../guest/index.ts';
import {
  buildCommand,
  commandArgv,
  cpuModel,
  diskSha256,
  findQemu,
  ownTablesBlob,
  qemuTables,
  shellWord,
  showQemuVersion,
  startQemu,
  workDirectory,
  writeDiskImage,
  type DiskImage,
  type FileName,
  type QemuCommand,
  type QemuExit,
  type QemuProgram,
} from '../qemu/index.ts';
import { chooseAccelerator, preflight, type AcceleratorChoice } from './shim.ts';
import {
  BootAborted,
  DeviceRecorder,
  type Backend,
  type BootHooks,
  type BootInput,
  type FirmwareImages,
  type Observation,
} from '../scenario/index.ts';
import type { Diagnostic, Model } from '../topology/index.ts';
import { compareFirmware, describeSeen, sha256 } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import { bootPlan, DISK_READ_BYTES, modulesFor } from './plan.ts';
import { ConsoleWatch, endingOf } from './qemu-console.ts';
import { QEMU_CAPABILITIES, TraceTranslator } from './qemu-events.ts';

export interface QemuBackendOptions {
  /** Kernel, modules and userspace; of the topology's architecture. */
  readonly guest: Guest;
  /** The emulator; default: the one on PATH. */
  readonly qemu?: string;
  /** `auto` tries KVM out and takes TCG when it does not work. */
  readonly accel?: 'auto' | 'kvm' | 'tcg';
  /** `own`: the images of the input. `qemu`: what QEMU makes for the same machine. */
  readonly firmware?: 'own' | 'qemu';
  readonly bootOptions?: BootOptionSet;
  /** More kernel parameters. */
  readonly append?: readonly string[];
  /** Where the serial log goes; default: a file in the temporary directory. */
  readonly serialLog?: string;
  /** Seconds without a line on the console after which the guest counts as hung. */
  readonly silence?: number;
}

/** Longest pause of a healthy guest: an action that waits for a device, on a busy machine. */
const SILENCE = 60;

/** A guest that said its last gets this long to power off, in milliseconds. */
const POWER_OFF_MS = 10_000;

/** QEMU's own virtio-iommu, with a stock guest on it. */
export function qemuBackend(options: QemuBackendOptions): Backend {
  return {
    name: 'qemu',
    preflight: (input) => preflightOf(input, options),
    run: (input, hooks) => run(input, hooks, options),
  };
}

async function preflightOf(
  { model }: BootInput,
  options: QemuBackendOptions,
): Promise<readonly Diagnostic[]> {
  const qemu = await findQemu(model.arch, options.qemu);
  return preflight(model, qemu.version);
}

/** Everything a run is made of, before QEMU starts. */
interface Prepared {
  readonly qemu: QemuProgram;
  readonly accel: AcceleratorChoice;
  readonly command: QemuCommand;
  readonly argv: readonly string[];
  /** What the guest is really given. */
  readonly passed: FirmwareImages;
  readonly initramfsSha256: string;
  /** sha256 of the bytes that are read, by endpoint. */
  readonly reference: ReadonlyMap<string, string>;
}

async function run(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
): Promise<Observation> {
  const started = performance.now();
  const work = await workDirectory();
  try {
    const prepared = await prepare(input, hooks, options, work.path);
    const prepareSeconds = (performance.now() - started) / 1000;
    const recorder = new DeviceRecorder();
    const seen = await watch(input, hooks, options, prepared, recorder);
    const { report, log, text } = seen.console.finish();
    const serialLog =
      options.serialLog ??
      join(tmpdir(), `viommu-topo-${safeName(input.model)}-${process.pid}.log`);
    await mkdir(dirname(serialLog), { recursive: true });
    await writeFile(serialLog, text);
    const total = (performance.now() - started) / 1000;
    return {
      capabilities: QEMU_CAPABILITIES,
      device: recorder.finish(),
      guest: observeGuest(input.model, report, log, prepared.reference),
      firmware: compareFirmware(prepared.passed, report.firmware),
      described: describeSeen(input.model, prepared.passed, report.firmware, report.release),
      ending: endingOf(report, log, seen.exit, seen.errors),
      environment: {
        backend: 'qemu',
        kernel: kernelOf(options.guest),
        initramfsSha256: prepared.initramfsSha256,
        machine: `QEMU ${showQemuVersion(prepared.qemu.version)}`,
        accelerator: { name: prepared.accel.name, why: prepared.accel.why },
        command: [prepared.qemu.path, ...prepared.argv].map(shellWord),
        seed: input.seed,
        timings: {
          prepare: prepareSeconds,
          ...(report.initTime === undefined ? {} : { 'to init': report.initTime }),
          ...(report.endTime === undefined ? {} : { guest: report.endTime }),
          total,
        },
        serialLog,
        notes: [
          ...(options.firmware === 'qemu'
            ? ["firmware: QEMU's own"]
            : [`firmware: ${prepared.passed.origin}`]),
          ...report.complaints.slice(0, 5),
        ],
      },
    };
  } finally {
    work.remove();
  }
}

function safeName(model: Model): string {
  return model.name.replaceAll(/[^A-Za-z0-9._-]/gu, '_').slice(0, 80);
}

function kernelOf(guest: Guest): NonNullable<Observation['environment']['kernel']> {
  const [image] = guest.packages;
  return {
    release: guest.release,
    sha256: guest.kernelSha256,
    origin: image === undefined ? guest.kernel : `${image.package} ${image.version}`,
  };
}

async function prepare(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
  directory: string,
): Promise<Prepared> {
  const { model, signal, seed } = input;
  hooks.progress?.('looking for QEMU');
  const qemu = await findQemu(model.arch, options.qemu);
  const accel = await chooseAccelerator(
    model,
    qemu,
    options.accel ?? 'auto',
    options.guest.kernel,
    signal,
  );
  const passed = passedImages(input, options);
  const table = passed.tables.size > 0;
  const command = buildCommand(model, {
    version: qemu.version,
    append: bootCmdline(options.guest.arch, options.bootOptions ?? 'fast', options.append),
    ownTables: table,
    trace: 'accesses',
    seed,
  });
  const files = new Map<FileName, string>([['kernel', options.guest.kernel]]);
  const put = async (name: FileName, file: string, bytes: Uint8Array): Promise<void> => {
    const path = join(directory, file);
    await writeFile(path, bytes);
    files.set(name, path);
  };
  if (passed.tree !== undefined) await put('tree', 'topology.dtb', passed.tree);
  if (table) {
    hooks.progress?.("asking QEMU for the machine's other tables");
    const placed = await qemuTables(model, qemu, signal);
    await put('acpi-tables', 'acpi.bin', ownTablesBlob(placed, passed.tables));
  }
  hooks.progress?.('making disks and initramfs');
  const reference = await makeDisks(command.disks, directory, files);
  const initramfs = await buildInitramfs({
    guest: options.guest,
    modules: modulesFor(model),
    plan: formatPlan(bootPlan(model, (id) => diskSize(command.disks, id))),
  });
  await put('initrd', 'initramfs.cpio', initramfs);
  const cpu = cpuModel(model, accel.name);
  return {
    qemu,
    accel,
    command,
    argv: commandArgv(withoutTree(command, passed), { files, accel: accel.name, cpu }),
    passed,
    initramfsSha256: sha256(initramfs),
    reference,
  };
}

/** On q35 only VIOT is ours: the other tables describe the machine, and are QEMU's to make. */
function passedImages({ model, firmware }: BootInput, options: QemuBackendOptions): FirmwareImages {
  const { origin } = firmware;
  if (options.firmware === 'qemu') return { tables: new Map(), origin: "QEMU's own" };
  if (model.arch === 'arm64') {
    return {
      ...(firmware.tree === undefined ? {} : { tree: firmware.tree }),
      tables: new Map(),
      origin,
    };
  }
  const viot = firmware.tables.get('VIOT');
  return { tables: new Map(viot === undefined ? [] : [['VIOT', viot]]), origin };
}

/** Without a tree of ours, QEMU makes its own. */
function withoutTree(command: QemuCommand, { tree }: FirmwareImages): QemuCommand {
  if (tree !== undefined) return command;
  return {
    ...command,
    groups: command.groups.map((group) => ({
      ...group,
      arguments: group.arguments.filter(({ option }) => option !== '-dtb'),
    })),
  };
}

function diskSize(disks: readonly DiskImage[], endpoint: string): bigint {
  return disks.find((disk) => disk.endpoint === endpoint)?.size ?? 0n;
}

async function makeDisks(
  disks: readonly DiskImage[],
  directory: string,
  files: Map<FileName, string>,
): Promise<Map<string, string>> {
  const reference = new Map<string, string>();
  for (const [index, disk] of disks.entries()) {
    const path = join(directory, `disk${index}.img`);
    await writeDiskImage(disk, path);
    files.set(`disk:${disk.endpoint}`, path);
    const read = disk.size < BigInt(DISK_READ_BYTES) ? disk.size : BigInt(DISK_READ_BYTES);
    reference.set(disk.endpoint, diskSha256(disk, read));
  }
  return reference;
}

interface Watched {
  readonly console: ConsoleWatch;
  readonly exit: { readonly why: 'exited' | 'time-limit' | 'silent'; readonly limit: number };
  readonly errors: readonly string[];
}

/** Starts QEMU and stays until it, the guest, the clock or the user ends the run. */
async function watch(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
  { qemu, argv }: Prepared,
  recorder: DeviceRecorder,
): Promise<Watched> {
  const silence = options.silence ?? SILENCE;
  const ender = new AbortController();
  let silent = false;
  let timer: NodeJS.Timeout | undefined;
  const wait = (milliseconds: number, ended: boolean): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent = !ended;
      ender.abort();
    }, milliseconds);
  };
  let ended = false;
  const console = new ConsoleWatch(hooks, (last) => {
    ended ||= last;
    wait(ended ? POWER_OFF_MS : silence * 1000, ended);
  });
  const translator = new TraceTranslator(input.model, (event) => {
    recorder.add(event);
    hooks.event?.(event);
  });
  const signals = [ender.signal, ...(input.signal === undefined ? [] : [input.signal])];
  hooks.progress?.('starting QEMU');
  try {
    const running = await startQemu({
      program: qemu.path,
      args: argv,
      console: (line) => console.line(line),
      trace: (event) => translator.add(event),
      signal: AbortSignal.any(signals),
      timeLimit: input.timeLimit * 1000,
    });
    wait(silence * 1000, false);
    const exit = await running.exit;
    if (input.signal?.aborted === true) throw new BootAborted('the boot was ended');
    return {
      console,
      exit: whyOf(exit, silent, input.timeLimit, silence),
      errors: exit.story.errors,
    };
  } finally {
    clearTimeout(timer);
  }
}

function whyOf(exit: QemuExit, silent: boolean, limit: number, silence: number): Watched['exit'] {
  if (silent) return { why: 'silent', limit: silence };
  return exit.cause === 'timed-out' ? { why: 'time-limit', limit } : { why: 'exited', limit };
}
