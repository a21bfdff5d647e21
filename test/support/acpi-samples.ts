import * as acpi from '../../src/acpi/index.ts';

// One table of each kind, as an arm64 machine with two vIOMMUs would have them.

/** A VIOT with all four node types, written in the order opposite to the one it is stored in. */
export function sampleViot(): Uint8Array {
  const viot = new acpi.ViotBuilder();
  const pci = viot.addPciIommu({ segment: 0, bdf: 0x0008 });
  viot.addPciRange({
    endpointStart: 0,
    segmentStart: 0,
    segmentEnd: 1,
    bdfStart: 0,
    bdfEnd: 0xffff,
    output: pci,
  });
  const mmio = viot.addMmioIommu({ base: 0x0a00_0000n });
  viot.addMmioEndpoint({ endpoint: 0x20000, base: 0x0a00_0200n, output: mmio });
  return viot.build();
}

export function sampleIort(): Uint8Array {
  const iort = new acpi.IortBuilder();
  const its = iort.addItsGroup([0]);
  const smmu = iort.addSmmuV3({
    base: 0x0905_0000n,
    eventGsiv: 106,
    priGsiv: 107,
    gerrGsiv: 109,
    syncGsiv: 108,
    mappings: [{ inputBase: 0, count: 0x10000, outputBase: 0, output: its }],
  });
  iort.addRootComplex({
    segment: 0,
    mappings: [
      { inputBase: 0, count: 0x100, outputBase: 0, output: smmu },
      { inputBase: 0x100, count: 0xff00, outputBase: 0x100, output: its },
    ],
  });
  iort.addReservedMemory({
    ranges: [{ base: 0x8000_0000n, length: 0x10000n }],
    mappings: [{ inputBase: 0, count: 1, outputBase: 0x10, output: smmu }],
  });
  return iort.build();
}

/** A named component, which iasl 20250404 takes apart rightly and puts together wrongly. */
export function sampleNamedComponent(): Uint8Array {
  const iort = new acpi.IortBuilder();
  const its = iort.addItsGroup([7]);
  iort.addNamedComponent({
    path: '\\_SB_.VR00',
    mappings: [{ single: true, outputBase: 0x20000, output: its }],
  });
  return iort.build();
}

export function sampleMcfg(): Uint8Array {
  return acpi.writeMcfg([
    { base: 0x40_1000_0000n, segment: 0, startBus: 0, endBus: 0x7f },
    { base: 0x41_1000_0000n, segment: 1, startBus: 0, endBus: 0xff },
  ]);
}

export function sampleMadt(): Uint8Array {
  return acpi.writeMadt({
    localInterruptControllerAddress: 0,
    flags: 0,
    entries: [
      { kind: 'gicd', gicId: 0, base: 0x0800_0000n, vectorBase: 0, version: 3 },
      {
        kind: 'gicc',
        cpuInterfaceNumber: 0,
        acpiProcessorUid: 0,
        flags: 1,
        mpidr: 0n,
        performanceGsiv: 23,
        vgicMaintenanceGsiv: 25,
      },
      { kind: 'gicr', base: 0x080a_0000n, length: 0x00f6_0000 },
      { kind: 'gic-its', translationId: 0, base: 0x0808_0000n },
      {
        kind: 'gic-msi-frame',
        frameId: 0,
        base: 0x0802_0000n,
        flags: 1,
        spiCount: 64,
        spiBase: 80,
      },
    ],
  });
}

export function sampleX86Madt(): Uint8Array {
  return acpi.writeMadt({
    localInterruptControllerAddress: 0xfee0_0000,
    flags: 1,
    entries: [
      { kind: 'local-apic', acpiProcessorUid: 0, apicId: 0, flags: 1 },
      { kind: 'io-apic', ioApicId: 0, address: 0xfec0_0000, gsiBase: 0 },
      { kind: 'interrupt-override', bus: 0, source: 0, gsi: 2, flags: 0 },
    ],
  });
}

export function sampleGtdt(): Uint8Array {
  return acpi.writeGtdt({
    secureEl1: { gsiv: 29 },
    nonSecureEl1: { gsiv: 30, alwaysOn: true },
    virtualEl1: { gsiv: 27, edge: true },
    el2: { gsiv: 26, activeLow: true },
    virtualEl2: { gsiv: 28 },
  });
}

export function sampleDsdt(): Uint8Array {
  const gsivs = [0, 1, 2, 3].map((pin) => ({ device: 2, pin, gsiv: 35 + pin }));
  return acpi.writeDsdt([
    acpi.amlScope('\\_SB', [
      acpi.processorDevice(0),
      acpi.platformDevice({
        name: 'COM0',
        hid: acpi.HID_PL011,
        uid: 0,
        base: 0x0900_0000,
        size: 0x1000,
        gsiv: 33,
      }),
      acpi.platformDevice({
        name: 'VR00',
        hid: acpi.HID_VIRTIO_MMIO,
        uid: 0,
        base: 0x0a00_0000,
        size: 0x200,
        gsiv: 48,
        edge: true,
      }),
      acpi.pciHostBridge({
        name: 'PCI0',
        uid: 0,
        segment: 1,
        startBus: 0,
        endBus: 0x7f,
        windows: [
          { kind: 'memory-window', base: 0x1000_0000n, size: 0x2eff_0000n },
          { kind: 'io-window', base: 0, size: 0x10000, cpuBase: 0x3eff_0000n },
          {
            kind: 'memory-window',
            base: 0x80_0000_0000n,
            size: 0x80_0000_0000n,
            prefetchable: true,
          },
        ],
        routes: gsivs,
      }),
    ]),
  ]);
}

/** A FADT that points to a DSDT, as it stands in a blob. */
export function sampleFadt(): Uint8Array {
  const tables = [acpi.writeArmFadt({ conduit: 'hvc' }), sampleDsdt()];
  const blob = acpi.layOutTables(0x4000_0000n, tables);
  const [fadt] = acpi.findAcpiTables([blob]).tables;
  return fadt?.bytes.slice() ?? new Uint8Array();
}

/** By name, for `it.each`. */
export const SAMPLES: Readonly<Record<string, () => Uint8Array>> = {
  VIOT: sampleViot,
  IORT: sampleIort,
  MCFG: sampleMcfg,
  'MADT of an Arm machine': sampleMadt,
  'MADT of a PC': sampleX86Madt,
  FADT: sampleFadt,
  GTDT: sampleGtdt,
  'SPCR of a PL011': () => acpi.writeSpcr({ type: 'pl011', base: 0x0900_0000n, gsiv: 33 }),
  'SPCR of a 16550': () => acpi.writeSpcr({ type: '16550', base: 0xfe00_0000n, gsiv: 4 }),
  DSDT: sampleDsdt,
};
