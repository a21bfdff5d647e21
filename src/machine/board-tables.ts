import {
  amlScope,
  HID_PL011,
  HID_VIRTIO_MMIO,
  pciHostBridge,
  platformDevice,
  processorDevice,
  writeArmFadt,
  writeDsdt,
  writeFadt,
  writeGtdt,
  writeMadt,
  type Aml,
  type MadtEntry,
  type PciHostBridge,
} from '../acpi/index.ts';
import { sizeOf } from '../bytes/index.ts';
import {
  PPI_TIMER_HYPERVISOR,
  PPI_TIMER_PHYSICAL,
  PPI_TIMER_SECURE,
  PPI_TIMER_VIRTUAL,
} from '../spec/gic.ts';
import { VIRT_PCIE_SPI, VIRT_UART_BASE, VIRT_UART_SPI } from '../spec/virt-board.ts';
import type { Gic, Model, PciHost } from '../topology/index.ts';

/** Interrupt IDs of the first SPI and the first PPI (GIC architecture, "INTIDs"). */
const SPI = 32;
const PPI = 16;

/** GSI of INTA of q35's root complex, and the I/O APIC that has it. */
const Q35_PCIE_GSI = 16;
const Q35_IO_APIC = 0xfec0_0000;
const LOCAL_APIC = 0xfee0_0000;

/** MADT: the CPU can be used. */
const ENABLED = 1;
/** GICv2m: the counts of the entry are right, those of the frame need not be read. */
const SPI_OVERRIDE = 1;

/**
 * The ACPI tables of our machine beside VIOT, IORT and MCFG, which the topology describes: FADT,
 * DSDT (host bridges, platform devices), MADT, and on arm64 GTDT.
 */
export function boardTables(model: Model): Uint8Array[] {
  const { gic } = model;
  const dsdt = writeDsdt([amlScope('\\_SB', devices(model))]);
  if (gic === undefined) return [writeFadt({}), x86Madt(model), dsdt];
  return [writeArmFadt({ conduit: 'hvc' }), armMadt(model, gic), gtdt(), dsdt];
}

function x86Madt({ cpus }: Model): Uint8Array {
  const entries = Array.from({ length: cpus }, (_, cpu): MadtEntry => ({
    kind: 'local-apic',
    acpiProcessorUid: cpu,
    apicId: cpu,
    flags: ENABLED,
  }));
  const apic: MadtEntry = { kind: 'io-apic', ioApicId: 0, address: Q35_IO_APIC, gsiBase: 0 };
  return writeMadt({
    localInterruptControllerAddress: LOCAL_APIC,
    flags: 0,
    entries: [...entries, apic],
  });
}

function armMadt(model: Model, gic: Gic): Uint8Array {
  const cpus = Array.from({ length: model.cpus }, (_, cpu): MadtEntry => ({
    kind: 'gicc',
    cpuInterfaceNumber: cpu,
    acpiProcessorUid: cpu,
    flags: ENABLED,
    mpidr: BigInt(cpu),
    ...(gic.version === 2 ? { physicalBase: gic.cpuInterface.start } : {}),
  }));
  const redistributors: MadtEntry[] =
    gic.version === 3
      ? [
          {
            kind: 'gicr',
            base: gic.cpuInterface.start,
            length: Number(sizeOf(gic.cpuInterface)),
          },
        ]
      : [];
  const entries: MadtEntry[] = [
    ...cpus,
    {
      kind: 'gicd',
      gicId: 0,
      base: gic.distributor.start,
      vectorBase: 0,
      version: gic.version,
    },
    ...redistributors,
    ...messageControllers(model),
  ];
  return writeMadt({ localInterruptControllerAddress: 0, flags: 0, entries });
}

function messageControllers(model: Model): MadtEntry[] {
  // IORT counts the ITSs of the topology in this order too.
  let its = 0;
  return model.doorbells.flatMap(({ kind, frame, spis }, index): MadtEntry[] => {
    if (kind === 'its') {
      return [{ kind: 'gic-its', translationId: its++, base: frame.start }];
    }
    if (kind !== 'gicv2m') return [];
    return [
      {
        kind: 'gic-msi-frame',
        frameId: index,
        base: frame.start,
        flags: SPI_OVERRIDE,
        spiCount: spis?.count ?? 0,
        spiBase: SPI + (spis?.base ?? 0),
      },
    ];
  });
}

function gtdt(): Uint8Array {
  const timer = (ppi: number): { gsiv: number; alwaysOn: boolean } => ({
    gsiv: PPI + ppi,
    alwaysOn: true,
  });
  return writeGtdt({
    secureEl1: timer(PPI_TIMER_SECURE),
    nonSecureEl1: timer(PPI_TIMER_PHYSICAL),
    virtualEl1: timer(PPI_TIMER_VIRTUAL),
    el2: timer(PPI_TIMER_HYPERVISOR),
  });
}

function devices(model: Model): Aml[] {
  const arm = model.arch === 'arm64';
  const cpus = Array.from({ length: model.cpus }, (_, cpu) => processorDevice(cpu));
  const uart = {
    name: 'COM0',
    hid: HID_PL011,
    uid: 0,
    base: Number(VIRT_UART_BASE),
    size: 0x1000,
    gsiv: SPI + VIRT_UART_SPI,
  };
  return [
    ...(arm ? [...cpus, platformDevice(uart)] : []),
    ...transports(model),
    ...model.hosts.map((host, uid) => pciHostBridge(bridge(model, host, uid))),
  ];
}

/** Devices behind virtio-mmio: vIOMMUs first, as their endpoints wait for them. */
function transports(model: Model): Aml[] {
  const places = [
    ...model.viommus.flatMap(({ transport }) => (transport.kind === 'mmio' ? [transport] : [])),
    ...model.endpoints.flatMap(({ location }) =>
      location.kind === 'platform' ? [{ interrupt: 0, ...location }] : [],
    ),
  ];
  const first = model.arch === 'arm64' ? SPI : 0;
  return places.map(({ base, size, interrupt }, uid) =>
    platformDevice({
      name: `VR${uid.toString(16).toUpperCase().padStart(2, '0')}`,
      hid: HID_VIRTIO_MMIO,
      uid,
      base: Number(base),
      size: Number(size),
      gsiv: first + interrupt,
      edge: true,
    }),
  );
}

function bridge(model: Model, host: PciHost, uid: number): PciHostBridge {
  const first = model.arch === 'arm64' ? SPI + VIRT_PCIE_SPI : Q35_PCIE_GSI;
  const windows: PciHostBridge['windows'] = [
    { kind: 'memory-window', base: host.mem32.start, size: sizeOf(host.mem32) },
    ...(host.mem64 === undefined
      ? []
      : [
          {
            kind: 'memory-window' as const,
            base: host.mem64.start,
            size: sizeOf(host.mem64),
            prefetchable: true,
          },
        ]),
  ];
  return {
    name: `PC${uid.toString(16).toUpperCase().padStart(2, '0')}`,
    uid,
    segment: host.segment,
    startBus: host.buses.start,
    endBus: host.buses.end,
    windows,
    routes: Array.from({ length: 32 * 4 }, (_, index) => {
      const device = index >> 2;
      const pin = index & 3;
      return { device, pin, gsiv: first + ((device + pin) % 4) };
    }),
  };
}
