import { Option, type Command } from 'commander';
import { DEFAULT_SERIES, fetchGuest, genericInitramfs, type Guest } from '../../guest/index.ts';
import { guestArch } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { Progress } from '../progress.ts';
import { registerGuestExport } from './guest-export.ts';

/** `viommu-topo guest`: stock kernels and userspace. */
export function registerGuest(program: Command, context: CommandContext): void {
  const { io } = context;
  const guest = program.command('guest').description('stock kernels to boot with');
  registerGuestExport(guest, context);
  guest
    .command('fetch')
    .description('bring a stock Debian kernel, its modules and a userspace into the cache')
    .requiredOption('--arch <arch>', 'arm64 or amd64', guestArch)
    .option('--series <version>', 'series of the kernel, such as 6.12', DEFAULT_SERIES)
    .option('--refresh', 'look for a newer package although one is cached')
    .option('--quiet', 'no progress')
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
Uses apt with a configuration of its own and the mirror that this machine is set up with. Nothing is
installed, nothing outside the cache directory is changed, and no root is needed.`,
    )
    .action(async (options: GuestFetchOptions) => {
      const progress = new Progress(io, options.quiet === true);
      try {
        const fetched = await fetchGuest(options.arch, {
          series: options.series,
          refresh: options.refresh === true,
          signal: io.signal,
          onProgress: (stage) => progress.stage(stage),
        });
        progress.stage('making an initramfs for boot.sh');
        const initramfs = await genericInitramfs(fetched);
        progress.end();
        io.out(
          options.format === 'json' ? guestJson(fetched, initramfs) : guestText(fetched, initramfs),
        );
      } finally {
        progress.end();
      }
    });
}

interface GuestFetchOptions {
  readonly arch: 'arm64' | 'amd64';
  readonly series: string;
  readonly refresh?: boolean;
  readonly quiet?: boolean;
  readonly format: 'text' | 'json';
}

function guestText(guest: Guest, initramfs: string): string {
  const lines = [
    `kernel   ${guest.release} (${guest.arch})`,
    `image    ${guest.kernel}`,
    `sha256   ${guest.kernelSha256}`,
    `modules  ${guest.modulesDir}`,
    `busybox  ${guest.busybox}`,
    `initrd   ${initramfs}`,
    ...guest.packages.map((one) => `package  ${one.package} ${one.version} ${one.sha256}`),
  ];
  return `${lines.join('\n')}\n`;
}

function guestJson(guest: Guest, initramfs: string): string {
  return `${JSON.stringify({ ...guest, initramfs }, undefined, 2)}\n`;
}
