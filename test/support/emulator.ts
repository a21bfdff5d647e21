import { fileURLToPath } from 'node:url';

import {
  cells,
  concat,
  empty,
  FdtNode,
  ref,
  str,
  strlist,
  u64cells,
  writeFdt,
} from '../../src/fdt/index.ts';
import { coreModule, rngSeed, type WasmModule } from '../../src/emulator/index.ts';

/** The core, built when its sources are newer; as the room itself loads it afterwards. */
export async function builtCore(): Promise<WasmModule> {
  const script = new URL('../../bin/build-core.js', import.meta.url);
  const { buildCore } = (await import(fileURLToPath(script))) as {
    buildCore: () => Promise<string>;
  };
  await buildCore();
  return coreModule();
}

export interface TreeOptions {
  readonly ramSize: number;
  readonly bootargs: string;
  readonly initrd?: readonly [start: bigint, limit: bigint];
}

/** A device tree with what the emulator has by itself, and nothing else. */
export function bareTree({ ramSize, bootargs, initrd }: TreeOptions): Uint8Array {
  const chosen = new FdtNode('chosen', {
    bootargs: str(bootargs),
    'stdout-path': str('/pl011@9000000'),
    'rng-seed': rngSeed(1),
  });
  if (initrd) {
    chosen.set('linux,initrd-start', u64cells(initrd[0]));
    chosen.set('linux,initrd-end', u64cells(initrd[1]));
  }
  const gic = new FdtNode('intc@8000000', {
    compatible: str('arm,cortex-a15-gic'),
    '#interrupt-cells': cells(3),
    'interrupt-controller': empty(),
    reg: u64cells(0x800_0000n, 0x1000n, 0x801_0000n, 0x2000n),
  });
  const clock = new FdtNode('apb-pclk', {
    compatible: str('fixed-clock'),
    '#clock-cells': cells(0),
    'clock-frequency': cells(24_000_000),
  });
  const uart = new FdtNode('pl011@9000000', {
    compatible: strlist('arm,pl011', 'arm,primecell'),
    reg: u64cells(0x900_0000n, 0x1000n),
    interrupts: cells(0, 1, 4),
    clocks: cells(ref(clock), ref(clock)),
    'clock-names': strlist('uartclk', 'apb_pclk'),
  });
  const root = new FdtNode(
    '',
    {
      compatible: str('linux,dummy-virt'),
      '#address-cells': cells(2),
      '#size-cells': cells(2),
      'interrupt-parent': cells(ref(gic)),
    },
    [
      chosen,
      new FdtNode('memory@40000000', {
        device_type: str('memory'),
        reg: u64cells(0x4000_0000n, BigInt(ramSize)),
      }),
      new FdtNode('cpus', { '#address-cells': cells(1), '#size-cells': cells(0) }, [
        new FdtNode('cpu@0', {
          device_type: str('cpu'),
          compatible: str('arm,cortex-a53'),
          reg: cells(0),
          'enable-method': str('psci'),
        }),
      ]),
      new FdtNode('psci', {
        compatible: strlist('arm,psci-1.0', 'arm,psci-0.2'),
        method: str('hvc'),
      }),
      new FdtNode('timer', {
        compatible: str('arm,armv8-timer'),
        interrupts: concat(...[13, 14, 11, 10].map((ppi) => cells(1, ppi, 0x104))),
        'always-on': empty(),
      }),
      gic,
      clock,
      uart,
    ],
  );
  return writeFdt(root);
}
