import { sizeOf } from '../bytes/index.ts';
import { attach, coreModule, Emulator, RealTime, type BootFiles } from '../emulator/index.ts';
import {
  bootCmdline,
  buildInitramfs,
  formatPlan,
  SHELL_FILES,
  type GuestAction,
} from '../guest/index.ts';
import { buildMachine, type Machine } from '../machine/index.ts';
import { DISK_SIZE_DEFAULT } from '../qemu/index.ts';
import {
  AccessAudit,
  DeviceRecorder,
  EndpointTraces,
  type BootHooks,
  type BootInput,
  type FirmwareImages,
} from '../scenario/index.ts';
import { isHotplugged } from '../topology/index.ts';
import { stubTree, uefiImage } from './emulator-acpi.ts';
import type { EmulatorBackendOptions } from './emulator-options.ts';
import { readKernel } from './emulator-kernel.ts';
import { BootStart } from './emulator-start.ts';
import { TerminalLink, type Terminal } from './emulator-terminal.ts';
import { chosenTree } from './emulator-tree.ts';
import { sha256 } from './firmware-seen.ts';
import { guestFiles } from './guest-files.ts';
import { MachineTalk } from './machine-talk.ts';
import { MachineWatch } from './machine-watch.ts';
import type { ModelDisk } from './model-checks.ts';
import { PatternStore } from './model-disk.ts';
import { deviceEvent, WATCHED } from './model-events.ts';
import { bootPlan, kernelParameters, moduleParameters, modulesFor } from './plan.ts';
import { ConsoleWatch } from './qemu-console.ts';
import { tapPlan } from './taps.ts';

/** One boot of a machine: what is listened to, and what the guest was given. */
export interface Boot {
  readonly recorder: DeviceRecorder;
  readonly audit: AccessAudit;
  readonly traces: EndpointTraces;
  readonly watch: MachineWatch;
  readonly talk: MachineTalk;
  readonly console: ConsoleWatch;
  readonly passed: FirmwareImages;
  readonly initramfsSha256: string;
  /** Where snapshots are used: how it starts. */
  readonly start: BootStart | undefined;
  /** Instructions retired when the last line came. */
  lastLine: bigint;
}

/** A machine, and the boot that it is at. */
export interface Session {
  readonly emulator: Emulator;
  readonly machine: Machine;
  readonly disks: ReadonlyMap<string, ModelDisk>;
  readonly realTime: RealTime | undefined;
  /** Whether a device has done anything since power-on. */
  touched: boolean;
  boot?: Boot;
}

/** Everything as at power-on; what was plugged in while the guest ran is taken out again. */
export function resetSession({ emulator, machine }: Session): void {
  const { model } = machine;
  for (const endpoint of model.endpoints) {
    if (isHotplugged(model, endpoint)) machine.unplug(endpoint.id);
  }
  machine.reset();
  emulator.reset();
}

