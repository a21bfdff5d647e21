import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

import {
  type Guest,
  type GuestAction,
  type GuestReport,
  bootCmdline,
  buildInitramfs,
  formatPlan,
  parseReport,
} from '../../src/guest/index.ts';

/** A boot by a QEMU command line made by hand: tests the guest room without the rooms above it. */
export interface HandBoot {
  readonly guest: Guest;
  /** Machine and devices; `DISK` stands for a `-drive` of 4 MiB of noise with the id `disk`. */
  readonly machine: string;
  readonly modules: readonly string[];
  readonly plan: readonly GuestAction[];
  readonly extra?: readonly string[];
}

/** Boots, waits for the end (at most two minutes), and returns what the guest said. */
export async function handBoot(
  boot: HandBoot,
): Promise<{ readonly report: GuestReport; readonly disk: Buffer; readonly stderr: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'viommu-boot-'));
  try {
    const disk = randomBytes(4 << 20);
    await writeFile(join(dir, 'disk'), disk);
    const plan = formatPlan(boot.plan);
    const initramfs = await buildInitramfs({ ...boot, plan });
    await writeFile(join(dir, 'initramfs'), initramfs);
    const drive = `-drive if=none,id=disk,format=raw,file=${join(dir, 'disk')}`;
    const arm = boot.guest.arch === 'arm64';
    const result = await execa(
      arm ? 'qemu-system-aarch64' : 'qemu-system-x86_64',
      [
        ...boot.machine.replace('DISK', drive).trim().split(/\s+/u),
        ...'-m 512M -nodefaults -display none -serial stdio -no-reboot'.split(' '),
        '-kernel',
        boot.guest.kernel,
        '-initrd',
        join(dir, 'initramfs'),
        '-append',
        bootCmdline(boot.guest.arch, 'fast', boot.extra),
      ],
      { reject: false, timeout: 120_000, stdin: 'ignore', encoding: 'latin1' },
    );
    return { report: parseReport(result.stdout), disk, stderr: result.stderr };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
