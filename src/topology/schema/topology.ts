import { z } from 'zod';
import { DEFAULT_DOMAINS, GUEST_CHECKS } from '../model/board.ts';
import { endpoint } from './endpoint.ts';
import { firmware } from './firmware.ts';
import { doorbell, expect, machine, pci, region, viommu } from './machine.ts';
import * as s from './scalars.ts';
import { list, section } from './shape.ts';

/** The whole language: validation, types and JSON Schema all come from here. */
export const topology = section('A topology of virtio-iommu devices for viommu-topo.', {
  name: s.text('Name of the topology; default: the name of the file.').optional(),
  description: s.text('What it is for.').optional(),
  extends: s
    .text(
      'Template (virt-arm64, virt-arm64-gicv2, q35, emulator) or file (./other.yaml) that this ' +
        'topology is laid over: maps merge, lists whose items have an id merge by id, everything ' +
        'else is replaced.',
    )
    .optional(),
  board: s.choice('The machine: virt and emulator are arm64, q35 is x86-64.', [
    'virt',
    'q35',
    'emulator',
  ]),
  guest: section('The guest that the topology is made for.', {
    kernel: s.version('The Linux version it is meant for: 6.12.').optional(),
    'page-size': s.u64('Bytes of a page: 4K (default), 16K or 64K.').optional(),
    'default-domain': s
      .choice(
        'What the default domains are to be: `identity` (`iommu.passthrough=1`: endpoints pass), ' +
          '`strict` (`iommu.strict=1`: each UNMAP at once), `lazy` (`iommu.strict=0`: UNMAPs in ' +
          "batches). Default: the kernel's own.",
        DEFAULT_DOMAINS,
      )
      .optional(),
    checks: list(
      'What is tried beyond a boot. `rebind`: each driver is unbound, must leave no mapping, and ' +
        'is bound again. `hotplug`: endpoints below ports with `hotplug` are plugged in while the ' +
        'guest runs. `reboot`: the guest reboots, and everything is checked in both boots. `transfer`: DHCP, ping and ' +
        'TCP each way through each virtio-net.',
      s.choice('What is tried.', GUEST_CHECKS),
    ).optional(),
    'transfer-size': s
      .u64('Bytes of `transfer`, each way: at most 64G; default 1M.', 1n, 1n << 36n)
      .optional(),
  }).optional(),
  machine: machine.optional(),
  pci: pci.optional(),
  viommus: list('virtio-iommu devices.', viommu).optional(),
  endpoints: list('Who issues DMA, and which vIOMMU it is behind.', endpoint).optional(),
  doorbells: list('MSI doorbells.', doorbell).optional(),
  'reserved-regions': list('Reserved and directly mapped IOVA ranges.', region).optional(),
  expect: expect.optional(),
  firmware: firmware.optional(),
});

export type TopologyInput = z.output<typeof topology>;

/** JSON Schema (draft 2020-12) of what a topology file may contain, for editors. */
export function jsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(topology, { io: 'input', unrepresentable: 'any' });
  return { $schema, title: 'viommu-topo topology', ...rest };
}
