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
});

export type EndpointInput = z.output<typeof endpoint>;
