import { hex } from '../../bytes/index.ts';
import { VIRT_MMIO_SIZE } from '../../spec/virt-board.ts';
import type {
  Board,
  MmioTransport,
  PciHost,
  PciTransport,
  QueueOptions,
  Viommu,
  ViommuFeature,
} from '../model.ts';
import type { RingInput, ViommuInput } from '../schema/machine.ts';
import { slotInterrupt } from './boards.ts';
import type { Context } from './context.ts';
import { hostOf } from './hosts.ts';
import {
  BOARD_LACKS,
  INTERRUPT_UNSTATED,
  ONE_LOCATION,
  PAGE_MASK,
  QUEUE_SIZE,
} from './problems.ts';

const ALL_BITS = 0xffff_ffff_ffff_ffffn;
const DEFAULT_GRANULE = 4096n;
const DEFAULT_QUEUE = 256;
const DEFAULT_PROBE = 512;
const QUEUE_MAX = 32768;
const MODERN: readonly ViommuFeature[] = [
  'INPUT_RANGE',
  'DOMAIN_RANGE',
  'MAP_UNMAP',
  'PROBE',
  'MMIO',
  'BYPASS_CONFIG',
];

/** Names first: hosts refer to vIOMMUs before these are resolved. */
export function defineViommus(context: Context): ReadonlySet<number> {
  const taken = new Set<number>();
  (context.input.viommus ?? []).forEach((input, index) => {
    if (!context.define('vIOMMU', input.id, context.idPlace('viommus', index))) taken.add(index);
  });
  return taken;
}

export function resolveViommus(
  context: Context,
  board: Board,
  hosts: readonly PciHost[],
  taken: ReadonlySet<number>,
): Viommu[] {
  return (context.input.viommus ?? []).flatMap((input, index) => {
    const transport = taken.has(index) ? undefined : locate(context, board, hosts, input, index);
    if (transport === undefined) {
      context.partial = true;
      return [];
    }
    const mask = pageSizes(context, input, index);
    return [
      {
        id: input.id,
        transport,
        pageSizeMask: mask,
        granule: mask & -mask,
        inputRange: input['input-range'] ?? { start: 0n, end: ALL_BITS },
        domainRange: input['domain-range'] ?? { start: 0, end: 0xffff_ffff },
        probeSize: input['probe-size'] ?? DEFAULT_PROBE,
        bootBypass: input['boot-bypass'] ?? true,
        features: input.features ?? MODERN,
        requestQueue: queue(context, input.queues?.request, index, 'request'),
        eventQueue: queue(context, input.queues?.event, index, 'event'),
        place: context.place('viommus', index),
        places: context.places('viommus', index),
      },
    ];
  });
}

function locate(
  context: Context,
  board: Board,
  hosts: readonly PciHost[],
  input: ViommuInput,
  index: number,
): PciTransport | MmioTransport | undefined {
  const id = context.idPlace('viommus', index);
  if ((input.at === undefined) === (input.mmio === undefined)) {
    const what = input.at === undefined ? 'neither `at` nor `mmio`' : 'both `at` and `mmio`';
    context.report(ONE_LOCATION, id, `the vIOMMU "${input.id}" has ${what}`);
    return undefined;
  }
  if (input.at !== undefined) {
    const segment = input.at.segment ?? 0;
    const place = context.place('viommus', index, 'at');
    const host = hostOf(context, hosts, segment, { start: input.at.rid, end: input.at.rid }, place);
    return host && { kind: 'pci', host: host.id, segment, rid: input.at.rid };
  }
  const base = input.mmio ?? 0n;
  if (board === 'q35') {
    const message = `q35 has no virtio-mmio transports for the vIOMMU "${input.id}"`;
    context.report(BOARD_LACKS, context.place('viommus', index, 'mmio'), message, {
      cure: 'put it at a PCI function: `at: 00:01.0`',
    });
  }
  const interrupt = input.interrupt ?? slotInterrupt(base);
  if (interrupt === undefined) {
    const message = `${hex(base)} is no virtio-mmio slot: its interrupt is not known`;
    context.report(INTERRUPT_UNSTATED, context.place('viommus', index, 'mmio'), message);
  }
  const legacy = input.legacy ?? false;
  return { kind: 'mmio', base, size: VIRT_MMIO_SIZE, interrupt: interrupt ?? 0, legacy };
}

/** The page-size mask; never zero. */
function pageSizes(context: Context, input: ViommuInput, index: number): bigint {
  const stated = (['granule', 'page-sizes', 'page-size-mask'] as const).filter(
    (key) => input[key] !== undefined,
  );
  const [first, second] = stated;
  if (first !== undefined && second !== undefined) {
    const related = [{ place: context.place('viommus', index, first), message: 'already here' }];
    const place = context.place('viommus', index, second);
    context.report(PAGE_MASK, place, `the page sizes of "${input.id}" are said twice`, { related });
  }
  const mask = input['page-size-mask'];
  if (mask !== undefined) {
    if (mask > 0n) return mask;
    const place = context.place('viommus', index, 'page-size-mask');
    context.report(PAGE_MASK, place, `the page-size mask of "${input.id}" has no bit`);
    return atLeastGranule(DEFAULT_GRANULE);
  }
  const sizes = input['page-sizes'];
  if (sizes !== undefined) return sizesToMask(context, sizes, index);
  const granule = input.granule ?? DEFAULT_GRANULE;
  if (isPowerOfTwo(granule)) return atLeastGranule(granule);
  const place = context.place('viommus', index, 'granule');
  context.report(PAGE_MASK, place, `the granule ${hex(granule)} is not a power of two`);
  return atLeastGranule(DEFAULT_GRANULE);
}

function sizesToMask(context: Context, sizes: readonly bigint[], index: number): bigint {
  let mask = 0n;
  sizes.forEach((size, item) => {
    if (isPowerOfTwo(size)) {
      mask |= size;
      return;
    }
    const place = context.place('viommus', index, 'page-sizes', item);
    context.report(PAGE_MASK, place, `the page size ${hex(size)} is not a power of two`);
  });
  if (sizes.length === 0) {
    const place = context.place('viommus', index, 'page-sizes');
    context.report(PAGE_MASK, place, 'the list of page sizes is empty');
  }
  return mask === 0n ? atLeastGranule(DEFAULT_GRANULE) : mask;
}

function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && (value & (value - 1n)) === 0n;
}

/** The granule and every larger power of two, as QEMU offers them. */
function atLeastGranule(granule: bigint): bigint {
  return ALL_BITS & ~(granule - 1n);
}

function queue(
  context: Context,
  input: RingInput | undefined,
  index: number,
  which: 'request' | 'event',
): QueueOptions {
  const size = input?.size ?? DEFAULT_QUEUE;
  const ring = input?.ring ?? 'split';
  const bad = size < 1 || size > QUEUE_MAX || (ring === 'split' && (size & (size - 1)) !== 0);
  if (bad) {
    const place = context.place('viommus', index, 'queues', which, 'size');
    const wanted = ring === 'split' ? 'a power of two, 1-32768' : '1-32768';
    context.report(QUEUE_SIZE, place, `the ${which} queue has ${size} descriptors, not ${wanted}`);
    return { size: DEFAULT_QUEUE, ring };
  }
  return { size, ring };
}
