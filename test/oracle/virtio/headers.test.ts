import { describe, expect, it } from 'vitest';
import type { FieldKind, Struct } from '../../../src/bytes/index.ts';
import * as virtio from '../../../src/spec/virtio.ts';
import * as iommu from '../../../src/spec/virtio-iommu.ts';
import * as mmio from '../../../src/spec/virtio-mmio.ts';
import * as pci from '../../../src/spec/virtio-pci.ts';
import { askHeaders } from '../../support/linux-headers.ts';

const HEADERS = [
  'linux/virtio_ids.h',
  'linux/virtio_config.h',
  'linux/virtio_ring.h',
  'linux/virtio_mmio.h',
  'linux/virtio_pci.h',
  'linux/virtio_iommu.h',
  'linux/pci_regs.h',
];

/** What the specification calls otherwise than Linux. */
const LINUX_NAME: Record<string, string> = {
  VIRTQ_DESC_F_NEXT: 'VRING_DESC_F_NEXT',
  VIRTQ_DESC_F_WRITE: 'VRING_DESC_F_WRITE',
  VIRTQ_DESC_F_INDIRECT: 'VRING_DESC_F_INDIRECT',
  VIRTQ_DESC_F_AVAIL: 'VRING_PACKED_DESC_F_AVAIL',
  VIRTQ_DESC_F_USED: 'VRING_PACKED_DESC_F_USED',
  VIRTQ_USED_F_NO_NOTIFY: 'VRING_USED_F_NO_NOTIFY',
  VIRTQ_AVAIL_F_NO_INTERRUPT: 'VRING_AVAIL_F_NO_INTERRUPT',
  VIRTQ_DESC_ALIGN: 'VRING_DESC_ALIGN_SIZE',
  VIRTQ_AVAIL_ALIGN: 'VRING_AVAIL_ALIGN_SIZE',
  VIRTQ_USED_ALIGN: 'VRING_USED_ALIGN_SIZE',
  RING_EVENT_FLAGS_ENABLE: 'VRING_PACKED_EVENT_FLAG_ENABLE',
  RING_EVENT_FLAGS_DISABLE: 'VRING_PACKED_EVENT_FLAG_DISABLE',
  RING_EVENT_FLAGS_DESC: 'VRING_PACKED_EVENT_FLAG_DESC',
  RING_EVENT_F_WRAP: 'VRING_PACKED_EVENT_F_WRAP_CTR',
};

/**
 * What no header of Linux 6.1 defines, so that only the specification judges it. A newer header that
 * has the name judges it too.
 */
const UNJUDGED = new Set([
  'VIRTIO_F_NOTIFICATION_DATA',
  'VIRTIO_F_NOTIF_CONFIG_DATA',
  'VIRTIO_F_ADMIN_VQ',
  'VIRTIO_F_RING_RESET',
  'VIRTQUEUE_SIZE_MAX',
  'VIRTIO_MMIO_MAGIC',
  'VIRTIO_MMIO_QUEUE_RESET',
  'VIRTIO_MMIO_SIZE',
  'VIRTIO_PCI_VENDOR_ID',
  'VIRTIO_PCI_DEVICE_ID_BASE',
  'VIRTIO_PCI_ISR_QUEUE',
  'VIRTIO_IOMMU_REQUESTQ',
  'VIRTIO_IOMMU_EVENTQ',
]);

/** Where Linux means something else by the name: the range that its transports keep for themselves. */
const OTHER_MEANING = new Set(['VIRTIO_TRANSPORT_F_START', 'VIRTIO_TRANSPORT_F_END']);

const all = { ...virtio, ...iommu, ...mmio, ...pci };
const constants = Object.entries(all)
  .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  .filter(([name]) => !OTHER_MEANING.has(name));

describe('constants', () => {
  const names = constants.map(([name]) => LINUX_NAME[name] ?? name);
  const values = askHeaders(HEADERS, names, []);

  it.each(constants)('%s is what the kernel says', (name, value) => {
    const theirs = values.get(LINUX_NAME[name] ?? name);
    if (theirs === undefined) expect(UNJUDGED).toContain(name);
    else expect(value).toBe(Number(theirs));
  });

  it('judges nearly all of them', () => {
    const judged = [...values.values()].filter((value) => value !== undefined);
    expect(judged.length).toBeGreaterThanOrEqual(constants.length - UNJUDGED.size);
    expect(judged.length).toBeGreaterThan(100);
  });
});

/** A struct of ours, the C type, fields that Linux names otherwise; `null` is padding we name. */
type Layout = readonly [Struct<Record<string, FieldKind>>, string, Record<string, string | null>];

const head = { type: 'head.type', head_reserved: 'head.reserved' };
const cap = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `cap.${name}`]));
const CAP = [
  'cap_vndr',
  'cap_next',
  'cap_len',
  'cfg_type',
  'bar',
  'id',
  'padding',
  'offset',
  'length',
] as const;

