import { struct } from '../bytes/index.ts';

/** VIRTIO 1.3, "Block Device". Feature bits are bit numbers. */

export const VIRTIO_BLK_F_SIZE_MAX = 1;
export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;

/** "Device configuration layout", up to the fields of WRITE_ZEROES. */
export const VIRTIO_BLK_CONFIG = struct('struct virtio_blk_config', 60, {
  capacity: 'u64',
  size_max: 'u32',
  seg_max: 'u32',
  cylinders: 'u16',
  heads: 'u8',
  sectors: 'u8',
  blk_size: 'u32',
  physical_block_exp: 'u8',
  alignment_offset: 'u8',
  min_io_size: 'u16',
  opt_io_size: 'u32',
  writeback: 'u8',
  unused0: 'u8',
  num_queues: 'u16',
  max_discard_sectors: 'u32',
  max_discard_seg: 'u32',
  discard_sector_alignment: 'u32',
  max_write_zeroes_sectors: 'u32',
  max_write_zeroes_seg: 'u32',
  write_zeroes_may_unmap: 'u8',
  unused1: ['bytes', 3],
});

/** Head of a request; data and one status byte follow. */
export const VIRTIO_BLK_REQ = struct('struct virtio_blk_req', 16, {
  type: 'u32',
  reserved: 'u32',
  sector: 'u64',
});

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

/** Bytes of the answer to GET_ID. */
export const VIRTIO_BLK_ID_BYTES = 20;
export const VIRTIO_BLK_SECTOR = 512;

/** A run of sectors to discard or zero. */
export const VIRTIO_BLK_DISCARD_WRITE_ZEROES = struct(
  'struct virtio_blk_discard_write_zeroes',
  16,
  { sector: 'u64', num_sectors: 'u32', flags: 'u32' },
);
export const VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;
