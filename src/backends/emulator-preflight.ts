import { readTableHeader } from '../acpi/index.ts';
import { FormatError, hex, showRange, sizeOf } from '../bytes/index.ts';
import {
  EMULATOR_GICC_BASE,
  EMULATOR_GICD_BASE,
  EMULATOR_GICR_BASE,
  EMULATOR_RAM_BASE,
  RAM_SIZE_MAX,
} from '../emulator/index.ts';
import { readFdt } from '../fdt/index.ts';
import { unsupported } from '../machine/index.ts';
import type { BootInput, FirmwareImages } from '../scenario/index.ts';
import type { Diagnostic, Gic, Model } from '../topology/index.ts';

/**
 * Linux maps no tree of more than 2 MiB (Documentation/arch/arm64/booting.rst); /chosen needs some
 * of them.
 */
const TREE_MAX = 2 * 2 ** 20 - 0x4000;

/** WebAssembly's pages. */
const RAM_UNIT = 0x1_0000n;
/** Kernel, initramfs and tree of a stock guest leave nothing to run in below this. */
const RAM_MIN = 128n << 20n;

/** The page size of the kernels we boot, and the only one the CPU has. */
const PAGE_SIZE = 4096n;

/** What the emulator cannot do with a topology. */
export function emulatorPreflight(
  { model, firmware }: BootInput,
  kind: 'device-tree' | 'acpi' = 'device-tree',
): Diagnostic[] {
  if (model.arch !== 'arm64') {
    const message = `the board is ${model.board}: the emulator's CPU is an arm64 one`;
    const cure = 'boot it with `--backend qemu` or `--backend model`';
    return [obstacle('emulator-board', model.place, message, cure)];
  }
  return [
    ...machine(model),
    ...devices(model),
    ...(kind === 'acpi' ? tables(model, firmware) : tree(model, firmware)),
  ];
}

function machine(model: Model): Diagnostic[] {
  const found: Diagnostic[] = [];
  const { cpus, memory, guest, place } = model;
  const add = (rule: string, message: string, cure: string): void =>
    void found.push(obstacle(rule, place, message, cure));
  if (cpus !== 1) {
    add('emulator-cpus', `${cpus} CPUs; the emulator has one`, 'set `machine.cpus: 1`');
  }
  if (guest.pageSize !== PAGE_SIZE) {
    const what = `a guest with pages of ${guest.pageSize} bytes; the emulator's CPU has 4 KiB ones`;
    add('emulator-page-size', what, 'boot it with `--backend model`');
  }
  if (model.gic !== undefined) found.push(...gic(model.gic));
  const [ram, ...more] = memory;
  const size = ram === undefined ? 0n : sizeOf(ram);
  if (ram?.start !== EMULATOR_RAM_BASE || more.length > 0) {
    const ranges = memory.map(showRange).join(', ');
    const what = `memory is ${ranges}; the emulator has one range from ${hex(EMULATOR_RAM_BASE)}`;
    add('emulator-memory', what, 'leave `machine.memory` a plain size');
  } else if (size < RAM_MIN || size > BigInt(RAM_SIZE_MAX) || size % RAM_UNIT !== 0n) {
    const what = `memory of ${size} bytes; the emulator has 128 MiB to 3840 MiB, in steps of 64 KiB`;
    add('emulator-memory', what, 'set `machine.memory: 512M`');
  }
  return found;
}

function gic({ version, distributor, cpuInterface, place }: Gic): Diagnostic[] {
  const wanted = BigInt(version === 2 ? EMULATOR_GICC_BASE : EMULATOR_GICR_BASE);
  const registers = `${hex(distributor.start)} and ${hex(cpuInterface.start)}`;
  if (distributor.start === BigInt(EMULATOR_GICD_BASE) && cpuInterface.start === wanted) return [];
  const has = `${hex(EMULATOR_GICD_BASE)} and ${hex(wanted)}`;
  const message = `the GICv${version} is at ${registers}; the emulator's is at ${has}`;
  return [obstacle('emulator-gic', place, message, 'leave its addresses out')];
}

function devices(model: Model): Diagnostic[] {
  return model.endpoints.flatMap((endpoint): Diagnostic[] => {
    const problem = unsupported(endpoint);
    if (problem === undefined) return [];
    const place = endpoint.places['device'] ?? endpoint.place;
    return [obstacle('emulator-device', place, problem.what, problem.cure)];
  });
}

function tree({ place }: Model, { tree: blob }: FirmwareImages): Diagnostic[] {
  const rule = 'emulator-firmware';
  if (blob === undefined) {
    return [obstacle(rule, place, 'there is no device tree', 'set `firmware.device-tree: true`')];
  }
  if (blob.length > TREE_MAX) {
    const what = `the device tree has ${blob.length} bytes, Linux takes 2 MiB with the command line`;
    return [obstacle(rule, place, what, 'describe fewer devices, or boot with the tables')];
  }
  try {
    readFdt(blob);
    return [];
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const what = `nobody can put a command line into this device tree: ${error.message}`;
    return [obstacle(rule, place, what, 'build it with dtc or with `viommu-topo build`')];
  }
}

function tables(model: Model, { tables: blobs }: FirmwareImages): Diagnostic[] {
  const rule = 'emulator-firmware';
  const cure = 'build the firmware from the topology, or take the tree';
  if (!blobs.has('MCFG')) {
    const message = 'there is no MCFG, so that a guest finds no PCI host';
    return [obstacle(rule, model.place, message, cure)];
  }
  const found: Diagnostic[] = [];
  for (const [name, bytes] of blobs) {
    try {
      readTableHeader(bytes);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const message = `${name} cannot be put into a root table: ${error.message}`;
      found.push(obstacle(rule, model.place, message, cure));
    }
  }
  // ACPI has no word for such a region: VIOT has none, and RMR is IORT's.
  for (const { id, via, place } of model.reserved) {
    if (via.includes('probe')) continue;
    const message = `only a device tree can tell of region ${id}`;
    found.push(
      obstacle('emulator-region', place, message, 'let PROBE tell of it, or take the tree'),
    );
  }
  return found;
}

function obstacle(
  rule: string,
  place: Diagnostic['place'],
  message: string,
  cure: string,
): Diagnostic {
  return { rule, severity: 'error', place, message, cure, related: [] };
}
