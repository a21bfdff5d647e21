import { z } from 'zod';
import * as s from './scalars.ts';
import { abbreviated, list, section } from './shape.ts';

export const DEVICE_KINDS = [
  'virtio-blk',
  'virtio-net',
  'virtio-rng',
  'edu',
  'dma-engine',
  'e1000e',
  'nvme',
  'xhci',
  'generic',
] as const;

const KIND = s.choice('What the device is.', DEVICE_KINDS);

export const DEVICE_KEYS = ['kind', 'size', 'access-platform', 'bootable'] as const;

const deviceMap = z
  .object({
    kind: KIND,
    size: s
      .u64('Size of a disk in bytes: a multiple of 512, at most 64G; default 16M.', 1n)
      .optional(),
    'access-platform': s
      .flag('Whether VIRTIO_F_ACCESS_PLATFORM is offered; default: if behind a vIOMMU.')
      .optional(),
    bootable: s.flag('Whether firmware may boot from it; default false.').optional(),
  })
  .catchall(s.anyScalar('An option of the device itself, passed on as written.'))
  .describe('The device and its options.');

const device = abbreviated(
  'The device that is there: its kind, or a map of options.',
  'kind',
  deviceMap,
  {
    enum: DEVICE_KINDS,
  },
);

const hostMap = section('The host it is passed through from.', {
  enabled: s.flag('Whether it is passed through; default true.').optional(),
  'page-sizes': list(
    'Sizes of the pages that the host can map: [4K, 2M]; default 4K.',
    s.u64('A power of two.', 1n),
  ).optional(),
  aperture: s
    .range64('I/O virtual addresses that the host can map; default 0x0-0x7f_ffff_ffff, 39 bits.')
    .optional(),
  mappings: s
    .u32('Mappings that the host keeps at once; default 65535, as VFIO type 1.', 1)
    .optional(),
  reserved: list(
    'Ranges inside the aperture that the host keeps for itself, such as its MSI doorbell.',
    s.range64('Addresses, both ends included.'),
  ).optional(),
});

const passthrough = abbreviated(
  'Whether it is a device of the host, to whose IOMMU the mappings are relayed: true, or a map of ' +
    'what that can do.',
  'enabled',
  hostMap,
  { type: 'boolean' },
);

export const endpoint = section('Something that issues DMA.', {
  id: s.name('Name of the endpoint, unique in the file.'),
  at: s.bdfRange('PCI function (00:02.0), or functions from-to (00:08.0-00:0f.7).').optional(),
  buses: s.range32('Whole PCI buses, 0x00-0xff, instead of `at`.', 0xff).optional(),
  segment: s.u32('Segment of `buses`, 0-0xffff; default 0.', 0, 0xffff).optional(),
  mmio: s.u64('Base address of a platform device, instead of `at`.').optional(),
  size: s.u64('Bytes of registers of a platform device; default 0x200.', 1n).optional(),
  interrupt: s
    .u32('SPI of a platform device, counted from 0, up to 987; default: that of the slot.', 0, 987)
    .optional(),
  compatible: list(
    'Device-tree `compatible` of a platform device, most specific first.',
    s.text('One string.'),
  ).optional(),
  device: device.optional(),
  viommu: s
    .name(
      'The vIOMMU it is behind, or `none`; default: that of the PCI host, none for platform devices.',
    )
    .optional(),
  'endpoint-id': s
    .u32(
      'Endpoint ID, 32 bits, of the first requester; default: requester ID + endpoint-id-base of ' +
        'the host; platform devices: above all PCI segments.',
    )
    .optional(),
  passthrough: passthrough.optional(),
  'guest-driver': s
    .choice(
      'What drives it in the guest; default: the kernel. `vfio-pci` hands a dma-engine to a program of ' +
        "ours in the guest's user space.",
      ['vfio-pci'],
    )
    .optional(),
});

export type EndpointInput = z.output<typeof endpoint>;
