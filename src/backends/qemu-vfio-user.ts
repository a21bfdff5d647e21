import { unsupported } from '../machine/index.ts';
import { preflight, showQemuVersion, VFIO_USER_RULES, workDirectory } from '../qemu/index.ts';
import type {
  Backend,
  BootHooks,
  BootInput,
  Capability,
  Environment,
  Observation,
} from '../scenario/index.ts';
import type { Diagnostic } from '../topology/index.ts';
import { repeatingCommand } from './command.ts';
import { withBacking } from './disk-backing.ts';
import { kernelOf } from './environment.ts';
import { compareFirmware, describeSeen } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import { MODEL_CAPABILITIES } from './model-events.ts';
import { withHarm } from './machine-talk.ts';
import { endingOf } from './qemu-console.ts';
import { passedImages } from './qemu-prepare.ts';
import {
  prepareVfioUser,
  type VfioUserBackendOptions,
  type VfioUserPrepared,
  type VfioUserRunOptions,
} from './qemu-vfio-user-prepare.ts';
import type { BootSeen } from './qemu-vfio-user-guest.ts';
import { runSession, type SessionResult } from './qemu-vfio-user-session.ts';
import type { Watched } from './qemu-watch.ts';
import { keepSerialLog } from './serial-log.ts';
import { closeTaps, openTaps, withTaps } from './taps.ts';

/** All that our devices do but their interrupts: QEMU has the MSI-X tables, and sends the messages. */
export const VFIO_USER_CAPABILITIES: ReadonlySet<Capability> = new Set(
  [...MODEL_CAPABILITIES].filter((capability) => capability !== 'msi'),
);

/** Our own devices, served over vfio-user to a QEMU with a stock guest on it. */
export function qemuVfioUserBackend(options: VfioUserBackendOptions): Backend {
  return {
    name: 'qemu-vfio-user',
    preflight: (input) => Promise.resolve(vfioUserPreflight(input)),
    run: (input, hooks) => runOnTaps(input, hooks, options),
  };
}

/** What stands in the way of serving a topology's devices to QEMU. */
export function vfioUserPreflight(input: BootInput): readonly Diagnostic[] {
  const { model } = input;
  const { tree } = passedImages(input, {});
  const board = preflight(model, {
    rules: VFIO_USER_RULES,
    ...(tree === undefined ? {} : { treeBytes: tree.length }),
  });
  const devices = model.endpoints.flatMap((endpoint): Diagnostic[] => {
    const problem = unsupported(endpoint);
    if (problem === undefined) return [];
    const place = endpoint.places['device'] ?? endpoint.place;
    return [
      {
        rule: 'vfio-user-device-kind',
        severity: 'error',
        place,
        message: problem.what,
        cure: problem.cure,
        related: [],
      },
    ];
  });
  return [...board, ...devices];
}

/** TAP interfaces are opened, and told of when they cannot be, before anything else. */
async function runOnTaps(
  input: BootInput,
  hooks: BootHooks,
  options: VfioUserBackendOptions,
): Promise<Observation> {
  const { taps = [] } = options;
  const opened = openTaps(taps);
  try {
    const observation = await run(input, hooks, { ...options, opened });
    return taps.length === 0 ? observation : withTaps(observation, taps, [], false);
  } finally {
    closeTaps(opened);
  }
}

async function run(
  input: BootInput,
  hooks: BootHooks,
  options: VfioUserRunOptions,
): Promise<Observation> {
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const { model } = input;
  const work = await workDirectory();
  try {
    const prepared = await prepareVfioUser(input, hooks, options, work.path);
    const prepareSeconds = seconds();
    const { result, notes } = await runWhole(input, hooks, options, prepared, work.path);
    const { text } = result.console.finish();
    const first = result.before?.console.finish().text ?? '';
    const serialLog = await keepSerialLog(model, options.serialLog, `${first}${text}`);
    const common = {
      ...environmentOf(input, options, prepared),
      serialLog,
      notes: [...notes, ...notesOf(result)],
    };
    const timings = { prepare: prepareSeconds, total: seconds() };
    const observation = observe(input, prepared, result, result.seen, { ...common, timings });
    if (result.before === undefined) return observation;
    // The guest's own end is what QEMU stood still for.
    const reset = { exit: { why: 'exited', limit: 0 }, errors: [] } as const;
    return {
      ...observation,
      before: observe(input, prepared, result.before, reset, { ...common, timings }),
    };
  } finally {
    work.remove();
  }
}

function observe(
  { model }: BootInput,
  { passed, reference }: VfioUserPrepared,
  { console, device, backing, harmed }: BootSeen,
  { exit, errors }: Pick<Watched, 'exit' | 'errors'>,
  environment: Environment,
): Observation {
  const { report, log } = console.finish();
  const guest = observeGuest(model, report, log, reference);
  const seen = { ...guest, faultChecks: withHarm(guest.faultChecks, harmed) };
  return {
    capabilities: VFIO_USER_CAPABILITIES,
    device,
    guest: withBacking(model, seen, (id) => backing.get(id)),
    firmware: compareFirmware(passed, report.firmware),
    described: describeSeen(model, passed, report.firmware, report.release),
    ending: endingOf(report, log, exit, errors),
    environment: {
      ...environment,
      timings: {
        ...environment.timings,
        ...(report.initTime === undefined ? {} : { 'to init': report.initTime }),
        ...(report.endTime === undefined ? {} : { guest: report.endTime }),
      },
      notes: [...environment.notes, ...report.complaints.slice(0, 5)],
    },
    skipped: [],
  };
}

/** An emulated 8250 may drop a character; such a report is made once more, by new devices. */
async function runWhole(
  input: BootInput,
  hooks: BootHooks,
  options: VfioUserRunOptions,
  prepared: VfioUserPrepared,
  directory: string,
): Promise<{ result: SessionResult; notes: string[] }> {
  const once = (): Promise<SessionResult> => runSession(input, hooks, options, prepared, directory);
  const result = await once();
  const { report } = result.console.finish();
  if (!result.console.ended || report.complete) return { result, notes: [] };
  hooks.progress?.(`the console lost ${report.missing} line(s): booting again`);
  return {
    result: await once(),
    notes: [`booted twice: the console lost ${report.missing} line(s) of the first report`],
  };
}

function notesOf({ notes, problems }: SessionResult): string[] {
  return [
    ...notes,
    ...problems.map(
      ({ code, message, effect, cure }) => `${message}; ${effect} (${cure}) [${code}]`,
    ),
  ];
}

function environmentOf(
  { model, seed }: BootInput,
  { guest }: VfioUserBackendOptions,
  { qemu, accel, passed, initramfsSha256 }: VfioUserPrepared,
): Omit<Environment, 'timings' | 'notes'> {
  const kind = model.arch === 'arm64' ? 'device-tree' : 'acpi';
  return {
    backend: 'qemu-vfio-user',
    kernel: kernelOf(guest),
    initramfsSha256,
    machine: `our own devices over vfio-user, QEMU ${showQemuVersion(qemu.version)}`,
    accelerator: { name: accel.accel, why: accel.reason },
    firmware: passed.origin,
    firmwareKind: kind,
    command: repeatingCommand(model.file, 'qemu-vfio-user', kind),
    seed,
  };
}
