import { findPath, readFdt, str, u64cells, writeFdt } from '../../src/fdt/index.ts';
import {
  attach,
  Emulator,
  EMULATOR_RAM_BASE,
  rngSeed,
  type Outcome,
  type WasmModule,
} from '../../src/emulator/index.ts';
import { buildMachine, type Machine } from '../../src/machine/index.ts';
import type { Model } from '../../src/topology/index.ts';

export interface TopologyBoot {
  readonly module: WasmModule;
  readonly model: Model;
  /** The topology's tree; `/chosen` and the size of RAM are filled in. */
  readonly dtb: Uint8Array;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly cmdline: string;
  readonly ramSize: number;
  readonly budget: number;
  readonly onLine?: (line: string) => void;
  /** Before the first instruction: to subscribe to the machine's events. */
  readonly onMachine?: (machine: Machine) => void;
}

/** Boots a kernel on a topology's machine, with the topology's own device tree. */
export async function bootTopology(boot: TopologyBoot): Promise<{ outcome: Outcome }> {
  const { module, ramSize, initrd, kernel, onLine } = boot;
  const emulator = new Emulator({ module, ramSize, fp: true, ...(onLine ? { onLine } : {}) });
  const machine = buildMachine(boot.model, { memory: emulator.memory });
  attach(emulator, machine);
  boot.onMachine?.(machine);
  emulator.load({
    kernel,
    initrd,
    dtb: (start, limit) => bootTree(boot, start, limit),
  });
  return { outcome: await emulator.run({ budget: boot.budget }) };
}

function bootTree(
  { dtb, cmdline, ramSize }: TopologyBoot,
  start: bigint,
  limit: bigint,
): Uint8Array {
  const { tree } = readFdt(dtb);
  const chosen = findPath(tree, '/chosen');
  const memory = findPath(tree, '/memory');
  if (chosen === undefined || memory === undefined) throw new Error('no /chosen, no /memory');
  chosen
    .set('bootargs', str(cmdline))
    .set('rng-seed', rngSeed(1))
    .set('linux,initrd-start', u64cells(start))
    .set('linux,initrd-end', u64cells(limit));
  memory.set('reg', u64cells(EMULATOR_RAM_BASE, BigInt(ramSize)));
  return writeFdt(tree, { names: 'lax' });
}
