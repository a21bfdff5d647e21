import { structBytes } from '../../src/bytes/index.ts';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IRQ_INFO,
  VFIO_IRQ_SET,
  VFIO_REGION_INFO,
  VFIO_USER_DEVICE_GET_IRQ_INFO,
  VFIO_USER_DEVICE_GET_REGION_INFO,
  VFIO_USER_DEVICE_SET_IRQS,
  VFIO_USER_DMA_MAP,
  VFIO_USER_DMA_MAP_BODY,
  VFIO_USER_DMA_UNMAP,
  VFIO_USER_DMA_UNMAP_BODY,
  VFIO_USER_F_NO_REPLY,
  VFIO_USER_HEADER,
  VFIO_USER_REGION_READ,
  VFIO_USER_REGION_RW_BODY,
  VFIO_USER_REGION_WRITE,
  VFIO_USER_VERSION,
} from '../../src/spec/vfio-user.ts';
import { closeFd, connectTo, receiveSome, sendAll } from './vfio-ffi.ts';

export interface Answer {
  readonly errno: number;
  readonly body: Uint8Array;
}

/** What QEMU 11.1 says of itself. */
export const QEMU_CAPABILITIES =
  '{"capabilities":{"migration":{"max_bitmap_size":268435456,"pgsizes":4096},"write_multiple":true,' +
  '"pgsizes":4096,"max_dma_maps":65535,"max_data_xfer_size":1048576,"max_msg_fds":16}}';

/** The bytes of a request. */
export function message(
  id: number,
  command: number,
  body: Uint8Array = new Uint8Array(0),
  flags = 0,
): Uint8Array {
  const header = structBytes(VFIO_USER_HEADER, 'le', {
    message_id: id,
    command,
    message_size: VFIO_USER_HEADER.size + body.length,
    flags,
  });
  return Buffer.concat([header, body]);
}

/** The body of a VERSION request. */
export function versionBody(major = 0, minor = 0, text: string = QEMU_CAPABILITIES): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(major, 0, minor, 0),
    Buffer.from(text),
    Uint8Array.of(...(text === '' ? [] : [0])),
  ]);
}

export function mapBody(address: bigint, size: bigint, offset = 0n, flags = 3): Uint8Array {
  const argsz = VFIO_USER_DMA_MAP_BODY.size;
  return structBytes(VFIO_USER_DMA_MAP_BODY, 'le', { argsz, flags, offset, address, size });
}

export function unmapBody(address: bigint, size: bigint, flags = 0): Uint8Array {
  const argsz = VFIO_USER_DMA_UNMAP_BODY.size;
  return structBytes(VFIO_USER_DMA_UNMAP_BODY, 'le', { argsz, flags, address, size });
}

export function irqBody(flags: number, index: number, start: number, count: number): Uint8Array {
  const argsz = VFIO_IRQ_SET.size;
  return structBytes(VFIO_IRQ_SET, 'le', { argsz, flags, index, start, count });
}

export function accessBody(region: number, offset: number, count: number): Uint8Array {
  const body = { region, offset: BigInt(offset), count };
  return structBytes(VFIO_USER_REGION_RW_BODY, 'le', body);
}

