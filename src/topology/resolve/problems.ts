import type { InputRule } from '../input-rule.ts';

const NOT_BUILT = 'nothing is built: the file contradicts itself';

function rule(id: string, summary: string, effect: string, cure: string): InputRule {
  return { id, summary, severity: 'error', effect, cure };
}

export const DUPLICATE_ID: InputRule = rule(
  'duplicate-id',
  'every id is given once in a file',
  'nothing is built: a name would mean two things',
  'rename one of the two',
);

export const UNKNOWN_NAME: InputRule = rule(
  'unknown-name',
  'what is named exists: vIOMMUs, doorbells, endpoints, hosts',
  'nothing is built; in firmware, a reference to nothing makes Linux bypass in silence',
  'name one that the file defines, or `none`',
);

export const ONE_LOCATION: InputRule = rule(
  'one-location',
  'a vIOMMU is at a PCI function or an mmio address, an endpoint at functions, buses or mmio',
  'nothing is built: it is not known where the device is',
  'state exactly one of `at`, `buses` (endpoints only) and `mmio`',
);

export const SLOT_CONFLICT: InputRule = rule(
  'slot-conflict',
  'a PCI function holds one thing',
  'QEMU refuses to start: the slot is taken',
  'move one of the two to a free device or function',
);

export const CLAIM_CONFLICT: InputRule = rule(
  'claim-conflict',
  'two entries of the same kind do not claim one requester ID; a function may narrow a range',
  'one requester would be behind two vIOMMUs: in an iommu-map the first row wins, in VIOT the last',
  'shorten one of the ranges',
);

export const BUS_OUTSIDE_HOST: InputRule = rule(
  'bus-outside-host',
  'every bus belongs to a PCI host of its segment',
  'the guest never finds the device: no host bridge scans that bus',
  'use a bus of a host, or widen the `buses` of the host',
);

export const HOST_OVERLAP: InputRule = rule(
  'host-overlap',
  'two hosts of one segment share no bus',
  'one requester ID would name two devices, and both are sent to one endpoint',
  'give the hosts disjoint `buses`, or one of them another `segment`',
);

export const HOST_KIND: InputRule = rule(
  'host-kind',
  'a pxb stands beside a root host; virt and q35 have one root',
  'QEMU has no such machine',
  'make the first host `kind: root` and the others `kind: pxb`',
);

export const BRIDGE_BUSES: InputRule = rule(
  'bridge-buses',
  'the buses of a bridge lie in its host, behind its own bus, and beside those of other bridges',
  'the guest renumbers the buses: requester IDs are then others than the firmware says',
  'number the buses as the guest will: each bridge one run of its own, above its own bus',
);

export const BUS_WITHOUT_BRIDGE: InputRule = rule(
  'bus-without-bridge',
  "a device is on its host's first bus or behind a bridge that leads to its bus",
  'the guest never finds the device: nothing forwards to that bus',
  'add a root port whose `buses` hold that bus',
);

export const ADDRESS_OVERLAP: InputRule = rule(
  'address-overlap',
  'RAM, windows and registers share no address',
  'accesses reach one of the two, which one depends on the machine',
  'move one of the two',
);

export const INTERRUPT_CONFLICT: InputRule = rule(
  'interrupt-conflict',
  'every platform device has an interrupt of its own',
  'an interrupt of one device is taken for that of the other, or lost',
  'choose a free SPI; virtio-mmio slots of `virt` have 16 to 47',
);

export const INTERRUPT_UNSTATED: InputRule = rule(
  'interrupt-unstated',
  'a device outside the virtio-mmio slots of its board states its interrupt',
  'nothing is built: Linux does not bind a virtio-mmio device without interrupt',
  'state `interrupt`, or use a slot: 0xa000000 + n * 0x200',
);

export const QUEUE_SIZE: InputRule = rule(
  'queue-size',
  'the size of a split virtqueue is a power of two, 1-32768',
  'the driver cannot use the queue (VIRTIO 1.3, "Split Virtqueues")',
  'write a power of two, like 256',
);

export const PAGE_MASK: InputRule = rule(
  'page-mask',
  'a vIOMMU has page sizes, said one way, and all are powers of two',
  'Linux refuses the device: it cannot map anything',
  'state one of `granule: 4K`, `page-sizes: [4K, 2M]` and `page-size-mask: 0xffff_f000`',
);

