import { struct } from '../bytes/index.ts';

// Virtual I/O Translation Table: ACPI 6.5, table 5.6 "VIOT", layout as in ACPICA's
// actbl3.h. Little-endian, packed.

export const VIOT_SIGNATURE = 'VIOT';

/** Revision of the table in every firmware that Linux was developed with. */
export const VIOT_REVISION = 0;

export const ACPI_VIOT_NODE_PCI_RANGE = 1;
export const ACPI_VIOT_NODE_MMIO = 2;
export const ACPI_VIOT_NODE_VIRTIO_IOMMU_PCI = 3;
export const ACPI_VIOT_NODE_VIRTIO_IOMMU_MMIO = 4;

/** What follows the 36 bytes of the table header. */
export const ACPI_VIOT_FIELDS = struct('viot', 12, {
  nodeCount: 'u16',
  nodeOffset: 'u16',
  reserved: ['bytes', 8],
});

/** Where the first node is when nothing lies between the header and it: 36 + 12. */
export const VIOT_NODE_OFFSET = 48;

export const ACPI_VIOT_HEADER = struct('viot node', 4, {
  type: 'u8',
  reserved: 'u8',
  length: 'u16',
});

/** Endpoint of (segment, bdf): ((segment - segmentStart) << 16) + bdf - bdfStart + endpointStart. */
export const ACPI_VIOT_PCI_RANGE = struct('viot PCI range', 24, {
  type: 'u8',
  reserved: 'u8',
  length: 'u16',
  endpointStart: 'u32',
  segmentStart: 'u16',
  segmentEnd: 'u16',
  bdfStart: 'u16',
  bdfEnd: 'u16',
  outputNode: 'u16',
  reserved2: ['bytes', 6],
});

export const ACPI_VIOT_MMIO = struct('viot MMIO endpoint', 24, {
  type: 'u8',
  reserved: 'u8',
  length: 'u16',
  endpoint: 'u32',
  base: 'u64',
  outputNode: 'u16',
  reserved2: ['bytes', 6],
});

export const ACPI_VIOT_VIRTIO_IOMMU_PCI = struct('viot virtio-iommu PCI', 16, {
  type: 'u8',
  reserved: 'u8',
  length: 'u16',
  segment: 'u16',
  bdf: 'u16',
  reserved2: ['bytes', 8],
});

export const ACPI_VIOT_VIRTIO_IOMMU_MMIO = struct('viot virtio-iommu MMIO', 16, {
  type: 'u8',
  reserved: 'u8',
  length: 'u16',
  reserved2: ['bytes', 4],
  base: 'u64',
});
