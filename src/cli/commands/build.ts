import { readFdt, printDts, writeFdt } from '../../fdt/index.ts';
import { buildFirmware, mergeDeviceTree, writeOutputs } from '../../firmware/index.ts';
import { InvalidArgumentError, type Command } from 'commander';
import { bootScript, preflight, scriptProducts } from '../../qemu/index.ts';
import { renderDiagnostics, topologySvg } from '../../report/index.ts';
import type { KernelVersion, Model } from '../../topology/index.ts';
import { exportFor, showLoss, VMMS, type Vmm } from '../../vmm/index.ts';
import { kernelVersion } from '../arguments.ts';
import { InputError } from '../exit.ts';
import { readFirmwareFile } from '../files.ts';
import type { Io } from '../io.ts';
import type { CommandContext } from '../context.ts';
import { requireTopology } from '../topology.ts';

interface BuildOptions {
  readonly output: string;
  readonly kernelVersion?: KernelVersion;
  readonly force?: boolean;
  readonly baseDtb?: string;
  readonly for: readonly Vmm[];
}

/** `viommu-topo build`: the firmware of a topology, on disk. */
export function registerBuild(program: Command, { io }: CommandContext): void {
  program
    .command('build')
    .description('write the firmware of a topology, and a QEMU script that boots it')
    .argument('<file>', 'topology')
    .requiredOption('-o, --output <dir>', 'directory to write; replaced as a whole')
    .option('--kernel-version <version>', 'as for check', kernelVersion)
    .option('--base-dtb <file>', 'also merge into this tree (merged.dtb, merged.dts)')
    .option('--for <vmm>', `also for another VMM: ${VMMS.join(', ')}; may be repeated`, vmm, [])
    .option('--force', 'build although there are errors, to have firmware that is wrong')
    .addHelpText(
      'after',
      `
Writes topology.dtb, topology.dts, viot.aml and the tables that go with it, topology.json (everything
resolved), topology.svg (a picture) and boot.sh, as far as the board has them. All files appear, or none. The same topology
gives the same bytes.

Examples:
  viommu-topo build topologies/one-endpoint.yaml -o out && out/boot.sh
  qemu-system-aarch64 -M virt,gic-version=3,dumpdtb=base.dtb -cpu cortex-a57
  viommu-topo build topologies/its.yaml -o out --base-dtb base.dtb
  viommu-topo build topologies/q35-root-ports.yaml -o out --for libvirt --for cloud-hypervisor`,
    )
    .action(async (file: string, options: BuildOptions) => {
      const model = requireTopology(file, io, {
        ...(options.kernelVersion ? { kernel: options.kernelVersion } : {}),
        force: options.force === true,
      });
      const files = await outputs(model, options.baseDtb, io);
      for (const name of options.for) addExport(files, model, name, io);
      await writeOutputs(options.output, files, {
        products: files.has('boot.sh') ? scriptProducts(model) : [],
      });
      for (const [name, content] of [...files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
        io.out(
          `${options.output.replace(/\/+$/, '')}/${name}  ${Buffer.byteLength(content)} bytes\n`,
        );
      }
    });
}

function vmm(text: string, before: readonly Vmm[]): Vmm[] {
  const found = VMMS.find((one) => one === text);
  if (found !== undefined) return [...before, found];
  throw new InvalidArgumentError(`one of ${VMMS.join(', ')}.`);
}

/** The machine for another VMM, and what is lost on the way: said, and written into the file. */
function addExport(files: Map<string, Uint8Array | string>, model: Model, name: Vmm, io: Io): void {
  const { file, text, losses } = exportFor(model, name);
  if (text !== '') files.set(file, text);
  if (losses.length === 0) return;
  io.err(`${file}: ${name} cannot express all of this topology:\n`);
  for (const loss of losses) io.err(`  ${showLoss(loss)}\n`);
}

async function outputs(
  model: Model,
  baseDtb: string | undefined,
  io: Io,
): Promise<Map<string, Uint8Array | string>> {
  const firmware = buildFirmware(model);
  const files = new Map<string, Uint8Array | string>(firmware.files);
  files.set('topology.svg', await topologySvg(model));
  if (baseDtb !== undefined) {
    const { tree } = firmware.description;
    if (tree === undefined) {
      throw new InputError('this topology has no device tree to merge (firmware.device-tree)');
    }
    const base = readFirmwareFile(baseDtb);
    const merged = mergeDeviceTree(base, model, tree);
    const { bootCpuid, memReserve } = readFdt(base);
    files.set('merged.dtb', writeFdt(merged, { names: 'lax', bootCpuid, memReserve }));
    files.set('merged.dts', printDts(merged, { bootCpuid, memReserve }));
  }
  const obstacles = preflight(model).filter(({ severity }) => severity === 'error');
  if (obstacles.length === 0) files.set('boot.sh', bootScript(model));
  else {
    io.err(renderDiagnostics(obstacles, new Map(), { color: io.colorErr }));
    io.err('boot.sh is not written: QEMU cannot hold this topology\n');
  }
  return files;
}
