/** Two disks on arm64, and what the tree says otherwise. */
const arm64 = (overrides: string): string => `
extends: virt-arm64
viommus:
  - { id: viommu0, at: 00:01.0 }
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }
  - { id: disk1, at: 00:03.0, device: { kind: virtio-blk, size: 4M } }
firmware:
  overrides: ${overrides}
`;

/** The same with a VIOT of ours. */
const viot = (board: string, nodes: string, disk1 = ''): string => `
extends: ${board}
viommus:
  - { id: viommu0, at: 00:01.0 }
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }
  - { id: disk1, at: 00:03.0, device: { kind: virtio-blk, size: 4M }${disk1} }
firmware:
  overrides: { viot: ${nodes} }
`;

const map = (rows: string): string => `{ hosts: { pcie0: { iommu-map: [${rows}] } } }`;
const range = (rids: string, start: string, output = 0): string =>
  `{ type: pci-range, endpoint-start: ${start}, segments: 0-0, rids: ${rids}, output: ${output} }`;
const IOMMU = '{ type: pci-iommu, at: 00:01.0 }';

/** Firmware that is wrong in one place, and what the verdict must make of it. */
export interface WrongFirmware {
  readonly what: string;
  readonly text: string;
  /** Id of the first cause. */
  readonly cause: string;
  /** What its message must say. */
  readonly says: readonly string[];
  /** A promise that must be among the broken ones. */
  readonly breaks: string;
  /** I/O never comes back: no need to wait for it long, and nothing is deferred. */
  readonly hangs?: boolean;
}

