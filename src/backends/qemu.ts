import { findQemu, preflight, shellWord, showQemuVersion, workDirectory } from '../qemu/index.ts';
import {
  DeviceRecorder,
  type Backend,
  type BootHooks,
  type BootInput,
  type Environment,
  type Observation,
} from '../scenario/index.ts';
import type { Diagnostic } from '../topology/index.ts';
import { kernelOf } from './environment.ts';
import { compareFirmware, describeSeen } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import { endingOf } from './qemu-console.ts';
import { QEMU_CAPABILITIES } from './qemu-events.ts';
import {
  passedImages,
  prepare,
  QEMU_CANNOT,
  type Prepared,
  type QemuBackendOptions,
} from './qemu-prepare.ts';
import { watch, type Watched } from './qemu-watch.ts';
import { keepSerialLog } from './serial-log.ts';

/** QEMU's own virtio-iommu, with a stock guest on it. */
export function qemuBackend(options: QemuBackendOptions): Backend {
  return {
    name: 'qemu',
    preflight: (input) => preflightOf(input, options),
    run: (input, hooks) => run(input, hooks, options),
  };
}

async function preflightOf(
  input: BootInput,
  options: QemuBackendOptions,
): Promise<readonly Diagnostic[]> {
  const { version } = await findQemu(input.model.arch, options.qemu);
  const { tree, tables } = passedImages(input, options);
  return preflight(input.model, {
    version,
    ownTables: tables.size > 0,
    ...(tree === undefined ? {} : { treeBytes: tree.length }),
  });
}

async function run(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
): Promise<Observation> {
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const work = await workDirectory();
  try {
    const prepared = await prepare(input, hooks, options, work.path);
    const prepareSeconds = seconds();
    const { seen, recorder, notes } = await watchWhole(input, hooks, options, prepared);
    const { report, log, text } = seen.console.finish();
    const serialLog = await keepSerialLog(input.model, options.serialLog, text);
    return {
      capabilities: QEMU_CAPABILITIES,
      device: recorder.finish(),
      guest: observeGuest(input.model, report, log, prepared.reference),
      firmware: compareFirmware(prepared.passed, report.firmware),
      described: describeSeen(input.model, prepared.passed, report.firmware, report.release),
      skipped: QEMU_CANNOT,
      ending: endingOf(report, log, seen.exit, seen.errors),
      environment: {
        ...environmentOf(input, options, prepared),
        timings: {
          prepare: prepareSeconds,
          ...(report.initTime === undefined ? {} : { 'to init': report.initTime }),
          ...(report.endTime === undefined ? {} : { guest: report.endTime }),
          total: seconds(),
        },
        serialLog,
        notes: [...notes, ...report.complaints.slice(0, 5)],
      },
    };
  } finally {
    work.remove();
  }
}

/**
 * A run whose console is whole. An emulated 8250 drops a character when the host does not get to
 * it within the driver's patience; a report that came to its end with a line missing for that
 * reason says nothing about the topology, and is made once more.
 */
async function watchWhole(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
  prepared: Prepared,
): Promise<{ seen: Watched; recorder: DeviceRecorder; notes: string[] }> {
  const first = new DeviceRecorder();
  const seen = await watch(input, hooks, options, prepared, first);
  const { report } = seen.console.finish();
  if (!seen.console.ended || report.complete) return { seen, recorder: first, notes: [] };
  hooks.progress?.(`the console lost ${report.missing} line(s): booting again`);
  const second = new DeviceRecorder();
  return {
    seen: await watch(input, hooks, options, prepared, second),
    recorder: second,
    notes: [`booted twice: the console lost ${report.missing} line(s) of the first report`],
  };
}

function environmentOf(
  { model, seed }: BootInput,
  { guest }: QemuBackendOptions,
  { qemu, accel, argv, passed, initramfsSha256 }: Prepared,
): Omit<Environment, 'timings' | 'notes'> {
  return {
    backend: 'qemu',
    kernel: kernelOf(guest),
    initramfsSha256,
    machine: `QEMU ${showQemuVersion(qemu.version)}`,
    accelerator: { name: accel.accel, why: accel.reason },
    firmware: passed.origin,
    firmwareKind: model.arch === 'arm64' ? 'device-tree' : 'acpi',
    command: [qemu.path, ...argv].map(shellWord),
    seed,
  };
}
