import { basename } from 'node:path';
import { Option, type Command } from 'commander';
import { inspectionText, toTopologyYaml, type Inspection } from '../../firmware/index.ts';
import { renderDiagnostics } from '../../report/index.ts';
import type { Diagnostic } from '../../topology/index.ts';
import type { CommandContext } from '../context.ts';
import { EXIT, InputError } from '../exit.ts';
import { readFirmware } from '../firmware-file.ts';

interface InspectOptions {
  readonly format: 'table' | 'yaml';
  readonly name?: string;
}

/** `viommu-topo inspect`: what trees and tables say. */
export function registerInspect(program: Command, { io, exit }: CommandContext): void {
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
      const seen: Inspection[] = [];
      const problems: Diagnostic[] = [];
      for (const file of files) {
        const read = readFirmware(file);
        if ('inspection' in read) seen.push(read.inspection);
        else if ('problem' in read) problems.push(read.problem);
        else throw new InputError(`${file} is text, not firmware`, `viommu-topo check ${file}`);
      }
      io.err(renderDiagnostics(problems, new Map(), { color: io.colorErr }));
      if (problems.length > 0) exit(EXIT.INPUT);
      if (options.format === 'table') io.out(seen.map(inspectionText).join('\n'));
      // Half a machine would be another topology.
      else if (problems.length === 0) {
        const name = options.name ?? basename(files[0] ?? 'topology').replace(/\.[a-z]+$/i, '');
        io.out(toTopologyYaml(seen, name.toLowerCase()));
      }
    });
}
