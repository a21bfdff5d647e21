import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { sizeOf } from '../bytes/index.ts';
import { attach, coreModule, Emulator, type BootFiles, type SystemMap } from '../emulator/index.ts';
import {
  bootCmdline,
  buildInitramfs,
  formatPlan,
  type BootOptionSet,
  type Guest,
  type ModuleTree,
} from '../guest/index.ts';
import { buildMachine } from '../machine/index.ts';
import { diskSha256, DISK_SIZE_DEFAULT } from '../qemu/index.ts';
import {
  AccessAudit,
  BootAborted,
  DeviceRecorder,
  isAt,
  type Backend,
  type BootHooks,
  type BootInput,
  type Environment,
  type FirmwareImages,
  type GuestObservation,
  type Observation,
} from '../scenario/index.ts';
import type { Diagnostic, Model } from '../topology/index.ts';
import { repeatingCommand } from './command.ts';
import { stubTree, uefiImage } from './emulator-acpi.ts';
import { emulatorEnding, type Stop } from './emulator-ending.ts';
import { emulatorPreflight } from './emulator-preflight.ts';
import { runWithin } from './emulator-run.ts';
import { chosenTree } from './emulator-tree.ts';
import { compareFirmware, describeSeen, sha256 } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import { PatternStore } from './model-disk.ts';
import { deviceEvent, MODEL_CAPABILITIES, WATCHED } from './model-events.ts';
import type { ModelDisk } from './model-checks.ts';
import { bootPlan, DISK_READ_BYTES, modulesFor } from './plan.ts';
import { ConsoleWatch } from './qemu-console.ts';
import { serialLogFor } from './serial-log.ts';

export interface EmulatorBackendOptions {
  /** Kernel, modules and userspace for arm64. */
  readonly guest: Guest;
  /** Modules of the guest, where a boot before this one has read some. */
  readonly modules?: ModuleTree;
  /** Which firmware the guest is given; default: the device tree where there is one. */
  readonly firmware?: 'device-tree' | 'acpi';
  readonly bootOptions?: BootOptionSet;
  /** More kernel parameters. */
  readonly append?: readonly string[];
  /** Names for addresses in the kernel, for a run that goes wrong. */
  readonly symbols?: SystemMap;
  /** Where the serial log goes; default: a file in the temporary directory. */
  readonly serialLog?: string;
  /** Seconds, of the guest's time, that the guest waits for each device; default 15. */
  readonly patience?: number;
  /** Instructions after which the guest counts as hung; default 30 thousand million. */
  readonly instructions?: number;
  /** Instructions without a line on the console after which it does; default 4 thousand million. */
  readonly silence?: number;
}

const INSTRUCTIONS = 30e9;
/** The longest pause of a healthy guest are the crypto self-tests: some 800 million. */
const SILENCE = 4e9;

/** Our own devices and our own CPU, with a stock guest on it. */
export function emulatorBackend(options: EmulatorBackendOptions): Backend {
  return {
    name: 'emulator',
    preflight: (input): Promise<readonly Diagnostic[]> =>
      Promise.resolve(emulatorPreflight(input, kindOf(input, options))),
    run: (input, hooks) => run(input, hooks, options),
  };
}

/** A machine that stands ready at the kernel's first instruction, and what came of it. */
interface Run {
  readonly emulator: Emulator;
  readonly disks: ReadonlyMap<string, ModelDisk>;
  readonly recorder: DeviceRecorder;
  readonly audit: AccessAudit;
  readonly console: ConsoleWatch;
  readonly lastLine: () => bigint;
  readonly passed: FirmwareImages;
  readonly initramfsSha256: string;
}

async function run(
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
): Promise<Observation> {
  if (input.signal?.aborted === true) throw new BootAborted('the boot was ended before it began');
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const made = await prepare(input, hooks, options);
  const prepareSeconds = seconds();
  hooks.progress?.('emulator: kernel starts');
  const limits = {
    guestSeconds: input.timeLimit,
    instructions: options.instructions ?? INSTRUCTIONS,
    silence: options.silence ?? SILENCE,
  };
  const stop = await runWithin(made.emulator, limits, made.lastLine, input.signal);
  const { report, log, text } = made.console.finish();
  const serialLog = options.serialLog ?? serialLogFor(input.model);
  await mkdir(dirname(serialLog), { recursive: true });
  await writeFile(serialLog, text);
  const { model } = input;
  const reference = new Map(
    Array.from(made.disks, ([id, { image }]) => [id, diskSha256(image, readBytes(image.size))]),
  );
  const guest = observeGuest(model, report, log, reference);
  const seen = new Map(report.firmware);
  // Beside ACPI tables there is a tree with nothing but /chosen, which describes nothing.
  if (made.passed.tree === undefined) seen.delete('fdt');
  return {
    capabilities: MODEL_CAPABILITIES,
    device: { ...made.recorder.finish(), audit: made.audit.finish() },
    guest: withBacking(model, guest, made.disks),
    firmware: compareFirmware(made.passed, seen),
    described: describeSeen(model, made.passed, seen, report.release),
    ending: emulatorEnding(report, log, stop, options.symbols),
    environment: {
      ...environmentOf(input, options, made, stop),
      timings: {
        prepare: prepareSeconds,
        ...(report.initTime === undefined ? {} : { 'to init': report.initTime }),
        ...(report.endTime === undefined ? {} : { guest: report.endTime }),
        total: seconds(),
      },
      serialLog,
    },
  };
}

