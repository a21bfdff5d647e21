import { Option, type Command } from 'commander';
import { fetchQemu, type FetchedQemu } from '../../qemu/index.ts';
import type { CommandContext } from '../context.ts';
import { Progress } from '../progress.ts';

/** `viommu-topo qemu`: a newer QEMU than the host's. */
export function registerQemu(program: Command, { io }: CommandContext): void {
  const qemu = program.command('qemu').description('a QEMU for the qemu-vfio-user backend');
  qemu
    .command('fetch')
    .description("unpack a newer Debian QEMU, for arm64 and x86-64 guests, into this user's cache")
    .option('--refresh', 'look for a newer one although one is cached')
    .option('--quiet', 'no progress')
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
Serving devices over vfio-user needs a QEMU of 10.1 or newer. Where the one on PATH is, this is not
needed. Uses apt with a configuration of its own and the mirror that this machine is set up with.
Nothing is installed, nothing outside the cache directory is changed, and no root is needed: QEMU
runs with libraries of its own, by a script that can be called like any qemu-system-*.`,
    )
    .action(async ({ refresh, quiet, format }: QemuFetchOptions) => {
      const progress = new Progress(io, quiet === true);
      try {
        const fetched = await fetchQemu({
          refresh: refresh === true,
          signal: io.signal,
          onProgress: (stage) => progress.stage(stage),
        });
        progress.end();
        io.out(format === 'json' ? `${JSON.stringify(fetched, undefined, 2)}\n` : text(fetched));
      } finally {
        progress.end();
      }
    });
}

interface QemuFetchOptions {
  readonly refresh?: boolean;
  readonly quiet?: boolean;
  readonly format: 'text' | 'json';
}

function text({ version, programs, packages }: FetchedQemu): string {
  return [
    `version  QEMU ${version}, from ${packages.length} packages`,
    `arm64    ${programs.arm64}`,
    `x86-64   ${programs['x86-64']}`,
    '',
  ].join('\n');
}
