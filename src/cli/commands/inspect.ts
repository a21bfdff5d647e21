import { basename } from 'node:path';
import { Option, type Command } from 'commander';
import { inspect, inspectionText, toTopologyYaml } from '../../firmware/index.ts';
import { readFirmwareFile } from '../files.ts';
import type { CommandContext } from '../context.ts';

interface InspectOptions {
  readonly format: 'table' | 'yaml';
  readonly name?: string;
}

/** `viommu-topo inspect`: what trees and tables say. */
export function registerInspect(program: Command, { io }: CommandContext): void {
  program
    .command('inspect')
    .description('print what device trees and ACPI tables say about I/O topology')
    .argument('<file...>', 'a .dtb, or VIOT, IORT and MCFG tables, of anyone’s')
    .addOption(
      new Option('--format <format>', 'table: for reading; yaml: a topology again')
        .choices(['table', 'yaml'])
        .default('table'),
    )
    .option('--name <name>', 'name of the topology (default: that of the first file)')
    .addHelpText(
      'after',
      `
Examples:
  viommu-topo inspect out/topology.dtb
  viommu-topo inspect /sys/firmware/acpi/tables/VIOT /sys/firmware/acpi/tables/MCFG --format yaml

With --format yaml all files are those of one machine and give one topology.
Damaged input is refused with the offset of the damage (exit 2).`,
    )
    .action((files: string[], options: InspectOptions) => {
      const seen = files.map((file) => inspect(readFirmwareFile(file), file));
      if (options.format === 'yaml') {
        const name = options.name ?? basename(files[0] ?? 'topology').replace(/\.[a-z]+$/i, '');
        io.out(toTopologyYaml(seen, name.toLowerCase()));
      } else io.out(seen.map(inspectionText).join('\n'));
    });
}
