import {
  bootCmdline,
  buildInitramfs,
  formatPlan,
  type BootOptionSet,
  type Guest,
} from '../guest/index.ts';
import { DISK_SIZE_DEFAULT, diskSha256, writeDiskImage, type DiskImage } from '../qemu/index.ts';
import {
  DeviceRecorder,
  judge,
  type Environment,
  type FirmwareImages,
  type Verdict,
} from '../scenario/index.ts';
import type { GuestCheck, Model } from '../topology/index.ts';
import { compareFirmware, describeSeen } from './firmware-seen.ts';
import { observeGuest } from './guest-observation.ts';
import {
  bootPlan,
  DISK_READ_BYTES,
  kernelParameters,
  moduleParameters,
  modulesFor,
} from './plan.ts';
import { ConsoleWatch, endingOf } from './qemu-console.ts';

/** Nobody plugs, answers or resets from outside. */
const CANNOT: readonly GuestCheck[] = ['hotplug', 'reboot', 'transfer'];

/** What a guest and the judge of its console have to agree on. */
export interface ForeignOptions {
  /** Seed of the disks' contents; must be the same when the console is judged. */
  readonly seed: string;
}

/** What a VMM of somebody else's needs to boot a topology, so that its console can be judged. */
export interface ForeignGuest {
  /** Path of the boot image: `Image` on arm64, `bzImage` on x86-64. */
  readonly kernel: string;
  readonly initramfs: Uint8Array;
  /** Kernel parameters, for the first serial port. */
  readonly cmdline: string;
  /** Contents of each disk, by endpoint; {@link writeForeignDisks} makes files of them. */
  readonly disks: readonly DiskImage[];
}

/**
 * A guest for a VMM that is not one of our backends. Boot it on the machine of the topology, keep
 * what its serial port prints, and give that to {@link judgeConsole}.
 *
 * @throws EnvironmentError `env/module-missing` when the kernel lacks a driver that is needed
 */
export async function foreignGuest(
  model: Model,
  options: ForeignOptions & {
    readonly guest: Guest;
    readonly bootOptions?: BootOptionSet;
    readonly append?: readonly string[];
  },
): Promise<ForeignGuest> {
  const { guest, seed, bootOptions = 'fast', append = [] } = options;
  const disks = disksOf(model, seed);
  const size = (id: string): bigint => disks.find(({ endpoint }) => endpoint === id)?.size ?? 0n;
  const initramfs = await buildInitramfs({
    guest,
    modules: modulesFor(model),
    parameters: moduleParameters(model),
    plan: formatPlan(bootPlan(model, size, { skipped: CANNOT })),
  });
  const cmdline = bootCmdline(guest.arch, bootOptions, [...kernelParameters(model), ...append]);
  return { kernel: guest.kernel, initramfs, cmdline, disks };
}

/** Writes `ENDPOINT.img` for each disk, sparse. @returns the paths, by endpoint */
export async function writeForeignDisks(
  disks: readonly DiskImage[],
  directory: string,
): Promise<ReadonlyMap<string, string>> {
  const paths = new Map<string, string>();
  for (const disk of disks) {
    const path = `${directory}/${disk.endpoint}.img`;
    await writeDiskImage(disk, path);
    paths.set(disk.endpoint, path);
  }
  return paths;
}

/**
 * The verdict on what a guest printed on its console, whoever ran it: everything that the guest
 * itself can show. What only the device sees is not observable.
 *
 * @param text the console from power-on, as bytes came: carriage returns do not matter
 * @param options.firmware what the guest was given; without it, its own copy is only read
 */
export function judgeConsole(
  model: Model,
  text: string,
  options: ForeignOptions & {
    readonly firmware?: FirmwareImages;
    /** Who ran the guest, for the verdict. */
    readonly machine?: string;
  },
): Verdict {
  const console = new ConsoleWatch({}, () => undefined);
  for (const line of text.split('\n')) console.line(line.replace(/\r+$/u, ''));
  const { report, log } = console.finish();
  const reference = new Map(
    disksOf(model, options.seed).map((disk) => [disk.endpoint, diskSha256(disk, readable(disk))]),
  );
  const passed = ofOneKind(options.firmware, report.firmware);
  const environment: Environment = {
    backend: 'console',
    ...(report.release === undefined ? {} : { kernel: { release: report.release } }),
    ...(options.machine === undefined ? {} : { machine: options.machine }),
    firmware: passed.origin,
    seed: options.seed,
    timings: report.endTime === undefined ? {} : { guest: report.endTime, total: report.endTime },
    notes: report.complaints.slice(0, 5),
  };
  return judge(model, {
    capabilities: new Set(),
    device: new DeviceRecorder().finish(),
    guest: observeGuest(model, report, log, reference),
    firmware: compareFirmware(passed, report.firmware),
    described: describeSeen(model, passed, report.firmware, report.release),
    ending: endingOf(report, log, { why: 'exited', limit: 0 }, []),
    environment,
    skipped: CANNOT,
  });
}

/** A guest that has tables goes by them, whatever tree lies beside; what it was not given is not missed. */
function ofOneKind(
  given: FirmwareImages | undefined,
  seen: ReadonlyMap<string, unknown>,
): FirmwareImages {
  if (given === undefined) return { tables: new Map(), origin: 'the machine’s own' };
  const { tree, tables, origin } = given;
  const byTables = [...seen.keys()].some((name) => name !== 'fdt');
  if (tree === undefined || byTables) return { tables, origin };
  return { tree, tables: new Map(), origin };
}

function disksOf(model: Model, seed: string): DiskImage[] {
  return model.endpoints.flatMap(({ id, device }) =>
    device?.kind === 'virtio-blk' || device?.kind === 'nvme'
      ? [{ endpoint: id, size: device.size ?? DISK_SIZE_DEFAULT, seed }]
      : [],
  );
}

function readable({ size }: DiskImage): bigint {
  return size < BigInt(DISK_READ_BYTES) ? size : BigInt(DISK_READ_BYTES);
}
