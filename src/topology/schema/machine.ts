import * as s from './scalars.ts';
import { list, named, section } from './shape.ts';
import { z } from 'zod';

/** One range, one size, or a list of ranges. */
const memory = z
  .unknown()
  .transform((value, context): { size: bigint } | { start: bigint; end: bigint }[] => {
    const one = s.u64('');
    const many = z.array(s.range64(''));
    const isRange = typeof value === 'string' && value.indexOf('-', 1) > 0;
    const result = Array.isArray(value)
      ? many.safeParse(value)
      : isRange
        ? many.safeParse([value])
        : one.safeParse(value);
    if (result.success) {
      return typeof result.data === 'bigint' ? { size: result.data } : result.data;
    }
    for (const issue of result.error.issues) {
      const path = Array.isArray(value) ? [...issue.path] : [];
      context.issues.push({ ...issue, path, input: value } as z.core.$ZodRawIssue);
    }
    return z.NEVER;
  })
  .meta({
    description:
      'RAM: its size in bytes (default 512M), placed as the board does, or a list of ranges of ' +
      'guest-physical addresses. Whole guest pages, 64M or more.',
    anyOf: [
      { type: 'integer', minimum: 1 },
      { type: 'string' },
      { type: 'array', items: { type: 'string' } },
    ],
  });

const gic = section('The interrupt controller (arm64); addresses default to those of QEMU virt.', {
  version: s.u32('Architecture version: 2 or 3.', 2, 3).optional(),
  distributor: s.range64('Registers of the distributor; default 0x8000000-0x800ffff.').optional(),
  'cpu-interface': s
    .range64(
      'GICv2: the CPU interface, default 0x8010000-0x801ffff. ' +
        'GICv3: the redistributors, default 0x80a0000-0x8ffffff.',
    )
    .optional(),
});

export const machine = section('CPUs, memory and the interrupt controller.', {
  cpus: s.u32('Number of CPUs, 1-512; default 1.', 1, 512).optional(),
  memory: memory.optional(),
  gic: gic.optional(),
});

const bridge = section('A bridge below a PCI host.', {
  id: s.name('Name of the bridge, unique in the file.'),
  kind: s
    .choice('What the bridge is; default root-port.', ['root-port', 'pcie-pci-bridge'])
    .optional(),
  at: s.bdf('PCI function that the bridge itself is.'),
  buses: s.range32('Secondary to subordinate bus, 0x01-0xff.', 0xff),
  hotplug: s.flag('Whether devices may be added at run time; default false.').optional(),
});

const host = section('A PCI root complex.', {
  id: s.name('Name of the host, unique in the file.'),
  kind: s
    .choice("`root`: the board's own. `pxb`: an extra host bridge beside it. Default root.", [
      'root',
      'pxb',
    ])
    .optional(),
  segment: s
    .u32(
      'PCI segment group, 0-0xffff. Default: 0 on q35; else the number of hosts before this one.',
      0,
      0xffff,
    )
    .optional(),
  buses: s.range32('Bus numbers, 0x00-0xff; default all.', 0xff).optional(),
  ecam: s
    .u64('Address of the configuration space of the first bus, 1 MiB for each bus.')
    .optional(),
  io: s.range64('Window of I/O ports as the CPU sees it.').optional(),
  mem32: s.range64('Window of 32-bit memory, same address on both sides.').optional(),
  mem64: s.range64('Window of 64-bit memory, same address on both sides.').optional(),
  viommu: s
    .name(
      'vIOMMU of each requester ID that nothing says otherwise, or `none`. ' +
        'Default: the only vIOMMU of the file.',
    )
    .optional(),
  'endpoint-id-base': s
    .u32('Added to a requester ID to make its endpoint ID, 32 bits; default segment << 16.')
    .optional(),
  doorbell: s
    .name('Where devices write MSIs, or `none`. Default: the only doorbell of the file.')
    .optional(),
  'dma-range': s.range64('Bus addresses devices may use (dma-ranges); default all.').optional(),
  bridges: list('Bridges below this host.', bridge).optional(),
});

export const pci = section('PCI.', { hosts: list('Root complexes.', host).optional() });

const ring = section('A virtqueue.', {
  size: s.u32('Descriptors: a power of two, 1-32768; default 256.', 0, 65536).optional(),
  ring: s.choice('Layout of the ring; default split.', ['split', 'packed']).optional(),
});

export const FEATURES = [
  'INPUT_RANGE',
  'DOMAIN_RANGE',
  'MAP_UNMAP',
  'BYPASS',
  'PROBE',
  'MMIO',
  'BYPASS_CONFIG',
] as const;

