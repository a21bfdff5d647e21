import { ByteView } from '../bytes/index.ts';
import {
  EINVAL,
  EMSGSIZE,
  ENOTSUP,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_INFO,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IRQ_INFO,
  VFIO_IRQ_SET,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  VFIO_USER_DEVICE_GET_INFO,
  VFIO_USER_DEVICE_GET_IRQ_INFO,
  VFIO_USER_DEVICE_GET_REGION_INFO,
  VFIO_USER_DEVICE_GET_REGION_IO_FDS,
  VFIO_USER_DEVICE_RESET,
  VFIO_USER_DEVICE_SET_IRQS,
  VFIO_USER_DIRTY_PAGES,
  VFIO_USER_DMA_MAP,
  VFIO_USER_DMA_MAP_BODY,
  VFIO_USER_DMA_UNMAP,
  VFIO_USER_DMA_UNMAP_BODY,
  VFIO_USER_REGION_READ,
  VFIO_USER_REGION_RW_BODY,
  VFIO_USER_REGION_WRITE,
  VFIO_USER_REGION_WRITE_MULTI,
  VFIO_USER_WR_SINGLE,
} from '../spec/vfio-user.ts';
import type { ClientMaps } from './guest-ram.ts';
import { HEADER, type Request } from './message.ts';
import type { ServedDevice } from './served-device.ts';
import { XFER_MAX } from './version.ts';

/** What a command works on. */
export interface Target {
  readonly device: ServedDevice;
  readonly maps: ClientMaps;
  /** The reply; its body begins at {@link HEADER}. */
  readonly out: DataView;
  /** Bytes of the reply's body. */
  replyLength: number;
  /** RAM came without a descriptor. */
  ramWithoutFd(range: string): void;
  /** The function was reset. */
  wasReset(): void;
}

export interface Command {
  readonly name: string;
  /** Fewest bytes of its body. */
  readonly least: number;
  /** @returns an errno, 0 when it was done */
  run(target: Target, request: Request): number;
}

const RW = VFIO_USER_REGION_RW_BODY;

/** Offset of a region access. Regions end far below 2^32, so anything above is as good as that. */
function offsetOf(data: DataView, at: number): number {
  return data.getUint32(at + 4, true) * 2 ** 32 + data.getUint32(at, true);
}

function regionRead(target: Target, { data, at }: Request): number {
  const offset = offsetOf(data, at);
  const region = data.getUint32(at + RW.offsets.region, true);
  const count = data.getUint32(at + RW.offsets.count, true);
  if (count > XFER_MAX) return EMSGSIZE;
  const { out } = target;
  const errno = target.device.read(region, offset, count, out, HEADER + RW.size);
  if (errno !== 0) return errno;
  echo(out, data, at, RW.size);
  target.replyLength = RW.size + count;
  return 0;
}

function regionWrite(target: Target, { data, at, length }: Request): number {
  const region = data.getUint32(at + RW.offsets.region, true);
  const count = data.getUint32(at + RW.offsets.count, true);
  if (count !== length - RW.size) return EINVAL;
  echo(target.out, data, at, RW.size);
  target.replyLength = RW.size;
  return target.device.write(region, offsetOf(data, at), count, data, at + RW.size);
}

function echo(out: DataView, data: DataView, at: number, size: number): void {
  for (let i = 0; i < size; i += 4) out.setUint32(HEADER + i, data.getUint32(at + i, true), true);
}

const COUNT = 8;
const MULTI_MAX = 0x1000;

function regionWriteMulti(target: Target, { data, at, length }: Request): number {
  const count = offsetOf(data, at);
  const single = VFIO_USER_WR_SINGLE;
  if (count > MULTI_MAX || length !== COUNT + count * single.size) return EINVAL;
  for (let i = 0; i < count; i++) {
    const here = at + COUNT + i * single.size;
    const region = data.getUint32(here + single.offsets.region, true);
    const size = data.getUint32(here + single.offsets.count, true);
    if (size > 8) return EINVAL;
    const from = here + single.offsets.data;
    const errno = target.device.write(region, offsetOf(data, here), size, data, from);
    if (errno !== 0) return errno;
  }
  echo(target.out, data, at, COUNT);
  target.replyLength = COUNT;
  return 0;
}

function viewOf({ bytes, at, length }: Request): ByteView {
  return new ByteView(bytes.subarray(at, at + length), 'le', 'vfio-user');
}

function deviceInfo(target: Target): number {
  const { out } = target;
  const at = VFIO_DEVICE_INFO.offsets;
  out.setUint32(HEADER + at.argsz, VFIO_DEVICE_INFO.size, true);
  out.setUint32(HEADER + at.flags, VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI, true);
  out.setUint32(HEADER + at.num_regions, VFIO_PCI_NUM_REGIONS, true);
  out.setUint32(HEADER + at.num_irqs, VFIO_PCI_NUM_IRQS, true);
  target.replyLength = VFIO_DEVICE_INFO.size;
  return 0;
}

