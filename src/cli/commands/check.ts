import { Option, type Command } from 'commander';
import type { Inspection } from '../../firmware/index.ts';
import { diagnosticsJson, renderDiagnostics } from '../../report/index.ts';
import {
  DEFAULT_KERNEL,
  checkFacts,
  loadTopology,
  type Diagnostic,
  type Facts,
  type KernelVersion,
} from '../../topology/index.ts';
import { kernelVersion } from '../arguments.ts';
import { EXIT, InputError } from '../exit.ts';
import { readFirmware } from '../firmware-file.ts';
import type { CommandContext } from '../context.ts';

interface CheckOptions {
  readonly format: 'text' | 'json';
  readonly kernelVersion?: KernelVersion;
  readonly pageSize: string;
  readonly dtb?: string;
  readonly strict?: boolean;
}

/** `viommu-topo check`: every rule on topologies, trees and tables. */
export function registerCheck(program: Command, { io, exit }: CommandContext): void {
  program
    .command('check')
    .description('find mistakes in topologies, device trees and ACPI tables')
    .argument('<file...>', 'topologies (.yaml), device trees (.dtb), ACPI tables (.aml)')
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .option(
      '--kernel-version <version>',
      'the Linux whose behaviour decides between error and warning (default: the topology’s own, or 6.12)',
      kernelVersion,
    )
    .addOption(
      new Option('--page-size <size>', 'page size of the guest, for firmware files')
        .choices(['4K', '16K', '64K'])
        .default('4K'),
    )
    .option('--dtb <file>', 'the device tree that goes with the ACPI tables, or the reverse')
    .option('--strict', 'warnings count as errors')
    .addHelpText(
      'after',
      `
Firmware files that are named together are one machine's, and are held against each other:
  viommu-topo check my.yaml
  viommu-topo check some.dtb --kernel-version 7.0
  viommu-topo check viot.aml mcfg.aml --dtb some.dtb

Exit codes: 0 clean (warnings allowed), 2 errors.`,
    )
    .action((files: string[], options: CheckOptions) => {
      const result = checkFiles(files, options);
      if (options.format === 'json') io.out(diagnosticsJson(result.diagnostics));
      else io.out(renderDiagnostics(result.diagnostics, result.sources, { color: io.colorOut }));
      const bad = result.diagnostics.some(
        ({ severity }) => severity === 'error' || options.strict === true,
      );
      if (!bad && options.format === 'text') {
        const count = files.length + (options.dtb === undefined ? 0 : 1);
        io.err(`${count} file${count === 1 ? '' : 's'} checked: no errors\n`);
      }
      exit(bad ? EXIT.INPUT : EXIT.OK);
    });
}

interface CheckResult {
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: ReadonlyMap<string, string>;
}

function checkFiles(files: readonly string[], options: CheckOptions): CheckResult {
  const diagnostics: Diagnostic[] = [];
  const sources = new Map<string, string>();
  const firmware: Inspection[] = [];
  for (const file of files) {
    const read = /\.ya?ml$/i.test(file) ? { text: true } : readFirmware(file);
    if ('inspection' in read) firmware.push(read.inspection);
    else if ('problem' in read) diagnostics.push(read.problem);
    else {
      const kernel = options.kernelVersion;
      const loaded = loadTopology(file, kernel ? { kernel } : {});
      diagnostics.push(...loaded.diagnostics);
      for (const [name, text] of loaded.sources) sources.set(name, text);
    }
  }
  if (options.dtb !== undefined) {
    const read = readFirmware(options.dtb);
    if ('problem' in read) diagnostics.push(read.problem);
    else if ('inspection' in read && read.inspection.format === 'dtb') {
      firmware.push(read.inspection);
    } else throw new InputError(`${options.dtb} is not a device tree`, 'name a .dtb file');
  }
  if (firmware.length > 0) diagnostics.push(...checkFacts(firmwareFacts(firmware, options)));
  return { diagnostics, sources };
}

const PAGE_SIZES: Record<string, bigint> = { '4K': 4096n, '16K': 16384n, '64K': 65536n };

/** One machine's firmware as facts; two files of a kind are refused, since one would be ignored. */
function firmwareFacts(firmware: readonly Inspection[], options: CheckOptions): Facts {
  const one = <F extends Inspection['format']>(
    format: F,
  ): Extract<Inspection, { format: F }> | undefined => {
    const all = firmware.filter((item) => item.format === format);
    if (all.length > 1) {
      throw new InputError(
        `${all.map(({ file }) => file).join(' and ')} are of one kind, and a machine has only one`,
        'check the machines one by one',
      );
    }
    return all[0] as Extract<Inspection, { format: F }> | undefined;
  };
  const unknown = one('acpi');
  if (unknown !== undefined && firmware.length === 1) {
    throw new InputError(
      `${unknown.file}: table ${unknown.header.signature} says nothing of IOMMUs`,
      'name a device tree, or a VIOT, IORT or MCFG table',
    );
  }
  const tree = one('dtb')?.tree;
  const viot = one('viot')?.viot;
  const iort = one('iort')?.iort;
  const mcfg = one('mcfg')?.mcfg;
  return {
    kernel: options.kernelVersion ?? DEFAULT_KERNEL,
    guestPage: PAGE_SIZES[options.pageSize] ?? 4096n,
    ...(tree ? { tree } : {}),
    ...(viot ? { viot } : {}),
    ...(iort ? { iort } : {}),
    ...(mcfg ? { mcfg } : {}),
  };
}
