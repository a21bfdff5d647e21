import { FormatError, sizeOf } from '../bytes/index.ts';
import {
  DEFAULT_KERNEL_MODEL,
  GuestPanic,
  ModelGuest,
  type GuestFirmware,
  type PlatformInterrupt,
} from '../driver/index.ts';
import { buildMachine, unsupported, type Machine } from '../machine/index.ts';
import { DISK_SIZE_DEFAULT } from '../qemu/index.ts';
import {
  AccessAudit,
  EndpointTraces,
  BootAborted,
  DeviceRecorder,
  type Backend,
  type BootHooks,
  type BootInput,
  type Ending,
  type GuestObservation,
  type Observation,
} from '../scenario/index.ts';
import { isHotplugged, type Diagnostic, type Model } from '../topology/index.ts';
import { repeatingCommand } from './command.ts';
import { compareFirmware, describeSeen } from './firmware-seen.ts';
import { MachineWatch } from './machine-watch.ts';
import { runChecks, type ModelDisk } from './model-checks.ts';
import { PatternStore } from './model-disk.ts';
import { deviceEvent, MODEL_CAPABILITIES, WATCHED } from './model-events.ts';
import { firmwareBlobs, firmwareKind, loadFirmware } from './model-firmware.ts';
import { logLines, observeModel } from './model-observation.ts';
import type { TapMaker } from './visit.ts';

/** Of the guest in TypeScript. */
export interface ModelBackendOptions {
  /** Which firmware the guest is given. Default: the device tree where there is one. */
  readonly firmware?: 'device-tree' | 'acpi';
  /** Sees the frames of each NIC; there is no clock, so all of them come at 0. */
  readonly tap?: TapMaker;
}

/** Linux maps no tree that is larger (Documentation/arch/arm64/booting.rst). */
const TREE_MAX = 2 * 2 ** 20;

/** RAM of a machine is one allocation, of which only touched pages become real. */
const RAM_MAX = 4n << 30n;

/** Our own devices, driven by the guest in TypeScript: a verdict in milliseconds. */
export function modelBackend(options: ModelBackendOptions = {}): Backend {
  return {
    name: 'model',
    preflight: (input) => Promise.resolve(preflight(input, options)),
    run: async (input, hooks) => Promise.resolve(run(input, hooks, options)),
  };
}

function preflight(
  { model, firmware }: BootInput,
  options: ModelBackendOptions,
): readonly Diagnostic[] {
  const found = model.endpoints.flatMap((endpoint): Diagnostic[] => {
    const problem = unsupported(endpoint);
    if (problem === undefined) return [];
    const place = endpoint.places['device'] ?? endpoint.place;
    return [obstacle('model-device', place, problem.what, problem.cure)];
  });
  const ram = model.memory.reduce((sum, range) => sum + sizeOf(range), 0n);
  if (ram > RAM_MAX) {
    const what = `${ram} bytes of RAM are more than this process is to ask for`;
    found.push(obstacle('model-memory', model.place, what, 'give the machine at most 4 GiB'));
  }
  if (model.guest.defaultDomain === 'lazy') {
    const what = 'the guest in TypeScript has no flush queue';
    found.push(obstacle('model-lazy', model.place, what, 'take --backend emulator or qemu'));
  }
  const kind = firmwareKind(firmware, options.firmware);
  // A real guest would be no wiser: ACPI has no word for such a region (VIOT has none, RMR is IORT's).
  for (const { id, via, place } of kind === 'acpi' ? model.reserved : []) {
    if (via.includes('probe')) continue;
    const what = `only a device tree can tell of region ${id}`;
    found.push(obstacle('model-region', place, what, 'let PROBE tell of it, or take the tree'));
  }
  if (kind === 'device-tree' ? firmware.tree === undefined : !firmware.tables.has('MCFG')) {
    const what =
      kind === 'device-tree' ? 'no device tree' : 'no MCFG, so a guest finds no PCI host';
    const cure = 'build the firmware from the topology, or take the other kind';
    found.push(obstacle('model-firmware', model.place, `there is ${what}`, cure));
  }
  return found;
}

function obstacle(
  rule: string,
  place: Diagnostic['place'],
  message: string,
  cure: string,
): Diagnostic {
  return { rule, severity: 'error', place, message, cure, related: [] };
}

/** Everything of one run. */
interface Run {
  readonly model: Model;
  readonly machine: Machine;
  readonly disks: ReadonlyMap<string, ModelDisk>;
  readonly recorder: DeviceRecorder;
  readonly audit: AccessAudit;
  readonly traces: EndpointTraces;
  readonly watch: MachineWatch;
  readonly interrupts: PlatformInterrupt[];
  /** The guest's log as it grows, and how many of its lines the hooks have heard. */
  readonly said: { lines: readonly string[]; told: number };
}

