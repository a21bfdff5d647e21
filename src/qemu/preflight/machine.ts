import { hex, showRange, sizeOf } from '../../bytes/index.ts';
import type { Finding, Model } from '../../topology/index.ts';
import { VIRT } from '../virt-board.ts';
import { MODEL_BACKEND, type PreflightRule } from './rule.ts';

/** QEMU edits the tree it is given and doubles its buffer; above this nothing is ever printed. */
export const TREE_BYTES_MAX = 2 ** 20 - 10_000;

/** Q35 puts RAM above 4 GiB when there is more than this (hw/i386/pc_q35.c). */
const Q35_LOW_MAX = 0xb000_0000n;
/** Below this our tables at 128 MiB would meet the kernel or the initial RAM disk. */
const Q35_MEMORY_MIN = 0x1000_0000n;

function* board({ model }: { readonly model: Model }): Iterable<Finding> {
  if (model.board === 'emulator') {
    yield { place: model.place, message: 'the board is `emulator`, which QEMU does not have' };
  }
}

function* memory({ model }: { readonly model: Model }): Iterable<Finding> {
  const [first, ...more] = model.memory;
  if (model.board === 'emulator' || first === undefined) return;
  const start = model.board === 'virt' ? VIRT.ram : 0n;
  const total = model.memory.reduce((sum, range) => sum + sizeOf(range), 0n);
  if (first.start !== start || more.length > 0) {
    const ranges = model.memory.map(showRange).join(', ');
    yield {
      place: model.place,
      message: `memory is ${ranges}; QEMU's ${model.board} has one range from ${hex(start)}`,
    };
  } else if (model.board === 'q35' && total > Q35_LOW_MAX) {
    yield { place: model.place, message: `q35 splits ${hex(total)} bytes of memory around 4 GiB` };
  } else if (total % 0x10_0000n !== 0n) {
    yield {
      place: model.place,
      message: `memory of ${hex(total)} bytes is no whole number of MiB`,
    };
  } else if (model.board === 'q35' && total < Q35_MEMORY_MIN) {
    yield {
      place: model.place,
      message: `memory of ${total >> 20n} MiB leaves no room for ACPI tables at 128 MiB`,
      cure: 'Give the machine 256M or more.',
    };
  }
}

function* gic({ model }: { readonly model: Model }): Iterable<Finding> {
  const { gic: controller } = model;
  if (model.board !== 'virt' || controller === undefined) return;
  const { place } = controller;
  if (controller.version === 2 && model.cpus > VIRT.gicv2Cpus) {
    yield { place, message: `a GICv2 serves ${VIRT.gicv2Cpus} CPUs, not ${model.cpus}` };
  }
  const interfaceBase = controller.version === 2 ? VIRT.gicCpuInterface : VIRT.gicRedistributors;
  for (const [what, actual, wanted] of [
    ['distributor', controller.distributor.start, VIRT.gicDistributor],
    [
      controller.version === 2 ? 'CPU interface' : 'redistributors',
      controller.cpuInterface.start,
      interfaceBase,
    ],
  ] as const) {
    if (actual !== wanted) {
      yield {
        place,
        message: `the GIC's ${what} is at ${hex(actual)}; virt has it at ${hex(wanted)}`,
      };
    }
  }
}

function* tree({
  model,
  treeBytes,
}: {
  readonly model: Model;
  readonly treeBytes?: number;
}): Iterable<Finding> {
  if (model.board === 'virt' && treeBytes !== undefined && treeBytes > TREE_BYTES_MAX) {
    yield {
      place: model.place,
      message: `the device tree has ${treeBytes} bytes, QEMU can pass ${TREE_BYTES_MAX}`,
    };
  }
}

/** Rules on what the board is made of. */
export const machineRules: readonly PreflightRule[] = [
  {
    id: 'qemu-board',
    summary: 'The board is one that QEMU has.',
    severity: 'error',
    effect: 'There is no QEMU machine to start.',
    cure: 'Boot it with `--backend model`, or extend virt-arm64 or q35.',
    check: board,
  },
  {
    id: 'qemu-memory',
    summary: 'Memory lies where the board has it, in whole MiB.',
    severity: 'error',
    effect: 'The guest would have other memory than the description says.',
    cure: 'State memory as one size, as in `memory: 512M`.',
    check: memory,
  },
  {
    id: 'qemu-gic',
    summary: "The interrupt controller is virt's, and serves all CPUs.",
    severity: 'error',
    effect: 'QEMU refuses to start, or the guest finds no interrupt controller and stays silent.',
    cure: 'Leave its addresses to the template; use a GICv3 for more than 8 CPUs.',
    check: gic,
  },
  {
    id: 'qemu-tree-size',
    summary: 'The device tree is small enough for `-dtb`.',
    severity: 'error',
    effect:
      'The kernel never prints a line: it cannot map a tree above 2 MiB, and QEMU doubles it.',
    cure: `Use ranges instead of single endpoints, or remove padding. ${MODEL_BACKEND}`,
    check: tree,
  },
];
