import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { Inspection } from '../../firmware/index.ts';
import { renderDiagnostics } from '../../report/index.ts';
import { parseTopology } from '../../topology/index.ts';
import {
  importLibvirt,
  importQemu,
  importRunning,
  ImportError,
  machineYaml,
} from '../../vmm/index.ts';
import type { CommandContext } from '../context.ts';
import { EXIT, InputError } from '../exit.ts';
import { readFirmwareFile, writeNew } from '../files.ts';
import { readFirmware } from '../firmware-file.ts';
import { readRunning } from '../running.ts';

interface ImportOptions {
  readonly output?: string;
  readonly name?: string;
  readonly running?: boolean;
  readonly root: string;
  readonly force?: boolean;
}

/** `viommu-topo import`: a topology from what somebody has already. */
export function registerImport(program: Command, { io, exit }: CommandContext): void {
  program
    .command('import')
    .description(
      'make a topology from a QEMU command line, a libvirt domain, firmware, this machine',
    )
    .argument('[file...]', 'a command line, a domain’s XML, a .dtb, or ACPI tables')
    .option('--running', 'the machine that this runs on, from /sys')
    .option('--root <dir>', 'with --running: where its /sys is, of a copy', '/')
    .option('--name <name>', 'name of the topology (default: that of the file)')
    .option('-o, --output <file>', 'write there instead of to standard output')
    .option('--force', 'replace the file if it is there')
    .addHelpText(
      'after',
      `
What it is told by its content, not by its name. What cannot be taken over stands as comments at the
head of the topology, and check's findings on it are printed.

Examples:
  viommu-topo import start-vm.sh -o vm.yaml       a script with qemu-system-… in it
  ps -o args= -C qemu-system-x86_64 | viommu-topo import -
  virsh dumpxml guest > guest.xml && viommu-topo import guest.xml
  viommu-topo import --running                    ACPI tables and PCI functions of this machine`,
    )
    .action((files: string[], options: ImportOptions) => {
      if ((files.length === 0) === (options.running !== true)) {
        throw new InputError('import takes files, or --running, and not both', 'see --help');
      }
      const name = options.name ?? nameOf(files[0] ?? 'running');
      const text = convert(files, name, options);
      if (options.output === undefined) io.out(text);
      else writeNew(options.output, text, options.force === true);
      const { diagnostics, sources } = parseTopology(text, options.output ?? `${name}.yaml`);
      if (diagnostics.length === 0) return;
      io.err(renderDiagnostics(diagnostics, sources, { color: io.colorErr }));
      if (diagnostics.some(({ severity }) => severity === 'error')) exit(EXIT.INPUT);
    });
}

function nameOf(file: string): string {
  const name = basename(file)
    .replace(/\.[a-z]+$/iu, '')
    .replaceAll(/[^A-Za-z0-9_-]/gu, '-');
  return name === '' ? 'imported' : name;
}

function convert(files: readonly string[], name: string, options: ImportOptions): string {
  try {
    if (options.running === true) {
      const { inspections, functions } = readRunning(options.root);
      return importRunning(inspections, functions, name);
    }
    const [first = ''] = files;
    const text = textOf(first);
    if (text === undefined) return importRunning(files.map(inspectionOf), [], name);
    if (files.length > 1) throw new InputError('one command line or domain at a time');
    const machine = /^\s*</u.test(text) ? importLibvirt(text, name) : importQemu(text, name);
    return machineYaml(machine);
  } catch (error) {
    if (!(error instanceof ImportError)) throw error;
    throw new InputError(`${files[0] ?? ''}: ${error.message}`, error.cure, { cause: error });
  }
}

/** The file's text, or undefined when it is firmware. */
function textOf(file: string): string | undefined {
  // A pipe is no regular file, and only text comes that way.
  if (file === '-' || file === '/dev/stdin') return readFileSync(0, 'utf8');
  const bytes = readFirmwareFile(file);
  const text = new TextDecoder().decode(bytes);
  // Firmware has zeros in its first bytes; no text has, but for the words of /proc/PID/cmdline.
  const isFirmware = bytes.subarray(0, 64).includes(0) && !/^[\w./-]*(?:qemu-|kvm\0)/u.test(text);
  return isFirmware ? undefined : text;
}

function inspectionOf(file: string): Inspection {
  const read = readFirmware(file);
  if ('inspection' in read) return read.inspection;
  if ('problem' in read)
    throw new InputError(`${file}: ${read.problem.message}`, read.problem.cure);
  throw new InputError(`${file} is text`, 'give firmware files alone, or one text alone');
}