function run(input: BootInput, hooks: BootHooks, options: ModelBackendOptions): Observation {
  const { model, signal, seed } = input;
  if (signal?.aborted === true) throw new BootAborted('the boot was ended before it began');
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  hooks.progress?.('model: building the machine');
  const made = prepare(input, hooks, options.tap);
  const kind = firmwareKind(input.firmware, options.firmware);
  const loaded = loadFirmware(made.machine, input.firmware, kind);
  const { passed, firmware } = loaded;
  const built = seconds();
  hooks.progress?.('model: guest boots');
  const kernel = model.guest.kernel ?? DEFAULT_KERNEL_MODEL;
  const release = `${kernel.major}.${kernel.minor}-model`;
  const { guest, ending } = bootGuest(made, firmware, release);
  for (const { text } of guest.log.slice(made.said.told)) hooks.console?.(text);
  const seen = firmwareBlobs(loaded);
  return {
    capabilities: MODEL_CAPABILITIES,
    device: {
      ...made.recorder.finish(),
      audit: made.audit.finish(),
      ...made.traces.finish(),
      machine: made.watch.finish(),
    },
    guest,
    firmware: compareFirmware(passed, seen),
    described: describeSeen(model, passed, seen, release),
    ending,
    skipped: ['reboot', 'transfer'],
    environment: {
      backend: 'model',
      kernel: { release },
      machine: `our own devices, guest in TypeScript, ${firmware.kind}`,
      firmware: passed.origin,
      firmwareKind: kind,
      command: repeatingCommand(model.file, 'model', kind),
      seed,
      timings: { build: built, guest: seconds() - built, total: seconds() },
      notes: [],
    },
  };
}

/** The machine, with its disks, and everything it does on record. */
function prepare({ model, seed }: BootInput, hooks: BootHooks, tap: TapMaker | undefined): Run {
  const disks = new Map<string, ModelDisk>();
  const interrupts: PlatformInterrupt[] = [];
  const machine = buildMachine(model, {
    absent: (endpoint) => isHotplugged(model, endpoint),
    onInterrupt: (interrupt) => void interrupts.push(interrupt),
    tap: (endpoint) => tap?.(endpoint, () => 0n),
    store: ({ id, device }) => {
      const image = { endpoint: id, size: device?.size ?? DISK_SIZE_DEFAULT, seed };
      const disk = { image, store: new PatternStore(image) };
      disks.set(id, disk);
      return disk.store;
    },
  });
  const recorder = new DeviceRecorder();
  const audit = new AccessAudit(model);
  const traces = new EndpointTraces(model);
  const watch = new MachineWatch(machine, audit);
  const said: Run['said'] = { lines: [], told: 0 };
  watch.started('power-on');
  machine.subscribe(
    (event) => {
      const told = deviceEvent(machine, event);
      if (told === undefined) return;
      // What the guest said before this event comes before it.
      if (hooks.console !== undefined) {
        for (const line of said.lines.slice(said.told)) hooks.console(line);
        said.told = said.lines.length;
      }
      recorder.add(told);
      audit.add(told);
      traces.add(told);
      watch.event(event);
      hooks.event?.(told);
    },
    { iommu: WATCHED },
  );
  return { model, machine, disks, recorder, audit, traces, watch, interrupts, said };
}

/** A guest that goes wrong is an observation. */
function bootGuest(
  { model, machine, disks, watch, interrupts, said }: Run,
  firmware: GuestFirmware,
  release: string,
): { guest: GuestObservation; ending: Ending } {
  if (firmware.kind === 'device-tree' && firmware.blob.length > TREE_MAX) {
    return silence(`the device tree has ${firmware.blob.length} bytes; Linux takes 2 MiB`);
  }
  const { major, minor } = model.guest.kernel ?? DEFAULT_KERNEL_MODEL;
  const platform = {
    memory: machine.memory,
    bus: machine.bus,
    takeInterrupts: () => interrupts.splice(0),
    run: () => machine.isWaiting && machine.runPending(),
  };
  try {
    const guest = ModelGuest.boot(platform, firmware, {
      kernel: { major, minor, pageSize: model.guest.pageSize },
      defaultDomain: model.guest.defaultDomain === 'identity' ? 'identity' : 'DMA',
      onLog: (lines) => void (said.lines = lines),
    });
    const observed = observeModel(guest, release, runChecks({ machine, guest, disks, watch }));
    const seen = { ...observed, log: logLines(guest.log.lines) };
    const detail = `every check done, ${observed.devices.length} devices`;
    return { guest: seen, ending: { kind: 'completed', detail, tail: [] } };
  } catch (error) {
    if (error instanceof FormatError) return silence(error.message);
    if (!(error instanceof GuestPanic)) throw error;
    const text = `Kernel panic - not syncing: ${error.message}`;
    const lines = logLines([...said.lines, text]);
    const guest = { ...NOTHING, started: true, kernel: release, log: lines };
    return { guest, ending: { kind: 'panic', detail: text, tail: said.lines.slice(-20) } };
  }
}

const NOTHING: GuestObservation = {
  started: false,
  completed: false,
  iommus: [],
  groups: [],
  devices: [],
  deferred: [],
  disks: [],
  nics: [],
  faultChecks: [],
  rebinds: [],
  plugs: [],
  overlaps: [],
  log: [],
};

/** Firmware that a kernel cannot read at all: it stops before it can print. */
function silence(why: string): { guest: GuestObservation; ending: Ending } {
  const detail = `not a word from the guest: ${why}`;
  return { guest: NOTHING, ending: { kind: 'silent', detail, tail: [] } };
}