async function prepare(
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
): Promise<Run> {
  const { model, seed } = input;
  hooks.progress?.('emulator: building the machine');
  const disks = new Map<string, ModelDisk>();
  const heard = { lastLine: 0n };
  const console = new ConsoleWatch(hooks, () => undefined);
  const ram = model.memory[0];
  const emulator = new Emulator({
    module: await coreModule(),
    ramSize: ram === undefined ? 0 : Number(sizeOf(ram)),
    fp: true,
    gic: model.gic?.version ?? 2,
    onLine: (line) => {
      heard.lastLine = emulator.core.retired;
      console.line(line);
    },
  });
  const machine = buildMachine(model, {
    memory: emulator.memory,
    store: ({ id, device }) => {
      const image = { endpoint: id, size: device?.size ?? DISK_SIZE_DEFAULT, seed };
      const disk = { image, store: new PatternStore(image) };
      disks.set(id, disk);
      return disk.store;
    },
  });
  attach(emulator, machine);
  const recorder = new DeviceRecorder();
  const audit = new AccessAudit(model);
  machine.subscribe(
    (event) => {
      const told = deviceEvent(machine, event);
      if (told === undefined) return;
      const timed = { ...told, time: Number(emulator.core.clock) / 1e9 };
      recorder.add(timed);
      audit.add(timed);
      hooks.event?.(timed);
    },
    { iommu: WATCHED },
  );
  const initramfs = await buildInitramfs({
    guest: options.guest,
    modules: modulesFor(model),
    ...(options.modules === undefined ? {} : { tree: options.modules }),
    plan: formatPlan(bootPlan(model, (id) => disks.get(id)?.image.size ?? 0n, options.patience)),
  });
  const { dtb, passed } = firmwareOf(input, options, emulator);
  emulator.load({
    kernel: await readFile(options.guest.kernel),
    initrd: initramfs,
    dtb,
  });
  return {
    emulator,
    disks,
    recorder,
    audit,
    console,
    lastLine: () => heard.lastLine,
    passed,
    initramfsSha256: sha256(initramfs),
  };
}

function kindOf({ firmware }: BootInput, options: EmulatorBackendOptions): 'device-tree' | 'acpi' {
  return options.firmware ?? (firmware.tree === undefined ? 'acpi' : 'device-tree');
}

/** The firmware of one kind, and how the kernel is told of it. ACPI tables are in RAM afterwards. */
function firmwareOf(
  input: BootInput,
  options: EmulatorBackendOptions,
  { memory }: Emulator,
): { readonly dtb: BootFiles['dtb']; readonly passed: FirmwareImages } {
  const { model, seed, firmware } = input;
  const { origin, tables, tree = new Uint8Array() } = firmware;
  const acpi = kindOf(input, options) === 'acpi';
  // There are no runtime services behind the system table.
  const append = [...(acpi ? ['efi=noruntime'] : []), ...(options.append ?? [])];
  const cmdline = bootCmdline('arm64', options.bootOptions ?? 'fast', append);
  if (!acpi) {
    return {
      dtb: (start, limit) => chosenTree(tree, { cmdline, initrd: [start, limit], seed }),
      passed: { tree, tables: new Map(), origin },
    };
  }
  const [ram] = memory.windows();
  const start = ram?.gpa ?? 0n;
  const uefi = uefiImage(model, tables.values(), {
    start,
    end: start + BigInt(ram?.bytes.length ?? 0) - 1n,
  });
  ram?.bytes.set(uefi.bytes, Number(uefi.base - start));
  return {
    dtb: (from, limit) => stubTree(uefi, { cmdline, initrd: [from, limit], seed }),
    passed: { tables, origin },
  };
}

function readBytes(size: bigint): bigint {
  return size < BigInt(DISK_READ_BYTES) ? size : BigInt(DISK_READ_BYTES);
}

/** What was written lies in our own store: there is no need to believe the guest. */
function withBacking(
  model: Model,
  guest: GuestObservation,
  disks: ReadonlyMap<string, ModelDisk>,
): GuestObservation {
  return {
    ...guest,
    disks: guest.disks.map((seen) => {
      const disk = [...disks].find(([id]) => {
        const endpoint = model.endpoints.find((one) => one.id === id);
        return endpoint !== undefined && isAt(seen.device, endpoint.location);
      })?.[1];
      const { write } = seen;
      if (disk === undefined || write === undefined) return seen;
      const middle = Math.floor(disk.store.size / 2 / 4096) * 4096;
      return {
        ...seen,
        write: { ...write, backingSha256: disk.store.sha256(middle, write.bytes) },
      };
    }),
  };
}

function environmentOf(
  { model, seed }: BootInput,
  { guest }: EmulatorBackendOptions,
  { emulator, passed, initramfsSha256 }: Run,
  { outcome }: Stop,
): Omit<Environment, 'timings' | 'serialLog'> {
  const [image] = guest.packages;
  const kind = passed.tree === undefined ? 'acpi' : 'device-tree';
  return {
    backend: 'emulator',
    kernel: {
      release: guest.release,
      sha256: guest.kernelSha256,
      origin: image === undefined ? guest.kernel : `${image.package} ${image.version}`,
    },
    initramfsSha256,
    machine: `our own devices and CPU (AArch64 in WebAssembly), ${kind}`,
    firmware: passed.origin,
    firmwareKind: kind,
    command: repeatingCommand(model.file, 'emulator', kind),
    seed,
    notes: [`${outcome.instructions} instructions, ${emulator.core.ram.length >> 20} MiB of RAM`],
  };
}
