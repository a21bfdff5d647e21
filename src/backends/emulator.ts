import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { sizeOf } from '../bytes/index.ts';
import {
  attach,
  coreModule,
  Emulator,
  RealTime,
  type BootFiles,
  type SystemMap,
} from '../emulator/index.ts';
import {
  bootCmdline,
  buildInitramfs,
  formatPlan,
  SHELL_FILES,
  type BootOptionSet,
  type Guest,
  type GuestAction,
  type GuestReport,
  type ModuleTree,
} from '../guest/index.ts';
import { buildMachine, type Machine } from '../machine/index.ts';
import { diskSha256, DISK_SIZE_DEFAULT } from '../qemu/index.ts';
import {
  AccessAudit,
  BootAborted,
  DeviceRecorder,
  EndpointTraces,
  isAt,
  isHotplugged,
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
import { runWithin, type RunLimits } from './emulator-run.ts';
import { TerminalLink, type Terminal } from './emulator-terminal.ts';
import { guestFiles } from './guest-files.ts';
import { chosenTree } from './emulator-tree.ts';
import { compareFirmware, describeSeen, sha256 } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import { PatternStore } from './model-disk.ts';
import { deviceEvent, MODEL_CAPABILITIES, WATCHED } from './model-events.ts';
import type { ModelDisk } from './model-checks.ts';
import { MachineTalk, withHarm } from './machine-talk.ts';
import { MachineWatch } from './machine-watch.ts';
import {
  bootPlan,
  DISK_READ_BYTES,
  kernelParameters,
  moduleParameters,
  modulesFor,
} from './plan.ts';
import { ConsoleWatch } from './qemu-console.ts';
import { serialLogFor } from './serial-log.ts';
import type { MachineVisitor, TapMaker } from './visit.ts';

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
  /** Time is the wall's: sleeps take as long as they say. Runs are not the same each time then. */
  readonly realTime?: boolean;
  /** The guest runs a shell after its checks, for a person at its console; in real time, without limits. */
  readonly terminal?: Terminal;
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
  /** Told of the machine before its first instruction. */
  readonly visit?: MachineVisitor;
  /** Sees the frames of each NIC. */
  readonly tap?: TapMaker;
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

/** One boot of a machine: what is listened to, and what the guest was given. */
interface Boot {
  readonly recorder: DeviceRecorder;
  readonly audit: AccessAudit;
  readonly traces: EndpointTraces;
  readonly watch: MachineWatch;
  readonly talk: MachineTalk;
  readonly console: ConsoleWatch;
  readonly passed: FirmwareImages;
  readonly initramfsSha256: string;
  /** Instructions retired when the last line came. */
  lastLine: bigint;
}

/** A machine, and the boot that it is at. */
interface Session {
  readonly emulator: Emulator;
  readonly machine: Machine;
  readonly disks: ReadonlyMap<string, ModelDisk>;
  readonly realTime: RealTime | undefined;
  boot?: Boot;
}

async function run(
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
): Promise<Observation> {
  if (input.signal?.aborted === true) throw new BootAborted('the boot was ended before it began');
  const started = performance.now();
  hooks.progress?.('emulator: building the machine');
  const session = await build(input, hooks, options);
  const { emulator, machine } = session;
  const leave = await options.visit?.({
    machine,
    hold: () => emulator.hold(),
    release: () => emulator.release(),
    clock: () => emulator.core.clock,
  });
  try {
    return await bootAll(session, input, hooks, options, started);
  } finally {
    await leave?.();
  }
}

/** One boot, or two when the guest is to reboot. */
async function bootAll(
  session: Session,
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
  started: number,
): Promise<Observation> {
  const twice = input.model.guest.checks.includes('reboot');
  const first = await bootOnce(session, input, hooks, options, { started, reboot: twice });
  if (!twice || first.stop.kind !== 'outcome' || first.stop.outcome.kind !== 'reset') {
    return first.observation;
  }
  hooks.progress?.('emulator: reset');
  const again = performance.now();
  reset(session);
  const second = { started: again, reboot: false };
  const { observation } = await bootOnce(session, input, hooks, options, second);
  return { ...observation, before: first.observation };
}

/** Everything as at power-on; what was plugged in while the guest ran is taken out again. */
function reset({ emulator, machine }: Session): void {
  const { model } = machine;
  for (const endpoint of model.endpoints) {
    if (isHotplugged(model, endpoint)) machine.unplug(endpoint.id);
  }
  machine.reset();
  emulator.reset();
}

interface BootParts {
  /** When this boot began, on the host's clock. */
  readonly started: number;
  /** Whether the guest is to reboot in the end. */
  readonly reboot: boolean;
}

async function bootOnce(
  session: Session,
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
  { started, reboot }: BootParts,
): Promise<{ readonly observation: Observation; readonly stop: Stop }> {
  const seconds = (): number => (performance.now() - started) / 1000;
  const { model } = input;
  const isSecond = session.boot !== undefined;
  const boot = await prepare(session, input, hooks, options, reboot);
  session.boot = boot;
  boot.watch.started(isSecond ? 'reset' : 'power-on');
  const prepareSeconds = seconds();
  hooks.progress?.('emulator: kernel starts');
  const stop = await runWithin(
    session.emulator,
    limitsOf(session, input, options),
    () => boot.lastLine,
    input.signal,
    session.realTime,
  );
  const { report, log, text } = boot.console.finish();
  const serialLog = options.serialLog ?? serialLogFor(input.model);
  await mkdir(dirname(serialLog), { recursive: true });
  await writeFile(serialLog, text, { flag: isSecond ? 'a' : 'w' });
  const observation: Observation = {
    capabilities: MODEL_CAPABILITIES,
    device: {
      ...boot.recorder.finish(),
      audit: boot.audit.finish(),
      ...boot.traces.finish(),
      machine: boot.watch.finish(),
    },
    guest: guestOf(session, boot, model, report, log),
    ...firmwareSeen(boot, model, report),
    ending: emulatorEnding(report, log, stop, options.symbols),
    environment: {
      ...environmentOf(input, options, session.emulator, boot, stop),
      timings: {
        prepare: prepareSeconds,
        ...(report.initTime === undefined ? {} : { 'to init': report.initTime }),
        ...(report.endTime === undefined ? {} : { guest: report.endTime }),
        total: seconds(),
      },
      serialLog,
    },
    skipped: [],
  };
  return { observation, stop };
}

function guestOf(
  { disks }: Session,
  { talk }: Boot,
  model: Model,
  report: GuestReport,
  log: GuestObservation['log'],
): GuestObservation {
  const reference = new Map(
    Array.from(disks, ([id, { image }]) => [id, diskSha256(image, readBytes(image.size))]),
  );
  const guest = observeGuest(model, report, log, reference);
  const seen = { ...guest, faultChecks: withHarm(guest.faultChecks, talk.harmed) };
  return withBacking(model, seen, disks);
}

function firmwareSeen(
  { passed }: Boot,
  model: Model,
  report: GuestReport,
): Pick<Observation, 'firmware' | 'described'> {
  const seen = new Map(report.firmware);
  // Beside ACPI tables there is a tree with nothing but /chosen, which describes nothing.
  if (passed.tree === undefined) seen.delete('fdt');
  return {
    firmware: compareFirmware(passed, seen),
    described: describeSeen(model, passed, seen, report.release),
  };
}

/** A person at the console takes the time that a person takes. */
function limitsOf(
  { emulator: { core } }: Session,
  { timeLimit }: BootInput,
  options: EmulatorBackendOptions,
): RunLimits {
  if (options.terminal !== undefined) {
    return { guestSeconds: Infinity, instructions: Infinity, silence: Infinity };
  }
  return {
    guestSeconds: timeLimit + Number(core.clock) / 1e9,
    instructions: (options.instructions ?? INSTRUCTIONS) + Number(core.retired),
    silence: options.silence ?? SILENCE,
  };
}

async function build(
  { model, seed }: BootInput,
  hooks: BootHooks,
  { tap, terminal, realTime: wantsRealTime }: EmulatorBackendOptions,
): Promise<Session> {
  const disks = new Map<string, ModelDisk>();
  const realTime =
    terminal !== undefined || wantsRealTime === true
      ? new RealTime({ open: terminal !== undefined })
      : undefined;
  const ram = model.memory[0];
  const emulator: Emulator = new Emulator({
    module: await coreModule(),
    ramSize: ram === undefined ? 0 : Number(sizeOf(ram)),
    fp: true,
    gic: model.gic?.version ?? 2,
    onLine: (line) => {
      const { boot } = session;
      if (boot === undefined) return;
      boot.lastLine = emulator.core.retired;
      boot.console.line(line, Number(emulator.core.clock) / 1e9);
      link?.line(line);
    },
    onByte: (byte) => link?.byte(byte),
  });
  const link =
    terminal &&
    new TerminalLink(terminal, (bytes) => {
      emulator.uart.input(bytes);
      realTime?.wake();
    });
  link?.connect();
  const machine = buildMachine(model, {
    memory: emulator.memory,
    absent: (endpoint) => isHotplugged(model, endpoint),
    tap: (endpoint) => tap?.(endpoint, () => emulator.core.clock),
    store: ({ id, device }) => {
      const image = { endpoint: id, size: device?.size ?? DISK_SIZE_DEFAULT, seed };
      const disk = { image, store: new PatternStore(image) };
      disks.set(id, disk);
      return disk.store;
    },
  });
  attach(emulator, machine);
  const session: Session = { emulator, machine, disks, realTime };
  machine.subscribe(
    (event) => {
      const told = deviceEvent(machine, event);
      const { boot } = session;
      if (told === undefined || boot === undefined) return;
      const timed = { ...told, time: Number(emulator.core.clock) / 1e9 };
      boot.recorder.add(timed);
      boot.audit.add(timed);
      boot.traces.add(timed);
      boot.watch.event(event);
      hooks.event?.(timed);
    },
    { iommu: WATCHED },
  );
  return session;
}

/** A shell at the end of the checks, for the one at the terminal. */
function shellAction(terminal: Terminal | undefined): readonly GuestAction[] {
  if (terminal === undefined) return [];
  const { rows, columns } = terminal;
  return [{ verb: 'shell', rows, columns }];
}

/** Firmware, kernel and initramfs into RAM; the CPU at the kernel's first instruction. */
async function prepare(
  { emulator, machine }: Session,
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
  reboot: boolean,
): Promise<Boot> {
  const { model } = input;
  const sizeOfDisk = (id: string): bigint =>
    model.endpoints.find((endpoint) => endpoint.id === id)?.device?.size ?? DISK_SIZE_DEFAULT;
  const plan = bootPlan(model, sizeOfDisk, { patience: options.patience, reboot });
  const initramfs = await buildInitramfs({
    guest: options.guest,
    modules: modulesFor(model),
    ...(options.modules === undefined ? {} : { tree: options.modules }),
    parameters: moduleParameters(model),
    plan: formatPlan([...plan, ...shellAction(options.terminal)]),
    files: new Map([
      ...(await guestFiles(model)),
      ...(options.terminal === undefined ? [] : SHELL_FILES),
    ]),
  });
  const { dtb, passed } = firmwareOf(input, options, emulator);
  emulator.load({
    kernel: await readFile(options.guest.kernel),
    initrd: initramfs,
    dtb,
  });
  const audit = new AccessAudit(model);
  const watch = new MachineWatch(machine, audit);
  const talk = new MachineTalk(machine, watch, (text) => emulator.uart.input(Buffer.from(text)));
  return {
    recorder: new DeviceRecorder(),
    audit,
    traces: new EndpointTraces(model),
    watch,
    talk,
    console: new ConsoleWatch(
      hooks,
      () => undefined,
      (kind, fields) => talk.record(kind, fields),
    ),
    passed,
    initramfsSha256: sha256(initramfs),
    lastLine: emulator.core.retired,
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
  const append = [
    ...(acpi ? ['efi=noruntime'] : []),
    ...kernelParameters(model),
    ...(options.append ?? []),
  ];
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
  emulator: Emulator,
  { passed, initramfsSha256 }: Boot,
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