function regionInfo(target: Target, request: Request): number {
  const { argsz, index } = VFIO_REGION_INFO.read(viewOf(request), 0);
  const size = target.device.regionSize(index);
  if (size === undefined || argsz < VFIO_REGION_INFO.size) return EINVAL;
  const { out } = target;
  const at = VFIO_REGION_INFO.offsets;
  const flags = size === 0 ? 0 : VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  out.setUint32(HEADER + at.argsz, VFIO_REGION_INFO.size, true);
  out.setUint32(HEADER + at.flags, flags, true);
  out.setUint32(HEADER + at.index, index, true);
  out.setUint32(HEADER + at.cap_offset, 0, true);
  out.setBigUint64(HEADER + at.size, BigInt(size), true);
  out.setBigUint64(HEADER + at.offset, 0n, true);
  target.replyLength = VFIO_REGION_INFO.size;
  return 0;
}

function irqInfo(target: Target, request: Request): number {
  const { argsz, index } = VFIO_IRQ_INFO.read(viewOf(request), 0);
  // Refusing the error and request interrupts is what QEMU takes in silence.
  const info = target.device.irqs.info(index);
  if (info === undefined || argsz < VFIO_IRQ_INFO.size) return EINVAL;
  const { out } = target;
  const at = VFIO_IRQ_INFO.offsets;
  out.setUint32(HEADER + at.argsz, VFIO_IRQ_INFO.size, true);
  out.setUint32(HEADER + at.flags, info.flags, true);
  out.setUint32(HEADER + at.index, index, true);
  out.setUint32(HEADER + at.count, info.count, true);
  target.replyLength = VFIO_IRQ_INFO.size;
  return 0;
}

function setIrqs(target: Target, request: Request): number {
  const set = VFIO_IRQ_SET.read(viewOf(request), 0);
  const { bytes, at, length, fds } = request;
  const bools = bytes.subarray(at + VFIO_IRQ_SET.size, at + length);
  return target.device.irqs.set(set, fds, bools);
}

function dmaMap(target: Target, request: Request): number {
  const map = VFIO_USER_DMA_MAP_BODY.read(viewOf(request), 0);
  if (map.argsz < VFIO_USER_DMA_MAP_BODY.size || request.fds.length > 1) return EINVAL;
  // The descriptor is closed with the request: the mapping keeps the file.
  const { errno, ramWithoutFd } = target.maps.map(map, request.fds[0]);
  if (ramWithoutFd !== undefined) target.ramWithoutFd(ramWithoutFd);
  return errno;
}

function dmaUnmap(target: Target, request: Request): number {
  const { argsz, flags, address, size } = VFIO_USER_DMA_UNMAP_BODY.read(viewOf(request), 0);
  if (argsz < VFIO_USER_DMA_UNMAP_BODY.size || (flags & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0) {
    return EINVAL;
  }
  if ((flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0) {
    if (address !== 0n || size !== 0n) return EINVAL;
    target.maps.unmapAll();
  } else {
    const errno = target.maps.unmap(address, size);
    if (errno !== 0) return errno;
  }
  echo(target.out, request.data, request.at, VFIO_USER_DMA_UNMAP_BODY.size);
  target.replyLength = VFIO_USER_DMA_UNMAP_BODY.size;
  return 0;
}

function reset(target: Target): number {
  target.device.reset();
  target.wasReset();
  return 0;
}

/** We have no such thing; a client that asks goes on without. */
function refuse(): number {
  return ENOTSUP;
}

/** Everything but VERSION, by command number. */
export const COMMANDS: ReadonlyMap<number, Command> = new Map([
  [VFIO_USER_DMA_MAP, { name: 'DMA_MAP', least: VFIO_USER_DMA_MAP_BODY.size, run: dmaMap }],
  [VFIO_USER_DMA_UNMAP, { name: 'DMA_UNMAP', least: VFIO_USER_DMA_UNMAP_BODY.size, run: dmaUnmap }],
  [VFIO_USER_DEVICE_GET_INFO, { name: 'GET_INFO', least: 0, run: deviceInfo }],
  [
    VFIO_USER_DEVICE_GET_REGION_INFO,
    { name: 'GET_REGION_INFO', least: VFIO_REGION_INFO.size, run: regionInfo },
  ],
  [VFIO_USER_DEVICE_GET_REGION_IO_FDS, { name: 'GET_REGION_IO_FDS', least: 0, run: refuse }],
  [
    VFIO_USER_DEVICE_GET_IRQ_INFO,
    { name: 'GET_IRQ_INFO', least: VFIO_IRQ_INFO.size, run: irqInfo },
  ],
  [VFIO_USER_DEVICE_SET_IRQS, { name: 'SET_IRQS', least: VFIO_IRQ_SET.size, run: setIrqs }],
  [VFIO_USER_REGION_READ, { name: 'REGION_READ', least: RW.size, run: regionRead }],
  [VFIO_USER_REGION_WRITE, { name: 'REGION_WRITE', least: RW.size, run: regionWrite }],
  [VFIO_USER_DEVICE_RESET, { name: 'DEVICE_RESET', least: 0, run: reset }],
  [VFIO_USER_DIRTY_PAGES, { name: 'DIRTY_PAGES', least: 0, run: refuse }],
  [
    VFIO_USER_REGION_WRITE_MULTI,
    { name: 'REGION_WRITE_MULTI', least: COUNT, run: regionWriteMulti },
  ],
]);
