import { cells, empty, FdtNode, ref, str, strlist, u64cells } from '../../fdt/index.ts';
import { sizeOf } from '../../bytes/index.ts';
import {
  PPI_PMU,
  PPI_TIMER_HYPERVISOR,
  PPI_TIMER_PHYSICAL,
  PPI_TIMER_SECURE,
  PPI_TIMER_VIRTUAL,
} from '../../spec/gic.ts';
import {
  VIRT_APB_CLOCK,
  VIRT_FW_CFG_BASE,
  VIRT_FW_CFG_SIZE,
  VIRT_MMIO_BASE,
  VIRT_MMIO_COUNT,
  VIRT_MMIO_SIZE,
  VIRT_MMIO_SPI,
  VIRT_RTC_BASE,
  VIRT_RTC_SPI,
  VIRT_UART_BASE,
  VIRT_UART_SPI,
} from '../../spec/virt-board.ts';
import type { Gic, Model, TreeDescription } from '../../topology/index.ts';
import type { TreeBench } from './bench.ts';
import { addGic, ppi, spi, unitName } from './gic.ts';

const PAGE = 0x1000n;

/**
 * What an arm64 board has beside PCI and IOMMUs. `virt`: everything of QEMU's that a kernel
 * started with `-kernel` uses. `emulator`: what our own machine has, CPU, GIC, timer and UART.
 */
export function addArmBoard(bench: TreeBench, model: Model, gic: Gic, tree: TreeDescription): void {
  const { root } = bench;
  const name = model.board === 'virt' ? 'linux,dummy-virt' : 'viommu-topo,emulator';
  root.set('compatible', str(name)).set('model', str(name));
  root.set('#address-cells', cells(2)).set('#size-cells', cells(2));
  const uart = unitName('serial', VIRT_UART_BASE);
  root.add(new FdtNode('chosen', { 'stdout-path': str(`/${uart}`) }));
  addMemory(root, tree);
  root.add(cpusNode(model, gic));
  root.add(
    new FdtNode('psci', {
      compatible: strlist('arm,psci-1.0', 'arm,psci-0.2'),
      method: str('hvc'),
    }),
  );
  root.add(timerNode(model, gic));
  if (model.board === 'virt') root.add(pmuNode(model, gic));
  addGic(bench, gic, tree);
  addPeripherals(root, model, uart);
  if (model.board === 'virt') addTransports(root, tree);
}

/** One node for each range of RAM. */
export function addMemory(root: FdtNode, tree: TreeDescription): void {
  for (const range of tree.memory) {
    root.add(
      new FdtNode(unitName('memory', range.start), {
        device_type: str('memory'),
        reg: u64cells(range.start, sizeOf(range)),
      }),
    );
  }
}

/** MPIDR affinity as QEMU gives it: clusters of 8 CPUs with GICv2, of 16 with GICv3. */
function affinity(cpu: number, gic: Gic): number {
  const cluster = gic.version === 2 ? 8 : 16;
  return (Math.floor(cpu / cluster) << 8) | (cpu % cluster);
}

function cpusNode(model: Model, gic: Gic): FdtNode {
  const cpus = new FdtNode('cpus', { '#address-cells': cells(1), '#size-cells': cells(0) });
  const kind = model.board === 'virt' ? 'arm,cortex-a57' : 'arm,cortex-a53';
  for (let cpu = 0; cpu < model.cpus; cpu++) {
    const id = affinity(cpu, gic);
    cpus.add(
      new FdtNode(`cpu@${id.toString(16)}`, {
        device_type: str('cpu'),
        compatible: str(kind),
        reg: cells(id),
        'enable-method': str('psci'),
      }),
    );
  }
  return cpus;
}

function timerNode(model: Model, gic: Gic): FdtNode {
  const interrupts = [
    PPI_TIMER_SECURE,
    PPI_TIMER_PHYSICAL,
    PPI_TIMER_VIRTUAL,
    PPI_TIMER_HYPERVISOR,
  ];
  return new FdtNode('timer', {
    compatible: str('arm,armv8-timer'),
    interrupts: cells(interrupts.flatMap((number) => ppi(number, gic, model.cpus))),
    'always-on': empty(),
  });
}

function pmuNode(model: Model, gic: Gic): FdtNode {
  return new FdtNode('pmu', {
    compatible: str('arm,armv8-pmuv3'),
    interrupts: cells(ppi(PPI_PMU, gic, model.cpus)),
  });
}

function addPeripherals(root: FdtNode, model: Model, uart: string): void {
  const clock = root.add(
    new FdtNode('apb-pclk', {
      compatible: str('fixed-clock'),
      '#clock-cells': cells(0),
      'clock-frequency': cells(VIRT_APB_CLOCK),
      'clock-output-names': str('clk24mhz'),
    }),
  );
  const primecell = (name: string, kind: string, base: bigint, irq: number): FdtNode =>
    root.add(
      new FdtNode(name, {
        compatible: strlist(kind, 'arm,primecell'),
        reg: u64cells(base, PAGE),
        interrupts: cells(spi(irq, 'level')),
        clocks: cells(ref(clock)),
        'clock-names': str('apb_pclk'),
      }),
    );
  const serial = primecell(uart, 'arm,pl011', VIRT_UART_BASE, VIRT_UART_SPI);
  serial.set('clocks', cells(ref(clock), ref(clock)));
  serial.set('clock-names', strlist('uartclk', 'apb_pclk'));
  if (model.board !== 'virt') return;
  primecell(unitName('rtc', VIRT_RTC_BASE), 'arm,pl031', VIRT_RTC_BASE, VIRT_RTC_SPI);
  root.add(
    new FdtNode(unitName('fw-cfg', VIRT_FW_CFG_BASE), {
      compatible: str('qemu,fw-cfg-mmio'),
      reg: u64cells(VIRT_FW_CFG_BASE, VIRT_FW_CFG_SIZE),
      'dma-coherent': empty(),
    }),
  );
}

/**
 * The 32 virtio-mmio transports, which exist whether or not something is behind them. Those that
 * carry a vIOMMU or a described device are made at the path that the description gives them.
 */
function addTransports(root: FdtNode, tree: TreeDescription): void {
  const described = new Set<bigint>();
  for (const { base } of tree.devices) if (base !== undefined) described.add(base);
  for (const { location } of tree.iommus) {
    if (location.kind === 'mmio') described.add(location.base);
  }
  for (let slot = 0; slot < VIRT_MMIO_COUNT; slot++) {
    const base = VIRT_MMIO_BASE + BigInt(slot) * VIRT_MMIO_SIZE;
    if (described.has(base)) continue;
    root.add(transportNode(unitName('virtio', base), base, VIRT_MMIO_SIZE, VIRT_MMIO_SPI + slot));
  }
}

/** A virtio-mmio transport (virtio/mmio.yaml). */
export function transportNode(
  name: string,
  base: bigint,
  size: bigint,
  interrupt: number,
): FdtNode {
  return new FdtNode(name, {
    compatible: str('virtio,mmio'),
    reg: u64cells(base, size),
    interrupts: cells(spi(interrupt, 'edge')),
    'dma-coherent': empty(),
  });
}
