import { z } from 'zod';
import * as s from './scalars.ts';
import { list, named, section } from './shape.ts';

// Deviations written on purpose: they replace parts of what firmware says, never of the machine.

const rows = list(
  'Rows of cells, in order; a name stands for the phandle of that node.',
  list('One row.', s.cell('A 32-bit number or a name.')),
);

/** Rows, or the word `none` for a property left out. */
const rowsOrNone = z
  .unknown()
  .transform((value, context): z.output<typeof rows> | 'none' => {
    if (value === 'none') return value;
    const result = rows.safeParse(value);
    if (result.success) return result.data;
    for (const issue of result.error.issues) {
      context.issues.push({ ...issue, path: [...issue.path], input: value } as z.core.$ZodRawIssue);
    }
    return z.NEVER;
  })
  .meta({
    description: 'Rows of cells, or `none` to leave the property out.',
    anyOf: [
      { const: 'none' },
      { type: 'array', items: { type: 'array', items: { type: ['integer', 'string'] } } },
    ],
  });

const hostOverrides = section('Properties of a host node.', {
  'iommu-map': rows.optional(),
  'iommu-map-mask': s.u32('32 bits.').optional(),
  'msi-map': rowsOrNone.optional(),
  'msi-parent': s.name('Id of a doorbell, or `none`.').optional(),
  'linux,pci-domain': s.u32OrNone('Another segment, or `none` to leave it out.').optional(),
});

const viommuOverrides = section('The node of a vIOMMU.', {
  described: s.flag('false: there is no node.').optional(),
  reg: s.u32('First cell of `reg` of a PCI vIOMMU: requester ID << 8.').optional(),
  'node-name': s.text('Name with unit address: iommu@1,0.').optional(),
  '#iommu-cells': s.u32OrNone('Another number, or `none` to leave it out.').optional(),
  status: s.choice('`status` of the node.', ['okay', 'disabled']).optional(),
});

const endpointOverrides = section('The node of a platform device.', {
  iommus: rows.optional(),
});

const regionOverrides = section('The node of a device-tree region.', {
  'iommu-addresses': list('Cells after the phandle.', s.u32('32 bits.')).optional(),
  'memory-region': s.flag('false: the device does not point back.').optional(),
});

const output = {
  output: s.u32('Number of the node it points to, counted from 0.').optional(),
  'output-offset': s.u32('Or a raw byte offset in the table.', 0, 0xffff).optional(),
  length: s.u32('Another length than the type has, bytes.', 0, 0xffff).optional(),
};

const viotNode = z
  .discriminatedUnion('type', [
    section('A range of PCI endpoints.', {
      type: z.literal('pci-range'),
      'endpoint-start': s.u32('Endpoint ID of the first requester, 32 bits.'),
      segments: s.range32('Segments, 0-0xffff; default 0.', 0xffff).optional(),
      rids: s.bdfRange('First to last function.'),
      ...output,
    }),
    section('A platform endpoint.', {
      type: z.literal('mmio-endpoint'),
      endpoint: s.u32('Endpoint ID, 32 bits.'),
      base: s.u64('Base address.'),
      ...output,
    }),
    section('A vIOMMU over PCI.', {
      type: z.literal('pci-iommu'),
      at: s.bdf('Its function.'),
      length: output.length,
    }),
    section('A vIOMMU over virtio-mmio.', {
      type: z.literal('mmio-iommu'),
      base: s.u64('Base address.'),
      length: output.length,
    }),
    section('A node of another type.', {
      type: z.literal('unknown'),
      number: s.u32('Its type, 8 bits.', 0, 0xff),
      length: output.length,
    }),
  ])
  .describe('A node of the table.');

const overrides = section('Firmware that is wrong on purpose.', {
  hosts: named('Host id: its properties.', hostOverrides).optional(),
  viommus: named('vIOMMU id: its node.', viommuOverrides).optional(),
  endpoints: named('Platform endpoint id: its node.', endpointOverrides).optional(),
  regions: named('Region id: its node.', regionOverrides).optional(),
  viot: section('The VIOT.', {
    'node-count': s.u32('Another count, 16 bits.', 0, 0xffff).optional(),
    'node-offset': s.u32('Another offset of the first node, 16 bits.', 0, 0xffff).optional(),
    nodes: list('All nodes, instead of those derived.', viotNode).optional(),
  }).optional(),
  iort: section('The IORT.', {
    'id-count-delta': s.i32('Added to `id_count` of each mapping.').optional(),
  }).optional(),
  padding: s
    .u64('Bytes of an unused property added to the tree, up to 4M.', 0n, 4n << 20n)
    .optional(),
});

export const firmware = section('Which descriptions the guest is given.', {
  'device-tree': s.flag('A device tree; default true on arm64.').optional(),
  acpi: s.flag('ACPI tables; default true.').optional(),
  overrides: overrides.optional(),
});

export type OverridesInput = z.output<typeof overrides>;
export type ViotNodeInput = z.output<typeof viotNode>;
