import type { Emulator } from '../emulator/index.ts';
import type { GuestReport } from '../guest/index.ts';
import { diskSha256 } from '../qemu/index.ts';
import {
  BootAborted,
  isAt,
  type Backend,
  type BootHooks,
  type BootInput,
  type Environment,
  type GuestObservation,
  type Observation,
} from '../scenario/index.ts';
import type { Diagnostic, Model } from '../topology/index.ts';
import { repeatingCommand } from './command.ts';
import { emulatorEnding, type Stop } from './emulator-ending.ts';
import type { EmulatorBackendOptions } from './emulator-options.ts';
import { emulatorPreflight } from './emulator-preflight.ts';
import { runWithin, type RunLimits } from './emulator-run.ts';
import {
  beginBoot,
  buildSession,
  kindOf,
  prepareBoot,
  resetSession,
  type Boot,
  type Session,
} from './emulator-session.ts';
import { UnusableSnapshot } from './emulator-start.ts';
import { runOnTape } from './emulator-tape.ts';
import { runOnTaps } from './emulator-taps.ts';
import { kernelOf } from './environment.ts';
import { compareFirmware, describeSeen } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import { withHarm } from './machine-talk.ts';
import type { ModelDisk } from './model-checks.ts';
import { MODEL_CAPABILITIES } from './model-events.ts';
import { DISK_READ_BYTES } from './plan.ts';
import { keepSerialLog } from './serial-log.ts';

const INSTRUCTIONS = 30e9;
/** The longest pause of a healthy guest are the crypto self-tests: some 800 million. */
const SILENCE = 4e9;

/** Our own devices and our own CPU, with a stock guest on it. */
export function emulatorBackend(options: EmulatorBackendOptions): Backend {
  return {
    name: 'emulator',
    preflight: (input): Promise<readonly Diagnostic[]> =>
      Promise.resolve(emulatorPreflight(input, kindOf(input, options))),
    run: (input, hooks) => runOnTaps(input, hooks, options, (...taped) => runOnTape(...taped, run)),
  };
}

async function run(
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
): Promise<Observation> {
  if (input.signal?.aborted === true) throw new BootAborted('the boot was ended before it began');
  const started = performance.now();
  hooks.progress?.('emulator: building the machine');
  const session = await buildSession(input, hooks, options);
  const { emulator, machine } = session;
  const leave = await options.visit?.({
    machine,
    hold: () => emulator.hold(),
    release: () => emulator.release(),
    clock: () => emulator.core.clock,
  });
  try {
    return await bootAll(session, input, hooks, options, started);
  } catch (error) {
    if (!(error instanceof UnusableSnapshot)) throw error;
    // It is gone now; this run leaves another.
    hooks.progress?.('emulator: a snapshot was no good');
    return await run(input, hooks, options);
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
  // A panic is a reset as well.
  const { stop, observation: before } = first;
  const isReset = stop.kind === 'outcome' && stop.outcome.kind === 'reset';
  if (!twice || !isReset || !before.guest.completed) return before;
  hooks.progress?.('emulator: reset');
  const again = performance.now();
  resetSession(session);
  const second = { started: again, reboot: false };
  const { observation } = await bootOnce(session, input, hooks, options, second);
  const { environment } = observation;
  const { timings } = environment;
  // The whole run's time, as a user waited for it; each boot's own stands beside it.
  const [one, two] = [before.environment.timings['total'] ?? 0, timings['total'] ?? 0];
  const both = { ...timings, 'first boot': one, 'second boot': two, total: one + two };
  return { ...observation, environment: { ...environment, timings: both }, before };
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
  const boot = await prepareBoot(session, input, hooks, options, reboot);
  session.boot = boot;
  boot.watch.started(isSecond ? 'reset' : 'power-on');
  const { tape } = options;
  tape?.boot(session.emulator.placed.sha256);
  await beginBoot(session, boot);
  const prepareSeconds = seconds();
  hooks.progress?.(
    boot.start?.restored === true ? 'emulator: guest goes on' : 'emulator: kernel starts',
  );
  const stop = await runWithin(
    session.emulator,
    limitsOf(session, input, options),
    () => boot.lastLine,
    input.signal,
    session.realTime,
    tape && ((): void => tape.check(session.emulator)),
  );
  tape?.check(session.emulator, `${stop.kind} ${stop.outcome.kind}`);
  const { report, log, text } = boot.console.finish();
  const serialLog = await keepSerialLog(input.model, options.serialLog, text, isSecond ? 'a' : 'w');
  const note = await boot.start?.finish();
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
      ...environmentOf(input, options, session.emulator, boot, stop, note),
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
  note: string | undefined,
): Omit<Environment, 'timings' | 'serialLog'> {
  const kind = passed.tree === undefined ? 'acpi' : 'device-tree';
  return {
    backend: 'emulator',
    kernel: kernelOf(guest),
    initramfsSha256,
    machine: `our own devices and CPU (AArch64 in WebAssembly), ${kind}`,
    firmware: passed.origin,
    firmwareKind: kind,
    command: repeatingCommand(model.file, 'emulator', kind),
    seed,
    notes: [
      `${outcome.instructions} instructions, ${emulator.core.ram.length / 2 ** 20} MiB of RAM`,
      ...(note === undefined ? [] : [note]),
    ],
  };
}