export const GUEST_PAGE: InputRule = rule(
  'guest-page',
  'guest pages are 4K, 16K or 64K on arm64 and 4K on x86-64',
  'there is no such kernel',
  'write 4K, 16K or 64K',
);

export const CHECK_WITHOUT_DEVICE: InputRule = rule(
  'check-without-device',
  'what is tried beyond a boot has a device to be tried with',
  'nothing would be tried, and the verdict would look as if it had been',
  'add such a device, or leave the check out of `guest.checks`',
);

export const MEMORY_SIZE: InputRule = rule(
  'memory-size',
  'memory is whole guest pages, 64M or more, below 48 bits of address',
  'a stock kernel does not come up: it has no room, or cannot map what it is told of',
  'write a size like 512M, or ranges that begin and end at pages',
);

export const DISK_SIZE: InputRule = rule(
  'disk-size',
  'a disk has whole sectors of 512 bytes, and at most 64G',
  'no such disk can be attached; each sector of a larger one is written before the boot, for many minutes',
  'write a multiple of 512, like 16M',
);

export const ENDPOINT_ID_RANGE: InputRule = rule(
  'endpoint-id-range',
  'endpoint IDs fit 32 bits',
  'the ID cannot be written to a request, a table or a tree',
  'lower `endpoint-id` or `endpoint-id-base`',
);

export const NOT_TRANSLATED: InputRule = rule(
  'not-translated',
  'only what is behind a vIOMMU has an endpoint ID',
  'the ID would be written nowhere',
  'name a vIOMMU, or leave the ID out',
);

export const PASSTHROUGH: InputRule = rule(
  'passthrough',
  'what is passed through is one device behind a vIOMMU, and its host can map what the guest needs',
  'nothing is built: the mappings of the guest could not be relayed to the host',
  'put the device behind a vIOMMU, or widen what its host can map',
);

export const GUEST_DRIVER: InputRule = rule(
  'guest-driver',
  'only a dma-engine behind a vIOMMU, alone in its slot, is handed to a program in the guest',
  'the program knows no other device, VFIO no device without an IOMMU, and it takes groups as a whole',
  'make it a dma-engine in a slot of its own, or leave `guest-driver` out',
);

export const HOST_VIOMMU_UNSTATED: InputRule = rule(
  'host-viommu-unstated',
  'with several vIOMMUs (or doorbells) each host says which one is its own',
  'nothing is built: it is not known who translates, and what no one claims bypasses in silence',
  'state `viommu` (or `doorbell`) of the host: a name or `none`',
);

export const BOARD_LACKS: InputRule = rule(
  'board-lacks',
  'a topology uses what its board has',
  'no such machine can be started',
  'choose another board or another device',
);

export const REGION_SCOPE: InputRule = rule(
  'region-scope',
  'a reserved region names a vIOMMU or endpoints behind one, and a way that can carry it',
  'the guest is never told of the region',
  'state `viommu` or `endpoints`; `probe` carries reserved and msi, `device-tree` reserved and direct',
);

export const BAD_PATTERN: InputRule = rule(
  'bad-pattern',
  'expected log lines are regular expressions',
  'nothing could be compared with the log',
  'correct the expression; write a backslash before a literal ( ) [ ] . * + ?',
);

export const OVERRIDE_SCOPE: InputRule = rule(
  'override-scope',
  'an override changes something that firmware would say',
  NOT_BUILT,
  'override a thing that has the property, or remove the override',
);

export const RESOLVE_RULES: readonly InputRule[] = [
  DUPLICATE_ID,
  UNKNOWN_NAME,
  ONE_LOCATION,
  SLOT_CONFLICT,
  CLAIM_CONFLICT,
  BUS_OUTSIDE_HOST,
  HOST_OVERLAP,
  HOST_KIND,
  BRIDGE_BUSES,
  BUS_WITHOUT_BRIDGE,
  ADDRESS_OVERLAP,
  INTERRUPT_CONFLICT,
  INTERRUPT_UNSTATED,
  QUEUE_SIZE,
  PAGE_MASK,
  GUEST_PAGE,
  CHECK_WITHOUT_DEVICE,
  MEMORY_SIZE,
  DISK_SIZE,
  ENDPOINT_ID_RANGE,
  NOT_TRANSLATED,
  PASSTHROUGH,
  GUEST_DRIVER,
  HOST_VIOMMU_UNSTATED,
  BOARD_LACKS,
  REGION_SCOPE,
  BAD_PATTERN,
  OVERRIDE_SCOPE,
];
