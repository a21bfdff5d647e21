import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { makeDirectories } from '../../bytes/index.ts';
import { foreignGuest, writeForeignDisks } from '../../backends/index.ts';
import { asOutputError } from '../../firmware/index.ts';
import { fetchGuest, type Guest } from '../../guest/index.ts';
import { stockSeries } from '../../qemu/index.ts';
import type { Model } from '../../topology/index.ts';
import { collect } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { InputError } from '../exit.ts';
import type { Io } from '../io.ts';
import { Progress } from '../progress.ts';
import { requireTopology } from '../topology.ts';

interface ExportOptions {
  readonly output: string;
  readonly series?: string;
  readonly seed: string;
  readonly stockCmdline?: boolean;
  readonly append: readonly string[];
}

/** `viommu-topo guest export`: what another VMM needs to boot a topology and be judged. */
export function registerGuestExport(guest: Command, { io }: CommandContext): void {
  guest
    .command('export')
    .description('kernel, initramfs, command line and disks of a topology, for another VMM')
    .argument('<file>', 'topology')
    .requiredOption('-o, --output <dir>', 'a directory that is empty or not there yet')
    .option('--series <version>', 'series of the stock kernel (default: the topology’s, or 6.12)')
    .option('--seed <text>', 'what the disks’ contents come from', 'viommu-topo')
    .option('--stock-cmdline', 'no kernel parameters for speed')
    .option('--append <parameter>', 'one more kernel parameter; may be repeated', collect, [])
    .addHelpText(
      'after',
      `
Writes kernel, initramfs.cpio, cmdline and ENDPOINT.img for each disk. Boot them on the machine of the
topology, with the first serial port as the console, and give what it prints to viommu-topo judge.

Example:
  viommu-topo guest export topologies/its.yaml -o guest`,
    )
    .action(async (file: string, options: ExportOptions) => {
      const model = requireTopology(file, io);
      const progress = new Progress(io);
      try {
        const stock = await stockGuest(model, options, io, progress);
        progress.stage('making initramfs and disks');
        const { seed, append } = options;
        const made = await foreignGuest(model, {
          guest: stock,
          seed,
          append,
          bootOptions: options.stockCmdline === true ? 'stock' : 'fast',
        });
        const names = await write(options.output, made);
        progress.end();
        for (const name of names) io.out(`${join(options.output, name)}\n`);
      } finally {
        progress.end();
      }
    });
}

function stockGuest(
  model: Model,
  { series }: ExportOptions,
  io: Io,
  progress: Progress,
): Promise<Guest> {
  return fetchGuest(model.arch === 'arm64' ? 'arm64' : 'amd64', {
    series: series ?? stockSeries(model.guest.kernel),
    signal: io.signal,
    onProgress: (line) => progress.stage(`guest: ${line}`),
  });
}

async function write(
  directory: string,
  made: Awaited<ReturnType<typeof foreignGuest>>,
): Promise<string[]> {
  try {
    makeDirectories(directory);
    if ((await readdir(directory)).length > 0) {
      throw new InputError(`${directory} is not empty`, 'name a directory that is not there yet');
    }
    await copyFile(made.kernel, join(directory, 'kernel'));
    await writeFile(join(directory, 'initramfs.cpio'), made.initramfs);
    await writeFile(join(directory, 'cmdline'), `${made.cmdline}\n`);
    const disks = await writeForeignDisks(made.disks, directory);
    return [
      'kernel',
      'initramfs.cpio',
      'cmdline',
      ...Array.from(disks.keys(), (id) => `${id}.img`),
    ];
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw asOutputError(error, directory);
  }
}