const LAYOUTS: readonly Layout[] = [
  [virtio.VIRTQ_DESC, 'struct vring_desc', {}],
  [virtio.VIRTQ_AVAIL, 'struct vring_avail', {}],
  [virtio.VIRTQ_USED, 'struct vring_used', {}],
  [virtio.VIRTQ_USED_ELEM, 'struct vring_used_elem', {}],
  [virtio.PVIRTQ_DESC, 'struct vring_packed_desc', {}],
  [virtio.PVIRTQ_EVENT_SUPPRESS, 'struct vring_packed_desc_event', {}],
  [pci.VIRTIO_PCI_CAP, 'struct virtio_pci_cap', {}],
  [pci.VIRTIO_PCI_NOTIFY_CAP, 'struct virtio_pci_notify_cap', cap(CAP)],
  [pci.VIRTIO_PCI_CFG_CAP, 'struct virtio_pci_cfg_cap', cap(CAP)],
  [
    iommu.VIRTIO_IOMMU_CONFIG,
    'struct virtio_iommu_config',
    {
      input_range_start: 'input_range.start',
      input_range_end: 'input_range.end',
      domain_range_start: 'domain_range.start',
      domain_range_end: 'domain_range.end',
    },
  ],
  [iommu.VIRTIO_IOMMU_REQ_HEAD, 'struct virtio_iommu_req_head', {}],
  [iommu.VIRTIO_IOMMU_REQ_TAIL, 'struct virtio_iommu_req_tail', {}],
  [iommu.VIRTIO_IOMMU_PROBE_PROPERTY, 'struct virtio_iommu_probe_property', {}],
  [
    iommu.VIRTIO_IOMMU_PROBE_RESV_MEM,
    'struct virtio_iommu_probe_resv_mem',
    { type: 'head.type', length: 'head.length' },
  ],
  [iommu.VIRTIO_IOMMU_FAULT, 'struct virtio_iommu_fault', { reserved1: 'reserved2' }],
];

/** Requests, of which our tables hold the device-readable part: Linux appends the tail. */
const REQUESTS: readonly Layout[] = [
  [iommu.VIRTIO_IOMMU_REQ_ATTACH, 'struct virtio_iommu_req_attach', head],
  [iommu.VIRTIO_IOMMU_REQ_DETACH, 'struct virtio_iommu_req_detach', head],
  [iommu.VIRTIO_IOMMU_REQ_MAP, 'struct virtio_iommu_req_map', head],
  [iommu.VIRTIO_IOMMU_REQ_UNMAP, 'struct virtio_iommu_req_unmap', head],
  [iommu.VIRTIO_IOMMU_REQ_PROBE, 'struct virtio_iommu_req_probe', head],
];

describe('layouts', () => {
  const offset = (type: string, field: string): string => `offsetof(${type}, ${field})`;
  const fieldsOf = ([table, type, names]: Layout): [string, number, string][] =>
    Object.entries(table.offsets).map(([field, at]) => [
      field,
      at,
      offset(type, names[field] ?? field),
    ]);
  const sizes = (type: string): string => `sizeof(${type})`;
  const tails = REQUESTS.map(([, type]) =>
    type.endsWith('probe') ? offset(type, 'properties') : offset(type, 'tail'),
  );
  const values = askHeaders(
    HEADERS,
    [],
    [
      ...[...LAYOUTS, ...REQUESTS].flatMap((layout) => fieldsOf(layout).map(([, , ask]) => ask)),
      ...LAYOUTS.map(([, type]) => sizes(type)),
      ...tails,
    ],
  );

  it.each(LAYOUTS.map((layout) => [layout[1], layout] as const))('%s', (_, layout) => {
    for (const [field, at, ask] of fieldsOf(layout))
      expect(Number(values.get(ask)), field).toBe(at);
    expect(Number(values.get(sizes(layout[1])))).toBe(layout[0].size);
  });

  it.each(REQUESTS.map((layout, index) => [layout[1], layout, tails[index] ?? ''] as const))(
    '%s',
    (_, layout, tail) => {
      for (const [field, at, ask] of fieldsOf(layout)) {
        expect(Number(values.get(ask)), field).toBe(at);
      }
      expect(Number(values.get(tail))).toBe(layout[0].size);
    },
  );

  it('the common configuration structure has the offsets of the VIRTIO_PCI_COMMON_ macros', () => {
    const macros = {
      device_feature_select: 'DFSELECT',
      device_feature: 'DF',
      driver_feature_select: 'GFSELECT',
      driver_feature: 'GF',
      config_msix_vector: 'MSIX',
      num_queues: 'NUMQ',
      device_status: 'STATUS',
      config_generation: 'CFGGENERATION',
      queue_select: 'Q_SELECT',
      queue_size: 'Q_SIZE',
      queue_msix_vector: 'Q_MSIX',
      queue_enable: 'Q_ENABLE',
      queue_notify_off: 'Q_NOFF',
      queue_desc_lo: 'Q_DESCLO',
      queue_desc_hi: 'Q_DESCHI',
      queue_driver_lo: 'Q_AVAILLO',
      queue_driver_hi: 'Q_AVAILHI',
      queue_device_lo: 'Q_USEDLO',
      queue_device_hi: 'Q_USEDHI',
      queue_notif_config_data: 'Q_NDATA',
      queue_reset: 'Q_RESET',
    } satisfies Record<keyof typeof pci.VIRTIO_PCI_COMMON_CFG.offsets, string>;
    const names = Object.values(macros).map((name) => `VIRTIO_PCI_COMMON_${name}`);
    const theirs = askHeaders(HEADERS, names, []);
    for (const [field, at] of Object.entries(pci.VIRTIO_PCI_COMMON_CFG.offsets)) {
      const macro = Object.entries(macros).find(([ours]) => ours === field)?.[1] ?? '';
      expect(Number(theirs.get(`VIRTIO_PCI_COMMON_${macro}`)), field).toBe(at);
    }
  });
});
