import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { bootCmdline, buildInitramfs, formatPlan } from '../guest/index.ts';
import {
  buildVfioUserCommand,
  chooseAccel,
  commandArgv,
  cpuModel,
  DISK_SIZE_DEFAULT,
  diskSha256,
  findVfioUserQemu,
  type Acceleration,
  type FileName,
  type QemuProgram,
  type VfioUserFunction,
} from '../qemu/index.ts';
import type { BootHooks, BootInput, FirmwareImages } from '../scenario/index.ts';
import type { Model } from '../topology/index.ts';
import { sha256 } from './firmware-seen.ts';
import { guestFiles } from './guest-files.ts';
import {
  bootPlan,
  DISK_READ_BYTES,
  kernelParameters,
  moduleParameters,
  modulesFor,
} from './plan.ts';
import { passedImages, type QemuBackendOptions } from './qemu-prepare.ts';
import { tapPlan, type OpenTap, type TapAttachment } from './taps.ts';
import type { RemoteVisitor } from './visit.ts';

/** Of stock Linux under QEMU with our devices. */
export interface VfioUserBackendOptions extends Omit<QemuBackendOptions, 'firmware'> {
  /** Seconds that QEMU may take until it has connected to all devices and answers; default 30. */
  readonly connectTime?: number;
  /** Gets the devices before QEMU starts. */
  readonly visit?: RemoteVisitor;
  /** NICs on TAP interfaces. */
  readonly taps?: readonly TapAttachment[];
}

/** Of one run. */
export interface VfioUserRunOptions extends VfioUserBackendOptions {
  /** `taps`, for as long as the run lasts. */
  readonly opened: readonly OpenTap[];
}

/** Everything a run is made of, before a server or QEMU starts. */
export interface VfioUserPrepared {
  readonly qemu: QemuProgram;
  readonly accel: Acceleration;
  /** What the guest is really given. */
  readonly passed: FirmwareImages;
  readonly initramfsSha256: string;
  /** sha256 of the bytes that are read, by endpoint. */
  readonly reference: ReadonlyMap<string, string>;
  /** Files that the command line names. */
  readonly files: ReadonlyMap<FileName, string>;
}

/** Finds QEMU and writes the files of a run into `directory`. */
export async function prepareVfioUser(
  input: BootInput,
  hooks: BootHooks,
  options: VfioUserBackendOptions,
  directory: string,
): Promise<VfioUserPrepared> {
  const { model, signal, seed } = input;
  hooks.progress?.('looking for a QEMU with a client of vfio-user');
  const qemu = await findVfioUserQemu(
    model.arch,
    options.qemu === undefined ? {} : { path: options.qemu },
  );
  const accel = await chooseAccel(qemu, {
    kernel: options.guest.kernel,
    wish: options.accel ?? 'auto',
    ...(signal === undefined ? {} : { signal }),
  });
  hooks.progress?.('making the initramfs');
  const files = new Map<FileName, string>([['kernel', options.guest.kernel]]);
  const put = async (name: FileName, file: string, bytes: Uint8Array): Promise<void> => {
    const path = join(directory, file);
    await writeFile(path, bytes);
    files.set(name, path);
  };
  const passed = passedImages(input, { firmware: 'own' });
  const viot = passed.tables.get('VIOT');
  if (passed.tree !== undefined) await put('tree', 'topology.dtb', passed.tree);
  if (viot !== undefined) await put('viot', 'viot.aml', viot);
  const plan = bootPlan(model, (id) => diskSize(model, id), {
    patience: options.patience,
    reboot: reboots(model),
    waits: true,
    ...tapPlan(options.taps),
  });
  const initramfs = await buildInitramfs({
    guest: options.guest,
    modules: modulesFor(model),
    parameters: moduleParameters(model),
    files: await guestFiles(model, signal),
    plan: formatPlan(plan),
  });
  await put('initrd', 'initramfs.cpio', initramfs);
  const initramfsSha256 = sha256(initramfs);
  return { qemu, accel, passed, initramfsSha256, reference: references(model, seed), files };
}

/** Whether the guest is booted twice, by itself. */
export function reboots({ guest }: Model): boolean {
  return guest.checks.includes('reboot');
}

/** QEMU's arguments once it is known where the functions are served. */
export function vfioUserArgv(
  model: Model,
  { accel, files }: VfioUserPrepared,
  functions: readonly VfioUserFunction[],
  options: VfioUserBackendOptions,
): string[] {
  const command = buildVfioUserCommand(model, {
    functions,
    append: bootCmdline(options.guest.arch, options.bootOptions ?? 'fast', [
      ...kernelParameters(model),
      ...(options.append ?? []),
    ]),
    viot: files.has('viot'),
    tree: files.has('tree'),
    reset: reboots(model) ? 'pause' : 'end',
  });
  return commandArgv(command, { files, accel: accel.accel, cpu: cpuModel(model, accel.accel) });
}

function diskSize(model: Model, id: string): bigint {
  return model.endpoints.find((endpoint) => endpoint.id === id)?.device?.size ?? DISK_SIZE_DEFAULT;
}

function references(model: Model, seed: string): Map<string, string> {
  const disks = model.endpoints.filter(({ device }) => device?.kind === 'virtio-blk');
  return new Map(
    disks.map(({ id }) => {
      const size = diskSize(model, id);
      const read = size < BigInt(DISK_READ_BYTES) ? size : BigInt(DISK_READ_BYTES);
      return [id, diskSha256({ endpoint: id, size, seed }, read)];
    }),
  );
}
