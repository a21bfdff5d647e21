import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import {
  bootCmdline,
  buildInitramfs,
  formatPlan,
  type BootOptionSet,
  type Guest,
} from '../guest/index.ts';
import {
  buildCommand,
  chooseAccel,
  commandArgv,
  cpuModel,
  diskSha256,
  findQemu,
  ownTablesBlob,
  qemuTables,
  writeDiskImage,
  type Acceleration,
  type DiskImage,
  type FileName,
  type QemuCommand,
  type QemuProgram,
} from '../qemu/index.ts';
import type { BootHooks, BootInput, FirmwareImages } from '../scenario/index.ts';
import type { GuestCheck } from '../topology/index.ts';
import { sha256 } from './firmware-seen.ts';
import {
  bootPlan,
  DISK_READ_BYTES,
  kernelParameters,
  moduleParameters,
  modulesFor,
} from './plan.ts';

/** Nothing is plugged into a QEMU that runs, and a reset ends it (-no-reboot). */
export const QEMU_CANNOT: readonly GuestCheck[] = ['hotplug', 'reboot', 'transfer'];

/** Of stock Linux under QEMU with QEMU’s own devices. */
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
  /** Seconds that the guest waits for each device before it gives it up; default 15. */
  readonly patience?: number;
  /** Seconds without a line on the console after which the guest counts as hung. */
  readonly silence?: number;
}

/** Everything a run is made of, before QEMU starts. */
export interface Prepared {
  readonly qemu: QemuProgram;
  readonly accel: Acceleration;
  readonly argv: readonly string[];
  /** What the guest is really given. */
  readonly passed: FirmwareImages;
  readonly initramfsSha256: string;
  /** sha256 of the bytes that are read, by endpoint. */
  readonly reference: ReadonlyMap<string, string>;
}

/** Writes everything a run needs into `directory`. */
export async function prepare(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
  directory: string,
): Promise<Prepared> {
  const { model, signal, seed } = input;
  hooks.progress?.('looking for QEMU');
  const qemu = await findQemu(model.arch, options.qemu);
  const accel = await chooseAccel(qemu, {
    kernel: options.guest.kernel,
    wish: options.accel ?? 'auto',
    ...(signal === undefined ? {} : { signal }),
  });
  const passed = passedImages(input, options);
  const table = passed.tables.size > 0;
  const command = buildCommand(model, {
    version: qemu.version,
    append: bootCmdline(options.guest.arch, options.bootOptions ?? 'fast', [
      ...kernelParameters(model),
      ...(options.append ?? []),
    ]),
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
    parameters: moduleParameters(model),
    plan: formatPlan(
      bootPlan(model, (id) => diskSize(command.disks, id), {
        patience: options.patience,
        skipped: QEMU_CANNOT,
      }),
    ),
  });
  await put('initrd', 'initramfs.cpio', initramfs);
  const cpu = cpuModel(model, accel.accel);
  return {
    qemu,
    accel,
    argv: commandArgv(withoutTree(command, passed), { files, accel: accel.accel, cpu }),
    passed,
    initramfsSha256: sha256(initramfs),
    reference,
  };
}

/** On q35 only VIOT is ours: the other tables describe the machine, and are QEMU's to make. */
export function passedImages(
  { model, firmware }: BootInput,
  options: Pick<QemuBackendOptions, 'firmware'>,
): FirmwareImages {
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
