import {
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_VERSION,
} from '../spec/virtio-mmio.ts';
import { VIRT_MMIO_BASE, VIRT_MMIO_COUNT, VIRT_MMIO_SIZE } from '../spec/virt-board.ts';
import type { Board } from '../topology/index.ts';
import type { BusRegion } from './bus.ts';

/**
 * The virtio-mmio transports of `virt` that nothing is plugged into: they say so by DeviceID 0
 * (VIRTIO 1.3, "MMIO Device Register Layout").
 */
export function emptySlots(board: Board, taken: ReadonlySet<number>): BusRegion[] {
  if (board !== 'virt') return [];
  const all = Array.from(
    { length: VIRT_MMIO_COUNT },
    (_, slot) => Number(VIRT_MMIO_BASE) + slot * Number(VIRT_MMIO_SIZE),
  );
  return all.filter((base) => !taken.has(base)).map(emptySlot);
}

function emptySlot(base: number): BusRegion {
  return {
    name: 'empty virtio-mmio slot',
    base,
    size: Number(VIRT_MMIO_SIZE),
    read: (offset, size) => (size === 4 ? (REGISTERS[offset] ?? 0) : 0),
    write: () => undefined,
  };
}

const REGISTERS: Readonly<Record<number, number>> = {
  [VIRTIO_MMIO_MAGIC_VALUE]: VIRTIO_MMIO_MAGIC,
  [VIRTIO_MMIO_VERSION]: 2,
  [VIRTIO_MMIO_DEVICE_ID]: 0,
};
