/** Why a queue can no longer be used. */
export type QueueErrorCode =
  /** Table or rings lie outside what the device can access. */
  | 'ring-unreachable'
  /** Not a size that the format allows. */
  | 'ring-size'
  /** `avail.idx` is further ahead than the ring is long. */
  | 'avail-index'
  /** A head or `next` is no index of the table. */
  | 'descriptor-index'
  /** More descriptors than the table has: a loop, or a chain longer than the queue. */
  | 'chain-length'
  /** More than 2^32 - 1 bytes in all. */
  | 'chain-bytes'
  /** A device-readable descriptor after a device-writable one. */
  | 'chain-order'
  /** More buffers made available than the queue holds, before any was used. */
  | 'in-flight'
  | 'indirect-not-negotiated'
  | 'indirect-nested'
  | 'indirect-with-next'
  /** A table of no, a broken or too large a number of descriptors. */
  | 'indirect-length'
  /** The table lies outside what the device can access. */
  | 'indirect-unreachable';

/** A mistake of the driver that a device answers with DEVICE_NEEDS_RESET. */
export interface QueueError {
  readonly code: QueueErrorCode;
  readonly queue: number;
  /** What was found, with the numbers. */
  readonly message: string;
  /** The address that could not be accessed. */
  readonly address?: bigint;
}
