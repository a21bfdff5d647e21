import { struct } from '../bytes/index.ts';

/**
 * The vfio-user protocol, version 0.0, as QEMU 10.1 and later speak it, and what it takes from
 * linux/vfio.h. Everything is little-endian here: fields are in the byte order of the host.
 */

export const VFIO_USER_MAJOR_VER = 0;
export const VFIO_USER_MINOR_VER = 0;

// Commands.
export const VFIO_USER_VERSION = 1;
export const VFIO_USER_DMA_MAP = 2;
export const VFIO_USER_DMA_UNMAP = 3;
export const VFIO_USER_DEVICE_GET_INFO = 4;
export const VFIO_USER_DEVICE_GET_REGION_INFO = 5;
export const VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6;
export const VFIO_USER_DEVICE_GET_IRQ_INFO = 7;
export const VFIO_USER_DEVICE_SET_IRQS = 8;
export const VFIO_USER_REGION_READ = 9;
export const VFIO_USER_REGION_WRITE = 10;
export const VFIO_USER_DMA_READ = 11;
export const VFIO_USER_DMA_WRITE = 12;
export const VFIO_USER_DEVICE_RESET = 13;
export const VFIO_USER_DIRTY_PAGES = 14;
export const VFIO_USER_REGION_WRITE_MULTI = 15;

/** In front of every message. `message_size` counts it too. */
export const VFIO_USER_HEADER = struct('vfio-user header', 16, {
  message_id: 'u16',
  command: 'u16',
  message_size: 'u32',
  flags: 'u32',
  error_no: 'u32',
});

// Flags of a message: the low four bits are its type.
export const VFIO_USER_F_TYPE = 0xf;
export const VFIO_USER_F_TYPE_COMMAND = 0;
export const VFIO_USER_F_TYPE_REPLY = 1;
export const VFIO_USER_F_NO_REPLY = 0x10;
export const VFIO_USER_F_ERROR = 0x20;

/** Followed by JSON text that ends in NUL, or by nothing. */
export const VFIO_USER_VERSION_BODY = struct('vfio-user version', 4, {
  major: 'u16',
  minor: 'u16',
});

export const VFIO_USER_DMA_MAP_BODY = struct('vfio-user DMA map', 32, {
  argsz: 'u32',
  flags: 'u32',
  offset: 'u64',
  address: 'u64',
  size: 'u64',
});

export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;

export const VFIO_USER_DMA_UNMAP_BODY = struct('vfio-user DMA unmap', 24, {
  argsz: 'u32',
  flags: 'u32',
  address: 'u64',
  size: 'u64',
});

export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;

export const VFIO_DEVICE_INFO = struct('struct vfio_device_info', 16, {
  argsz: 'u32',
  flags: 'u32',
  num_regions: 'u32',
  num_irqs: 'u32',
});

export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;

export const VFIO_REGION_INFO = struct('struct vfio_region_info', 32, {
  argsz: 'u32',
  flags: 'u32',
  index: 'u32',
  cap_offset: 'u32',
  size: 'u64',
  offset: 'u64',
});

export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;

export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;

export const VFIO_IRQ_INFO = struct('struct vfio_irq_info', 16, {
  argsz: 'u32',
  flags: 'u32',
  index: 'u32',
  count: 'u32',
});

export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;

export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;

/** Followed by one byte for each interrupt with DATA_BOOL; descriptors come beside the message. */
export const VFIO_IRQ_SET = struct('struct vfio_irq_set', 20, {
  argsz: 'u32',
  flags: 'u32',
  index: 'u32',
  start: 'u32',
  count: 'u32',
});

export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
export const VFIO_IRQ_SET_ACTION_MASK = 8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 0x38;

/** Followed by `count` bytes, in a write and in the reply of a read. */
export const VFIO_USER_REGION_RW_BODY = struct('vfio-user region access', 16, {
  offset: 'u64',
  region: 'u32',
  count: 'u32',
});

/** One write of REGION_WRITE_MULTI, whose body begins with a 64-bit count of these. */
export const VFIO_USER_WR_SINGLE = struct('vfio-user write of several', 24, {
  offset: 'u64',
  region: 'u32',
  count: 'u32',
  data: ['bytes', 8],
});

// errno values that replies carry; those of Linux on every architecture that we serve.
export const ENOENT = 2;
export const EIO = 5;
export const EBADF = 9;
export const ENOMEM = 12;
export const EACCES = 13;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EPROTO = 71;
export const EMSGSIZE = 90;
export const ENOTSUP = 95;
