import { createHash } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { makeDirectories } from '../bytes/index.ts';
import { cacheDirectory, writeWhole } from '../guest/index.ts';
import { z } from 'zod';
import { QemuError } from './error.ts';
import { fileKey, type QemuProgram } from './find.ts';
import { startQemu, type QemuExit } from './process.ts';

/** What runs the guest's instructions, and why; the reason is a clause for the verdict. */
export interface Acceleration {
  readonly accel: 'kvm' | 'tcg';
  readonly reason: string;
}

export interface AccelOptions {
  /** The kernel that will be booted: the one thing KVM must be able to run. */
  readonly kernel: string;
  /** Where results are kept between runs; default: the user's cache. */
  readonly cache?: string;
  /** `kvm` or `tcg`: not tried out, taken. */
  readonly wish?: 'kvm' | 'tcg' | 'auto';
  readonly signal?: AbortSignal;
}

/** A kernel without a root gives up in about a second; a machine that is busy takes longer. */
const TRIAL_MS = 30_000;
/** Linux has started its drivers and looked for a root file system: all of it ran under KVM. */
const REACHED = /Kernel panic - not syncing: VFS|VFS: Unable to mount root|No working init found/;

const KEPT = z.object({ accel: z.enum(['kvm', 'tcg']), reason: z.string() });

/**
 * Whether KVM can run this kernel here, found out by doing it.
 *
 * `/dev/kvm` may exist and yet fail (nested or restricted virtualisation: an instruction cannot be
 * emulated and QEMU stops with "internal-error", or nothing ever happens). So the kernel itself is
 * started without a root file system and must come as far as missing it. The answer is kept until
 * the machine boots again or QEMU or the kernel change.
 */
export async function chooseAccel(qemu: QemuProgram, options: AccelOptions): Promise<Acceleration> {
  if (options.wish === 'tcg' || options.wish === 'kvm') {
    return { accel: options.wish, reason: 'asked for' };
  }
  const obstacle = kvmObstacle(qemu);
  if (obstacle !== undefined) return { accel: 'tcg', reason: obstacle };
  const directory = join(options.cache ?? cacheDirectory(), 'kvm');
  const file = join(directory, `${trialKey(qemu, options.kernel)}.json`);
  const kept = await readKept(file);
  if (kept !== undefined) return kept;
  const result = await tryKvm(qemu, options);
  options.signal?.throwIfAborted();
  try {
    makeDirectories(directory);
    await writeWhole(file, `${JSON.stringify(result)}\n`);
  } catch {
    // A cache that cannot be written costs the next run a second or two.
  }
  return result;
}

/** What rules KVM out without a trial. */
function kvmObstacle(qemu: QemuProgram): string | undefined {
  const host =
    process.arch === 'arm64' ? 'arm64' : process.arch === 'x64' ? 'x86-64' : process.arch;
  if (host !== qemu.arch) return `KVM cannot run ${qemu.arch} on a ${host} host`;
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EACCES'
      ? '/dev/kvm may not be opened by this user'
      : 'there is no /dev/kvm';
  }
}

function trialKey(qemu: QemuProgram, kernel: string): string {
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    // Not Linux: then there is no KVM either, and this is not reached.
  }
  const text = [boot, fileKey(qemu.path), fileKey(kernel)].join('\n');
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

async function readKept(file: string): Promise<Acceleration | undefined> {
  try {
    return KEPT.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}

function trialArguments(arm: boolean, kernel: string): string[] {
  const machine = arm ? 'virt,gic-version=host' : 'q35,sata=off';
  return [
    ...'-nodefaults -no-user-config -display none -no-reboot -m 256M'.split(' '),
    ...`-M ${machine} -accel kvm -cpu host`.split(' '),
    '-kernel',
    kernel,
    '-append',
    `console=${arm ? 'ttyAMA0' : 'ttyS0'} panic=-1`,
  ];
}

/** Boots the kernel under KVM, with nothing but memory and a console. */
export async function tryKvm(
  qemu: QemuProgram,
  options: Pick<AccelOptions, 'kernel' | 'signal'>,
): Promise<Acceleration> {
  const arm = qemu.arch === 'arm64';
  let reached = false;
  let internalError = false;
  const started = Date.now();
  try {
    const running = await startQemu({
      program: qemu.path,
      args: trialArguments(arm, options.kernel),
      timeLimit: TRIAL_MS,
      console: (line) => {
        reached ||= REACHED.test(line);
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    running.qmp.onEvent(({ event }) => {
      // The only thing that stops CPUs here is KVM giving up (QEMU prints "KVM internal error").
      if (event === 'STOP') {
        internalError = true;
        running.kill();
      }
    });
    const exit = await running.exit;
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    if (reached)
      return { accel: 'kvm', reason: `KVM booted the kernel in a trial of ${seconds} s` };
    const why = internalError ? cannotEmulate(exit) : didNotCome(exit);
    return { accel: 'tcg', reason: why };
  } catch (error) {
    if (!(error instanceof QemuError)) throw error;
    const detail = error.story?.errors.at(-1) ?? error.message;
    return { accel: 'tcg', reason: `QEMU cannot start KVM: ${detail}` };
  }
}

function cannotEmulate(exit: QemuExit): string {
  const detail = exit.story.errors.find((line) => /kvm/i.test(line));
  return `KVM cannot run this kernel here: ${detail ?? 'QEMU stopped with an internal error'}`;
}

function didNotCome(exit: QemuExit): string {
  if (exit.cause === 'timed-out') {
    return `in a trial under KVM the kernel did not come up within ${TRIAL_MS / 1000} s`;
  }
  return `a trial under KVM ended early: ${exit.story.errors.at(-1) ?? 'no message'}`;
}
