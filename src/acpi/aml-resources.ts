import { ByteSink, hex } from '../bytes/index.ts';
import * as spec from '../spec/aml.ts';
import { amlBuffer, type Aml } from './aml.ts';

/** One descriptor of a `_CRS`. */
export type Resource =
  | {
      readonly kind: 'memory32-fixed';
      /** 32 bits. */
      readonly base: number;
      /** Bytes. */
      readonly size: number;
      readonly readOnly?: boolean;
    }
  | {
      readonly kind: 'interrupt';
      readonly gsivs: readonly number[];
      readonly edge?: boolean;
      readonly activeLow?: boolean;
      readonly shared?: boolean;
    }
  /** Buses that a host bridge hands on; the last one included. */
  | { readonly kind: 'bus'; readonly start: number; readonly end: number }
  /** Memory that a host bridge hands on, as the CPU sees it. */
  | {
      readonly kind: 'memory-window';
      readonly base: bigint;
      readonly size: bigint;
      readonly prefetchable?: boolean;
      /** CPU address minus bus address. */
      readonly translation?: bigint;
    }
  /** I/O ports that a host bridge hands on; `cpuBase` is the CPU address of port `base`. */
  | {
      readonly kind: 'io-window';
      readonly base: number;
      readonly size: number;
      readonly cpuBase?: bigint;
    };

/** The buffer of a `_CRS`. `RangeError` for values that do not fit their descriptor. */
export function resourceTemplate(resources: readonly Resource[]): Aml {
  const sink = new ByteSink('le');
  for (const resource of resources) writeResource(sink, resource);
  // A checksum of 0 is one that nobody checks (ACPI 6.5, 6.4.2.9).
  sink.u8(spec.RESOURCE_END_TAG).u8(0);
  return amlBuffer(sink.bytes());
}

function writeResource(sink: ByteSink, resource: Resource): void {
  switch (resource.kind) {
    case 'memory32-fixed':
      fits(BigInt(resource.base) + BigInt(resource.size), 1n << 32n, 'end of the memory');
      sink.u8(spec.RESOURCE_MEMORY32_FIXED).u16(9);
      sink.u8(resource.readOnly === true ? 0 : spec.RESOURCE_MEMORY_READ_WRITE);
      sink.u32(resource.base).u32(resource.size);
      break;
    case 'interrupt':
      writeInterrupt(sink, resource);
      break;
    case 'bus':
      writeWindow(sink, 2, spec.RESOURCE_TYPE_BUS, 0, {
        start: BigInt(resource.start),
        size: BigInt(resource.end - resource.start + 1),
        translation: 0n,
      });
      break;
    case 'memory-window': {
      const translation = resource.translation ?? 0n;
      const start = resource.base - translation;
      const cache = resource.prefetchable === true ? spec.RESOURCE_MEMORY_PREFETCHABLE : 0;
      const wide = resource.base + resource.size > 1n << 32n || translation !== 0n;
      const flags = spec.RESOURCE_MEMORY_READ_WRITE | cache;
      const window = { start, size: resource.size, translation };
      writeWindow(sink, wide ? 8 : 4, spec.RESOURCE_TYPE_MEMORY, flags, window);
      break;
    }
    default: {
      const start = BigInt(resource.base);
      const cpuBase = resource.cpuBase ?? start;
      const window = { start, size: BigInt(resource.size), translation: cpuBase - start };
      const wide = cpuBase + window.size > 1n << 32n;
      writeWindow(sink, wide ? 8 : 4, spec.RESOURCE_TYPE_IO, spec.RESOURCE_IO_ENTIRE_RANGE, window);
    }
  }
}

function writeInterrupt(sink: ByteSink, it: Extract<Resource, { kind: 'interrupt' }>): void {
  if (it.gsivs.length === 0 || it.gsivs.length > 255) {
    throw new RangeError(`${it.gsivs.length} interrupts in one descriptor`);
  }
  sink.u8(spec.RESOURCE_EXTENDED_INTERRUPT).u16(2 + 4 * it.gsivs.length);
  sink.u8(
    spec.RESOURCE_INTERRUPT_CONSUMER |
      (it.edge === true ? spec.RESOURCE_INTERRUPT_EDGE : 0) |
      (it.activeLow === true ? spec.RESOURCE_INTERRUPT_ACTIVE_LOW : 0) |
      (it.shared === true ? spec.RESOURCE_INTERRUPT_SHARED : 0),
  );
  sink.u8(it.gsivs.length);
  for (const gsiv of it.gsivs) {
    fits(BigInt(gsiv), 0xffffffffn, 'interrupt');
    sink.u32(gsiv);
  }
}

interface Window {
  /** First address on the bus. */
  readonly start: bigint;
  readonly size: bigint;
  /** CPU address minus bus address. */
  readonly translation: bigint;
}

const TAGS = {
  2: spec.RESOURCE_WORD_ADDRESS,
  4: spec.RESOURCE_DWORD_ADDRESS,
  8: spec.RESOURCE_QWORD_ADDRESS,
} as const;

/** Word, DWord or QWord address space descriptor of fixed ends (ACPI 6.5, 6.4.3.5). */
function writeWindow(
  sink: ByteSink,
  width: 2 | 4 | 8,
  type: number,
  flags: number,
  window: Window,
): void {
  const { start, size, translation } = window;
  const max = (1n << BigInt(8 * width)) - 1n;
  const end = start + size - 1n;
  fits(size - 1n, max, 'size of the window less one');
  fits(start, max, 'start of the window');
  fits(end, max, 'end of the window');
  fits(translation, max, 'translation of the window');
  sink
    .u8(TAGS[width])
    .u16(3 + 5 * width)
    .u8(type);
  sink.u8(spec.RESOURCE_MIN_FIXED | spec.RESOURCE_MAX_FIXED).u8(flags);
  for (const value of [0n, start, end, translation, size]) {
    if (width === 8) sink.u64(value);
    else if (width === 4) sink.u32(Number(value));
    else sink.u16(Number(value));
  }
}

function fits(value: bigint, max: bigint, what: string): void {
  if (value < 0n || value > max)
    throw new RangeError(`${what} ${hex(value)} is not in 0..${hex(max)}`);
}
