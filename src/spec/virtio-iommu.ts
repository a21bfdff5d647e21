import { struct } from '../bytes/index.ts';

/**
 * VIRTIO 1.3, "IOMMU Device": numbers and layouts, verbatim names.
 * Everything is little-endian and packed; ranges include their end.
 */

/** Device ID; PCI device ID is 0x1040 + 23 ("PCI Device Discovery"). */
export const VIRTIO_ID_IOMMU = 23;

// Feature bits ("Feature bits").
export const VIRTIO_IOMMU_F_INPUT_RANGE = 0;
export const VIRTIO_IOMMU_F_DOMAIN_RANGE = 1;
export const VIRTIO_IOMMU_F_MAP_UNMAP = 2;
export const VIRTIO_IOMMU_F_BYPASS = 3;
export const VIRTIO_IOMMU_F_PROBE = 4;
export const VIRTIO_IOMMU_F_MMIO = 5;
export const VIRTIO_IOMMU_F_BYPASS_CONFIG = 6;

// Virtqueues ("Virtqueues").
export const VIRTIO_IOMMU_REQUESTQ = 0;
export const VIRTIO_IOMMU_EVENTQ = 1;

// Request types ("Device operations").
export const VIRTIO_IOMMU_T_ATTACH = 1;
export const VIRTIO_IOMMU_T_DETACH = 2;
export const VIRTIO_IOMMU_T_MAP = 3;
export const VIRTIO_IOMMU_T_UNMAP = 4;
export const VIRTIO_IOMMU_T_PROBE = 5;

// Status values ("Device operations").
export const VIRTIO_IOMMU_S_OK = 0;
export const VIRTIO_IOMMU_S_IOERR = 1;
export const VIRTIO_IOMMU_S_UNSUPP = 2;
export const VIRTIO_IOMMU_S_DEVERR = 3;
export const VIRTIO_IOMMU_S_INVAL = 4;
export const VIRTIO_IOMMU_S_RANGE = 5;
export const VIRTIO_IOMMU_S_NOENT = 6;
export const VIRTIO_IOMMU_S_FAULT = 7;
export const VIRTIO_IOMMU_S_NOMEM = 8;

export const VIRTIO_IOMMU_ATTACH_F_BYPASS = 1 << 0;

export const VIRTIO_IOMMU_MAP_F_READ = 1 << 0;
export const VIRTIO_IOMMU_MAP_F_WRITE = 1 << 1;
export const VIRTIO_IOMMU_MAP_F_MMIO = 1 << 2;

// Probe properties ("PROBE request"): the type is 12 bits, the upper four are reserved.
export const VIRTIO_IOMMU_PROBE_T_NONE = 0;
export const VIRTIO_IOMMU_PROBE_T_RESV_MEM = 1;
export const VIRTIO_IOMMU_PROBE_T_MASK = 0xfff;

export const VIRTIO_IOMMU_RESV_MEM_T_RESERVED = 0;
export const VIRTIO_IOMMU_RESV_MEM_T_MSI = 1;

// Fault reports ("Fault reporting").
export const VIRTIO_IOMMU_FAULT_R_UNKNOWN = 0;
export const VIRTIO_IOMMU_FAULT_R_DOMAIN = 1;
export const VIRTIO_IOMMU_FAULT_R_MAPPING = 2;

export const VIRTIO_IOMMU_FAULT_F_READ = 1 << 0;
export const VIRTIO_IOMMU_FAULT_F_WRITE = 1 << 1;
export const VIRTIO_IOMMU_FAULT_F_ADDRESS = 1 << 8;

/** "Device configuration layout". Only `bypass` may be written by the driver. */
export const VIRTIO_IOMMU_CONFIG = struct('struct virtio_iommu_config', 40, {
  page_size_mask: 'u64',
  input_range_start: 'u64',
  input_range_end: 'u64',
  domain_range_start: 'u32',
  domain_range_end: 'u32',
  probe_size: 'u32',
  bypass: 'u8',
  reserved: ['bytes', 3],
});

export const VIRTIO_IOMMU_REQ_HEAD = struct('struct virtio_iommu_req_head', 4, {
  type: 'u8',
  reserved: ['bytes', 3],
});

export const VIRTIO_IOMMU_REQ_TAIL = struct('struct virtio_iommu_req_tail', 4, {
  status: 'u8',
  reserved: ['bytes', 3],
});

/** Device-readable part of "ATTACH request", head included. */
export const VIRTIO_IOMMU_REQ_ATTACH = struct('struct virtio_iommu_req_attach', 20, {
  type: 'u8',
  head_reserved: ['bytes', 3],
  domain: 'u32',
  endpoint: 'u32',
  flags: 'u32',
  reserved: ['bytes', 4],
});

/** Device-readable part of "DETACH request", head included. */
export const VIRTIO_IOMMU_REQ_DETACH = struct('struct virtio_iommu_req_detach', 20, {
  type: 'u8',
  head_reserved: ['bytes', 3],
  domain: 'u32',
  endpoint: 'u32',
  reserved: ['bytes', 8],
});

/** Device-readable part of "MAP request", head included. */
export const VIRTIO_IOMMU_REQ_MAP = struct('struct virtio_iommu_req_map', 36, {
  type: 'u8',
  head_reserved: ['bytes', 3],
  domain: 'u32',
  virt_start: 'u64',
  virt_end: 'u64',
  phys_start: 'u64',
  flags: 'u32',
});

/** Device-readable part of "UNMAP request", head included. */
export const VIRTIO_IOMMU_REQ_UNMAP = struct('struct virtio_iommu_req_unmap', 28, {
  type: 'u8',
  head_reserved: ['bytes', 3],
  domain: 'u32',
  virt_start: 'u64',
  virt_end: 'u64',
  reserved: ['bytes', 4],
});

/** Device-readable part of "PROBE request", head included. */
export const VIRTIO_IOMMU_REQ_PROBE = struct('struct virtio_iommu_req_probe', 72, {
  type: 'u8',
  head_reserved: ['bytes', 3],
  endpoint: 'u32',
  reserved: ['bytes', 64],
});

/** `type` holds the 12-bit type; `length` excludes this header. */
export const VIRTIO_IOMMU_PROBE_PROPERTY = struct('struct virtio_iommu_probe_property', 4, {
  type: 'u16',
  length: 'u16',
});

/** Property RESV_MEM, header included; its `length` is 20. */
export const VIRTIO_IOMMU_PROBE_RESV_MEM = struct('struct virtio_iommu_probe_resv_mem', 24, {
  type: 'u16',
  length: 'u16',
  subtype: 'u8',
  reserved: ['bytes', 3],
  start: 'u64',
  end: 'u64',
});

export const VIRTIO_IOMMU_FAULT = struct('struct virtio_iommu_fault', 24, {
  reason: 'u8',
  reserved: ['bytes', 3],
  flags: 'u32',
  endpoint: 'u32',
  reserved1: 'u32',
  address: 'u64',
});