/** A machine of a topology on a CPU of ours, powered on. */
export async function buildSession(
  { model, seed }: BootInput,
  hooks: BootHooks,
  { tap, link: linkOf, terminal, realTime: wantsRealTime, tape }: EmulatorBackendOptions,
): Promise<Session> {
  const disks = new Map<string, ModelDisk>();
  const realTime =
    terminal !== undefined || wantsRealTime === true
      ? (tape?.time(terminal !== undefined) ?? new RealTime({ open: terminal !== undefined }))
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
      const time = Number(emulator.core.clock) / 1e9;
      boot.lastLine = emulator.core.retired;
      boot.start?.line(line, time);
      tape?.line(line);
      boot.console.line(line, time);
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
    link: (endpoint) => linkOf?.(endpoint, () => realTime?.wake()),
    store: ({ id, device }) => {
      const image = { endpoint: id, size: device?.size ?? DISK_SIZE_DEFAULT, seed };
      const disk = { image, store: new PatternStore(image) };
      disks.set(id, disk);
      return disk.store;
    },
  });
  attach(emulator, machine);
  const session: Session = { emulator, machine, disks, realTime, touched: false };
  machine.subscribe(
    (event) => {
      const told = deviceEvent(machine, event);
      const { boot } = session;
      if (told === undefined || boot === undefined) return;
      session.touched = true;
      const timed = { ...told, time: Number(emulator.core.clock) / 1e9 };
      tape?.event(timed);
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
export async function prepareBoot(
  session: Session,
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
  reboot: boolean,
): Promise<Boot> {
  const { emulator, machine } = session;
  const { model } = input;
  const sizeOfDisk = (id: string): bigint =>
    model.endpoints.find((endpoint) => endpoint.id === id)?.device?.size ?? DISK_SIZE_DEFAULT;
  const plan = bootPlan(model, sizeOfDisk, {
    patience: options.patience,
    reboot,
    ...tapPlan(options.taps),
  });
  const orders = formatPlan([...plan, ...shellAction(options.terminal)]);
  const start = startOf(session, input, options, orders);
  const initramfs = await buildInitramfs({
    guest: options.guest,
    modules: modulesFor(model),
    ...(options.modules === undefined ? {} : { tree: options.modules }),
    parameters: moduleParameters(model),
    ...(start === undefined
      ? { plan: orders }
      : { plan: formatPlan([{ verb: 'plan', protocol: 1 }]), laterPlan: orders }),
    files: new Map([
      ...(await guestFiles(model)),
      ...(options.terminal === undefined ? [] : SHELL_FILES),
    ]),
  });
  const { dtb, passed } = firmwareOf(input, options, emulator);
  emulator.load({
    kernel: await readKernel(options.guest.kernel),
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
      (kind, fields) => (kind === 'plan' ? start?.asked() : talk.record(kind, fields)),
    ),
    passed,
    initramfsSha256: sha256(initramfs),
    start,
    lastLine: emulator.core.retired,
  };
}

/**
 * Snapshots are of machines at power-on, in virtual time, that nobody looks into: not of a second boot,
 * nor of a person's.
 */
function startOf(
  session: Session,
  input: BootInput,
  { snapshots: cache, visit, tape }: EmulatorBackendOptions,
  plan: string,
): BootStart | undefined {
  const { emulator, machine, boot, realTime } = session;
  if (cache === undefined || boot !== undefined) return undefined;
  if (realTime !== undefined || visit !== undefined || tape !== undefined) return undefined;
  return new BootStart({ emulator, machine, input, cache, plan, isTouched: () => session.touched });
}

/** Where the boot begins: at the kernel's first instruction, or where a snapshot of it was taken. */
export async function beginBoot({ emulator }: Session, boot: Boot): Promise<void> {
  for (const [line, time] of (await boot.start?.begin()) ?? []) boot.console.line(line, time);
  boot.lastLine = emulator.core.retired;
}

/** The firmware that the guest is given. */
export function kindOf(
  { firmware }: BootInput,
  options: EmulatorBackendOptions,
): 'device-tree' | 'acpi' {
  return options.firmware ?? (firmware.tree === undefined ? 'acpi' : 'device-tree');
}

/** The firmware of one kind, and how the kernel is told of it. ACPI tables are in RAM afterwards. */
function firmwareOf(
  input: BootInput,
  options: EmulatorBackendOptions,
  emulator: Emulator,
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
  const [ram] = emulator.memory.windows();
  const start = ram?.gpa ?? 0n;
  const uefi = uefiImage(model, tables.values(), {
    start,
    end: start + BigInt(ram?.bytes.length ?? 0) - 1n,
  });
  emulator.placed.put(Number(uefi.base - start), uefi.bytes);
  return {
    dtb: (from, limit) => stubTree(uefi, { cmdline, initrd: [from, limit], seed }),
    passed: { tables, origin },
  };
}