export const viommu = section('A virtio-iommu device.', {
  id: s.name('Name of the vIOMMU, unique in the file.'),
  at: s.bdf('PCI function that the vIOMMU is.').optional(),
  mmio: s.u64('Base address of its virtio-mmio registers, instead of `at`.').optional(),
  interrupt: s
    .u32(
      'SPI of a virtio-mmio vIOMMU, counted from 0, up to 987; default: that of the slot.',
      0,
      987,
    )
    .optional(),
  legacy: s.flag('virtio-mmio version 1, which Linux refuses; default false.').optional(),
  granule: s
    .u64(
      'Smallest mapping in bytes, a power of two; larger powers of two work too. Default 4K.',
      1n,
    )
    .optional(),
  'page-sizes': list(
    'Sizes of mappings in bytes, powers of two, instead of `granule`.',
    s.u64('A power of two, in bytes.', 1n),
  ).optional(),
  'page-size-mask': s
    .u64('Bit n: mappings of 2^n bytes can be made; 64 bits, instead of `granule`.')
    .optional(),
  'input-range': s.range64('IOVAs that can be mapped; default all 64 bits.').optional(),
  'domain-range': s.range32('Domain IDs; default 0x0-0xffffffff.').optional(),
  'probe-size': s.u32('Bytes of properties in a PROBE reply; default 512.', 0, 0x10000).optional(),
  'boot-bypass': s
    .flag('Whether DMA passes untranslated before a driver attaches; default true.')
    .optional(),
  features: list(
    'Feature bits offered; default all but BYPASS, which BYPASS_CONFIG replaces.',
    s.choice('A feature of VIRTIO 1.3 without the prefix VIRTIO_IOMMU_F_.', FEATURES),
  ).optional(),
  queues: section('The virtqueues.', {
    request: ring.optional(),
    event: ring.optional(),
  }).optional(),
});

export const doorbell = section('Where a device writes to raise an MSI.', {
  id: s.name('Name of the doorbell, unique in the file.'),
  kind: s.choice('GICv3 ITS, GICv2m frame, or the window of x86.', ['its', 'gicv2m', 'x86']),
  base: s
    .u64('Address of its registers; default its: 0x8080000, gicv2m: 0x8020000, x86: 0xfee00000.')
    .optional(),
  spis: s
    .range32(
      'GICv2m: interrupt IDs of the frame, as its MSI_TYPER and the MADT count them (first SPI ' +
        'is 32), 32-1019; default 80-143.',
      1019,
    )
    .optional(),
  delivery: s
    .choice(
      '`reserved` (default): PROBE reports the page as an MSI region. ' +
        '`mapped`: the guest maps the page itself.',
      ['reserved', 'mapped'],
    )
    .optional(),
});

export const region = section('A piece of IOVA space with a meaning of its own.', {
  id: s.name('Name of the region, unique in the file.'),
  range: s.range64('IOVAs, both ends included.'),
  type: s
    .choice(
      'reserved, msi: not to be mapped. direct: mapped to the same physical address. Default reserved.',
      ['reserved', 'msi', 'direct'],
    )
    .optional(),
  viommu: s.name('Holds for every endpoint of this vIOMMU.').optional(),
  endpoints: list('Holds for these endpoints.', s.name('Id of an endpoint.')).optional(),
  via: list(
    'Who tells the guest; default probe, for direct regions device-tree.',
    s.choice('PROBE, or reserved-memory of the device tree.', ['probe', 'device-tree']),
  ).optional(),
  physical: s.range64('`reg` of the device-tree node where it is not `range`.').optional(),
});

const endpointExpectation = section('What the guest shows of one endpoint.', {
  translated: s.flag('In an IOMMU group; default: whether it is behind a vIOMMU.').optional(),
  'group-type': s
    .choice('Type of its default domain; default DMA or DMA-FQ.', ['DMA', 'DMA-FQ', 'identity'])
    .optional(),
  works: s.flag('Whether data can be moved; default true.').optional(),
});

export const expect = section('Expectations that replace what the topology implies.', {
  endpoints: named('Endpoint id: what is expected of it.', endpointExpectation).optional(),
  log: section('Lines of the kernel log.', {
    present: list('Regular expressions that must match.', s.text('An expression.')).optional(),
    absent: list('Regular expressions that must not match.', s.text('An expression.')).optional(),
  }).optional(),
});

export type PciHostInput = z.output<typeof host>;
export type BridgeInput = z.output<typeof bridge>;
export type ViommuInput = z.output<typeof viommu>;
export type RingInput = z.output<typeof ring>;
export type DoorbellInput = z.output<typeof doorbell>;
export type RegionInput = z.output<typeof region>;