/** The VMM's end of one connection. Every call waits for its reply. */
export class VfioClient {
  readonly fd: number;
  #id = 0;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(path: string) {
    this.fd = connectTo(path);
    if (this.fd < 0) throw new Error(`nobody listens at ${path}`);
  }

  /** Connected and agreed on the version. */
  static open(path: string): VfioClient {
    const client = new VfioClient(path);
    const { errno } = client.request(VFIO_USER_VERSION, versionBody());
    if (errno !== 0) throw new Error(`version refused: ${errno}`);
    return client;
  }

  close(): void {
    closeFd(this.fd);
  }

  /** @throws Error when no reply comes within ten seconds, or another one */
  request(command: number, body?: Uint8Array, fds: readonly number[] = []): Answer {
    const id = this.#next();
    sendAll(this.fd, message(id, command, body), fds);
    const answer = this.reply();
    if (answer === undefined) throw new Error(`no reply to command ${command}`);
    if (answer.id !== id) throw new Error(`reply to ${answer.id}, asked ${id}`);
    return answer;
  }

  /** As `request`, for what must succeed. */
  must(command: number, body?: Uint8Array, fds: readonly number[] = []): Uint8Array {
    const { errno, body: answer } = this.request(command, body, fds);
    if (errno !== 0) throw new Error(`command ${command}: error ${errno}`);
    return answer;
  }

  post(command: number, body: Uint8Array): void {
    sendAll(this.fd, message(this.#next(), command, body, VFIO_USER_F_NO_REPLY));
  }

  /** The next reply; undefined when the connection was closed, or nothing comes. */
  reply(milliseconds = 10_000): (Answer & { readonly id: number }) | undefined {
    const until = Date.now() + milliseconds;
    for (;;) {
      const rest = Buffer.from(this.#rest);
      const size = rest.length < 16 ? Infinity : rest.readUInt32LE(4);
      if (rest.length >= size) {
        this.#rest = new Uint8Array(rest.subarray(size));
        const body = new Uint8Array(rest.subarray(16, size));
        return { id: rest.readUInt16LE(0), errno: rest.readUInt32LE(12), body };
      }
      const more = receiveSome(this.fd, Math.max(0, until - Date.now()));
      if (more === undefined || more.length === 0) return undefined;
      this.#rest = Buffer.concat([rest, more]);
    }
  }

  regionSize(index: number): number {
    const argsz = VFIO_REGION_INFO.size;
    const body = structBytes(VFIO_REGION_INFO, 'le', { argsz, index });
    const answer = this.must(VFIO_USER_DEVICE_GET_REGION_INFO, body);
    return Number(Buffer.from(answer).readBigUInt64LE(VFIO_REGION_INFO.offsets.size));
  }

  irqCount(index: number): number {
    const argsz = VFIO_IRQ_INFO.size;
    const body = structBytes(VFIO_IRQ_INFO, 'le', { argsz, index });
    const { errno, body: answer } = this.request(VFIO_USER_DEVICE_GET_IRQ_INFO, body);
    return errno === 0 ? Buffer.from(answer).readUInt32LE(VFIO_IRQ_INFO.offsets.count) : 0;
  }

  read(region: number, offset: number, size: number): number {
    const answer = this.must(VFIO_USER_REGION_READ, accessBody(region, offset, size));
    return Buffer.from(answer).readUIntLE(VFIO_USER_REGION_RW_BODY.size, size);
  }

  /** Memory BARs are written to without waiting, as QEMU does. */
  write(region: number, offset: number, size: number, value: number, posted = false): void {
    const data = Buffer.alloc(size);
    data.writeUIntLE(value % 2 ** (8 * size), 0, size);
    const body = Buffer.concat([accessBody(region, offset, size), data]);
    if (posted) this.post(VFIO_USER_REGION_WRITE, body);
    else this.must(VFIO_USER_REGION_WRITE, body);
  }

  map(address: bigint, size: bigint, offset: bigint, fd?: number): number {
    const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    const fds = fd === undefined ? [] : [fd];
    return this.request(VFIO_USER_DMA_MAP, mapBody(address, size, offset, flags), fds).errno;
  }

  unmap(address: bigint, size: bigint): number {
    return this.request(VFIO_USER_DMA_UNMAP, unmapBody(address, size)).errno;
  }

  setIrqs(
    flags: number,
    index: number,
    start: number,
    count: number,
    fds: readonly number[] = [],
  ): number {
    return this.request(VFIO_USER_DEVICE_SET_IRQS, irqBody(flags, index, start, count), fds).errno;
  }

  #next(): number {
    this.#id = (this.#id + 1) & 0xffff;
    return this.#id;
  }
}