export const WRONG_TREES: readonly WrongFirmware[] = [
  {
    what: 'an endpoint left out of iommu-map',
    text: arm64(
      map('[0x0, viommu0, 0x0, 0x8], [0x9, viommu0, 0x9, 0x7], [0x18, viommu0, 0x18, 0xffe8]'),
    ),
    cause: 'iommu-map-gap',
    says: ['disk0 (00:02.0) is missing from iommu-map', '0x0-0x7, 0x9-0xf, 0x18-0xffff'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'a wrong endpoint ID',
    text: arm64(
      map('[0x0, viommu0, 0x0, 0x8], [0x9, viommu0, 0x109, 0x8], [0x18, viommu0, 0x18, 0xffe8]'),
    ),
    cause: 'iommu-map-wrong-id',
    says: ['disk0 (00:02.0) endpoint ID 0x110', 'knows it as 0x10'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'two requester IDs with one endpoint ID',
    hangs: true,
    text: arm64(
      map('[0x0, viommu0, 0x0, 0x8], [0x9, viommu0, 0x9, 0xf], [0x18, viommu0, 0x10, 0x1]'),
    ),
    cause: 'iommu-map-shared-id',
    says: ['disk0 (00:02.0) and disk1 (00:03.0)', 'same endpoint ID 0x10', 'ought to have 0x18'],
    breaks: 'disks-read',
  },
  {
    what: 'overlapping rows, of which the first wins',
    text: arm64(
      map('[0x10, viommu0, 0x110, 0x1], [0x0, viommu0, 0x0, 0x8], [0x9, viommu0, 0x9, 0xfff7]'),
    ),
    cause: 'iommu-map-overlap',
    says: ['<0x10 ', 'which wins over row <0x9 ', 'endpoint ID 0x110'],
    breaks: 'behind-is-grouped',
  },
  {
    what: "the IOMMU's missing hole",
    text: arm64(map('[0x0, viommu0, 0x0, 0x10000]')),
    cause: 'iommu-behind-itself',
    says: ['viommu0 (00:01.0) is inside its own iommu-map', '0x10000>'],
    breaks: 'no-kernel-trouble',
  },
  {
    what: 'a bad cell count',
    text: arm64(map('[0x0, viommu0, 0x0, 0x8], [0x9, viommu0, 0x9]')),
    cause: 'iommu-map-length',
    says: ['28 bytes long', '3 cell(s) more than whole rows'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'a phandle that names nothing',
    text: arm64(map('[0x0, 0x7777, 0x0, 0x8], [0x9, 0x7777, 0x9, 0xfff7]')),
    cause: 'iommu-map-phandle',
    says: ['phandle 0x7777', 'which no IOMMU node has'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'a mask that drops bits of the rows',
    text: arm64(
      '{ hosts: { pcie0: { iommu-map: [[0x9, viommu0, 0x9, 0xfff7], [0x0, viommu0, 0x0, 0x8]], iommu-map-mask: 0xff00 } } }',
    ),
    cause: 'iommu-map-mask',
    says: ['iommu-map-mask 0xff00 drops bits of row base 0x9'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'an IOMMU that is switched off',
    text: arm64('{ viommus: { viommu0: { status: disabled } } }'),
    cause: 'iommu-node-disabled',
    says: ['the node of viommu0, has status "disabled"'],
    breaks: 'viommus-present',
  },
  {
    what: 'an IOMMU that is missing from the tree',
    text: arm64(
      `{ viommus: { viommu0: { described: false } }, hosts: { pcie0: { iommu-map: [] } } }`,
    ),
    cause: 'iommu-node-missing',
    says: ['viommu0 is at 00:01.0, but the tree has no node for it'],
    breaks: 'no-kernel-trouble',
  },
  {
    what: 'an IOMMU node at the wrong slot',
    text: arm64('{ viommus: { viommu0: { reg: 0x2800 } } }'),
    cause: 'iommu-node-place',
    says: ['says a virtio-iommu is at 00:05.0; viommu0 is at 00:01.0'],
    breaks: 'no-kernel-trouble',
  },
  {
    what: 'a doorbell that the ITS does not know the devices by',
    hangs: true,
    text: arm64('{ hosts: { pcie0: { msi-map: [[0x0, its0, 0x100, 0x10000]] } } }').replace(
      /^.*disk1.*\n/mu,
      '',
    ),
    cause: 'msi-map-base',
    says: ['gives disk0 (00:02.0) DeviceID 0x110', 'its0 sees it as 0x10'],
    breaks: 'disks-read',
  },
  {
    what: 'a bypassing endpoint inside a row',
    text: `
extends: virt-arm64
viommus:
  - { id: viommu0, at: 00:01.0 }
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }
  - { id: disk1, at: 00:03.0, device: { kind: virtio-blk, size: 4M }, viommu: none }
firmware:
  overrides: ${map('[0x0, viommu0, 0x0, 0x8], [0x9, viommu0, 0x9, 0xfff7]')}
`,
    cause: 'iommu-map-covers-bypass',
    says: ['disk1 (00:03.0) bypasses, but row <0x9 ', 'as endpoint 0x18'],
    breaks: 'bypass-is-not-grouped',
  },
  {
    what: 'no doorbell at all',
    text: arm64('{ hosts: { pcie0: { msi-map: none } } }'),
    cause: 'msi-map-missing',
    says: ['neither msi-map nor msi-parent', 'its0'],
    breaks: 'msi-works',
  },
];

/** VIOTs, for the guest of a board; `lost`: what breaks where no range leads to the vIOMMU. */
const wrongViots = (board: string, lost: string): readonly WrongFirmware[] => [
  {
    what: 'whose vIOMMU is another device',
    text: viot(
      board,
      `{ nodes: [{ type: pci-iommu, at: 00:02.0 }, ${range('00:00.0-ff:1f.7', '0x0')}] }`,
    ),
    cause: 'viot-iommu-is-another-device',
    says: [
      'says that 00:02.0 is the virtio-iommu, but that is disk0, a virtio-blk',
      'viommu0 is at 00:01.0',
    ],
    breaks: 'drivers-bound',
  },
  {
    what: 'whose vIOMMU is nowhere',
    text: viot(
      board,
      `{ nodes: [{ type: pci-iommu, at: 00:0a.0 }, ${range('00:00.0-ff:1f.7', '0x0')}] }`,
    ),
    cause: 'viot-iommu-absent',
    says: ['says that 00:0a.0 is the virtio-iommu, but nothing is there'],
    breaks: lost,
  },
  {
    what: 'with overlapping ranges, of which the last wins',
    text: viot(
      board,
      `{ nodes: [${IOMMU}, ${range('00:00.0-ff:1f.7', '0x0')}, ${range('00:02.0-00:02.0', '0x4321')}] }`,
    ),
    cause: 'viot-overlap',
    says: ['disk0 (00:02.0)', 'endpoint ID 0x4321', 'which wins over'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'without one of the endpoints',
    text: viot(board, `{ nodes: [${IOMMU}, ${range('00:03.0-ff:1f.7', '0x18')}] }`),
    cause: 'viot-gap',
    says: ['disk0 (00:02.0) is missing from VIOT'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'whose range leads to no IOMMU',
    text: viot(board, `{ nodes: [${IOMMU}, ${range('00:00.0-ff:1f.7', '0x0', 1)}] }`),
    cause: 'viot-output',
    says: ['disk0 (00:02.0) and disk1 (00:03.0)', 'offset 0x40'],
    breaks: lost,
  },
];

export const WRONG_VIOTS: readonly WrongFirmware[] = wrongViots('q35', 'behind-is-grouped');

const whole = range('00:00.0-ff:1f.7', '0x0');

/** More of them than QEMU is booted with: our own machine is quicker. */
export const WRONG_ARM64_VIOTS: readonly WrongFirmware[] = [
  // A vIOMMU that no firmware names crashes the driver (viommu_probe_device).
  ...wrongViots('virt-arm64', 'no-kernel-trouble'),
  {
    what: 'whose range starts with a wrong endpoint ID',
    text: viot('virt-arm64', `{ nodes: [${IOMMU}, ${range('00:00.0-ff:1f.7', '0x100')}] }`),
    cause: 'viot-wrong-id',
    says: ['disk0 (00:02.0)', '0x110', '0x10'],
    breaks: 'behind-is-grouped',
  },
  {
    what: 'with two endpoints of one ID',
    text: viot(
      'virt-arm64',
      `{ nodes: [${IOMMU}, ${range('00:02.0-00:02.0', '0x10')}, ${range('00:03.0-00:03.0', '0x10')}] }`,
    ),
    cause: 'viot-shared-id',
    says: ['disk0 (00:02.0) and disk1 (00:03.0)', '0x10'],
    breaks: 'drivers-bound',
    hangs: true,
  },
  {
    what: 'with a bypassing endpoint inside a range',
    text: viot('virt-arm64', `{ nodes: [${IOMMU}, ${whole}] }`, ', viommu: none'),
    cause: 'viot-covers-bypass',
    says: ['disk1 (00:03.0)'],
    breaks: 'no-failed-request',
  },
  {
    what: 'that says it has fewer nodes than it has',
    text: viot('virt-arm64', `{ node-count: 1, nodes: [${IOMMU}, ${whole}] }`),
    cause: 'viot-gap',
    says: ['its nodes cover nothing'],
    breaks: 'no-kernel-trouble',
  },
];
