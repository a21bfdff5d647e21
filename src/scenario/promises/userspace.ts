import { hex, overlaps, showRange, type Range } from '../../bytes/index.ts';
import type { Endpoint, Model } from '../../topology/index.ts';
import { expectedEndpoints, expectedRegions, type ExpectedEndpoint } from '../expected.ts';
import { isAt } from '../names.ts';
import type { Observation } from '../observation.ts';
import { clipped, insertAt, joined, sameMappings, type Piece } from '../pieces.ts';
import { failed, few, fromEvent, judged, unseen, type Item, type Promised } from '../promise.ts';
import type { TracedEvent, TraceRecord } from '../request-trace.ts';
import {
  rangeOf,
  REFUSED_ACCESSES,
  showErrno,
  stepOf,
  type UserspaceObservation,
  type UserspaceStep,
} from '../userspace.ts';

/** An endpoint that a program is to drive, what that reported, and what the devices saw. */
interface Driven {
  readonly expected: ExpectedEndpoint;
  readonly seen: UserspaceObservation | undefined;
  readonly trace: TraceRecord | undefined;
  readonly parts: { readonly subject: string; readonly endpoint: string };
}

function driven(model: Model, { guest, device }: Observation): Driven[] {
  return expectedEndpoints(model)
    .filter(({ endpoint }) => endpoint.guestDriver !== undefined)
    .map((expected) => ({
      expected,
      seen: guest.userspace?.find((one) => isAt(one.device, expected.endpoint.location)),
      trace: device.traces?.find(
        ({ viommu, endpoint }) => viommu === expected.viommu && endpoint === expected.endpointId,
      ),
      parts: { subject: expected.label, endpoint: expected.id },
    }));
}

/** Steps that must succeed, and for transfers also be right. */
const MUST = ['bind', 'group', 'container', 'device', 'map', 'map-readable', 'unmap', 'done'];
const TRANSFERS = ['read', 'write', 'read-readable'];

export const userspaceWorks: Promised = {
  id: 'userspace-works',
  title: 'a program in the guest drives the device at addresses of its own choice',
  explanation:
    'With `guest-driver: vfio-pci`. A program of ours binds the device to vfio-pci, maps its own memory with VFIO_IOMMU_MAP_DMA, lets the device read and write it there, and compares every byte; a second mapping that may only be read is read as well. In the end everything is given back.',
  judge: (model, observation) =>
    driven(model, observation).map(({ seen, parts }) => {
      const whole = { ...parts, expected: 'every step done, every byte right' };
      if (observation.guest.userspace === undefined) {
        return unseen({ ...whole, seen: 'this backend has no user space' });
      }
      if (seen === undefined) return failed({ ...whole, seen: 'the program never ran' });
      const wrong =
        MUST.find((name) => stepOf(seen, name)?.errno !== 0) ??
        TRANSFERS.find((name) => !isRight(stepOf(seen, name)));
      const { steps, ran, error } = seen;
      if (wrong === undefined && ran) {
        return judged(true, { ...whole, seen: `${steps.length} steps` });
      }
      const last = steps.at(-1);
      const step = wrong === undefined ? undefined : stepOf(seen, wrong);
      const why =
        step === undefined
          ? `it stopped after ${last?.name ?? 'nothing'} (${last === undefined ? (error ?? 'no word') : showErrno(last.errno)})`
          : `${step.name}: ${step.errno === 0 ? 'wrong data' : showErrno(step.errno)}`;
      return failed({ ...whole, seen: why });
    }),
};

function isRight(step: UserspaceStep | undefined): boolean {
  return step?.numbers.get('done') === 1n && step.numbers.get('right') === 1n;
}

export const userspaceMapped: Promised = {
  id: 'userspace-mapped',
  title: 'VFIO_IOMMU_MAP_DMA arrives as MAP, with the same addresses and rights',
  explanation:
    "For each mapping of the program, the MAP requests of the device's domain cover exactly its I/O virtual addresses, lead to the pages that /proc/self/pagemap names, and carry the rights it asked for. What the guest maps, the host maps too: see `host-follows`.",
  judge: (model, observation) =>
    driven(model, observation).flatMap(({ seen, trace, parts }): Item[] => {
      if (seen === undefined) return [];
      return ['map', 'map-readable'].flatMap((name): Item[] => {
        const step = stepOf(seen, name);
        if (step === undefined || step.errno !== 0) return [];
        const wanted = joined(pagesOf(seen, step));
        const range = rangeOf(step);
        const all = { ...parts, expected: `${showRange(range)} as ${wanted.length} piece(s)` };
        if (trace === undefined) {
          return [unseen({ ...all, seen: 'this backend keeps no trace of the requests' })];
        }
        const first = trace.events.findIndex(
          (event) => event.kind === 'map' && overlaps(event.virt, range),
        );
        const maps = untilUnmapped(trace.events.slice(Math.max(0, first)), range);
        const has = joined(clipped(maps, range));
        return [
          judged(sameMappings(wanted, has), {
            ...all,
            seen: `${maps.length} MAP requests, ${has.length} piece(s)`,
            evidence: few(
              trace.events.filter((event) => event.kind === 'map' && overlaps(event.virt, range)),
              (event) => ({ source: 'device', text: event.text ?? 'map' }),
              3,
            ),
          }),
        ];
      });
    }),
};

/** The pages that the program saw behind a mapping. */
function pagesOf({ steps }: UserspaceObservation, of: UserspaceStep): Piece[] {
  const range = rangeOf(of);
  const access = Number(of.numbers.get('access') ?? 0n);
  const pages: Piece[] = [];
  for (const { name, numbers } of steps) {
    const iova = numbers.get('iova');
    const gpa = numbers.get('gpa');
    if (name !== 'page' || iova === undefined || gpa === undefined) continue;
    const virt = { start: iova, end: iova + 0xfffn };
    if (overlaps(virt, range)) insertAt(pages, { virt, phys: gpa, access });
  }
  return pages;
}

/** MAPs inside a range, up to the first UNMAP there. */
function untilUnmapped(events: readonly TracedEvent[], range: Range): Piece[] {
  const maps: Piece[] = [];
  for (const event of events) {
    if (event.kind === 'unmap' && overlaps(event.virt, range)) break;
    const done = event.status === undefined || event.status === 0;
    if (event.kind !== 'map' || !done || !overlaps(event.virt, range)) continue;
    insertAt(maps, { virt: event.virt, phys: event.phys, access: event.flags & 3 });
  }
  return maps;
}

export const userspaceRefused: Promised = {
  id: 'userspace-refused',
  title: 'without the right to it, and after VFIO_IOMMU_UNMAP_DMA, an access is gone',
  explanation:
    "The program lets the device write where it may only read, and read and write what was unmapped. Each time the device reports the failure, memory and the device's buffer are as before, and the vIOMMU (for a passed-through device, its host) has refused an access at that address.",
  judge: (model, observation) =>
    driven(model, observation).flatMap(({ seen, trace, parts }): Item[] => {
      if (seen === undefined) return [];
      return REFUSED_ACCESSES.map((name) => {
        const step = stepOf(seen, name);
        const expected = `${name}: refused, nothing changed`;
        if (step === undefined) {
          return failed({ ...parts, expected, seen: 'the program did not come to it' });
        }
        const at = step.numbers.get('iova') ?? 0n;
        const write = name.startsWith('write');
        const fault = trace?.events.find(
          (event) => isFault(event) && event.address === at && (event.write ?? write) === write,
        );
        const done = step.numbers.get('done') === 1n;
        const untouched = step.numbers.get('untouched') === 1n;
        const traced = trace === undefined || fault !== undefined;
        const seenWords = done
          ? 'it went through'
          : !untouched
            ? 'refused, but something changed'
            : traced
              ? `refused at ${hex(at)}`
              : 'refused, and nobody reported a fault';
        return judged(!done && untouched && traced, {
          ...parts,
          expected,
          seen: seenWords,
          evidence: fromEvent(fault),
        });
      });
    }),
};

function isFault(
  event: TracedEvent,
): event is Extract<TracedEvent, { kind: 'fault' | 'host-fault' }> {
  return event.kind === 'fault' || event.kind === 'host-fault';
}

export const userspaceLimits: Promised = {
  id: 'userspace-limits',
  title: 'the limits of vIOMMU and host reach the program',
  explanation:
    "The ranges that VFIO_IOMMU_GET_INFO offers are the vIOMMU's input range without its reserved regions, those of the host among them. A mapping that is unaligned, overlaps another, or lies outside of these ranges fails with EINVAL or EEXIST. Mappings beyond the number that the host keeps are refused by the vIOMMU with NOMEM; Linux before 6.8 hands that on as an error, later kernels send MAP without looking at the answer, and then what was refused must not be reachable.",
  judge: (model, observation) =>
    driven(model, observation).flatMap(({ expected, seen, trace, parts }): Item[] => {
      if (seen === undefined) return [];
      return [
        ...rangeItem(model, expected, seen, parts),
        ...refusedItems(seen, parts),
        ...manyItem(expected.endpoint, seen, trace, parts),
      ];
    }),
};

function rangeItem(
  model: Model,
  expected: ExpectedEndpoint,
  { steps }: UserspaceObservation,
  parts: Driven['parts'],
): Item[] {
  const input = model.viommus.find(({ id }) => id === expected.viommu)?.inputRange;
  const ranges = steps.flatMap(({ name, numbers }): Range[] => {
    const [start, end] = [numbers.get('start'), numbers.get('end')];
    return name === 'range' && start !== undefined && end !== undefined ? [{ start, end }] : [];
  });
  if (input === undefined || ranges.length === 0) return [];
  const regions = expectedRegions(model, [expected.endpoint]).map(({ range }) => range);
  const wanted = without(input, regions).map(showRange).join(', ');
  const has = ranges.map(showRange).join(', ');
  return [judged(has === wanted, { ...parts, expected: `ranges ${wanted}`, seen: has })];
}

/** A range without others, in order. */
function without(whole: Range, holes: readonly Range[]): Range[] {
  const out: Range[] = [];
  let { start } = whole;
  const sorted = holes.toSorted((a, b) => (a.start < b.start ? -1 : 1));
  for (const hole of sorted) {
    if (hole.end < start || hole.start > whole.end) continue;
    if (hole.start > start) out.push({ start, end: hole.start - 1n });
    start = hole.end + 1n;
  }
  return start > whole.end ? out : [...out, { start, end: whole.end }];
}

const ANSWERS: readonly (readonly [string, string])[] = [
  ['refused-unaligned', 'EINVAL'],
  ['refused-overlap', 'EEXIST'],
  ['refused-beyond', 'EINVAL'],
  ['refused-reserved', 'EINVAL'],
];

function refusedItems(seen: UserspaceObservation, parts: Driven['parts']): Item[] {
  return ANSWERS.flatMap(([name, answer]): Item[] => {
    const step = stepOf(seen, name);
    if (step === undefined) return [];
    const is = showErrno(step.errno);
    const what = `${name.slice('refused-'.length)} (${showRange(rangeOf(step))})`;
    return [judged(is === answer, { ...parts, expected: `${what}: ${answer}`, seen: is })];
  });
}

function manyItem(
  { passthrough }: Endpoint,
  seen: UserspaceObservation,
  trace: TraceRecord | undefined,
  parts: Driven['parts'],
): Item[] {
  const step = stepOf(seen, 'many');
  if (step === undefined || passthrough === undefined) return [];
  const [asked = 0n, made = 0n, reached = 0n] = ['asked', 'made', 'reached'].map((name) =>
    step.numbers.get(name),
  );
  const range = rangeOf(step);
  const refused = (trace?.events ?? []).filter(
    (event) => event.kind === 'map' && (event.status ?? 0) !== 0 && overlaps(event.virt, range),
  );
  const told = step.errno !== 0;
  const lost = made - reached;
  // Once there is room again, there is room.
  const again = stepOf(seen, 'many-again');
  const recovered = again?.errno === 0 && again.numbers.get('reached') === 1n;
  const right = told ? lost === 0n : lost > 0n && lost === BigInt(refused.length);
  return [
    judged(right && reached <= BigInt(passthrough.mappings) && recovered, {
      ...parts,
      expected: `of ${asked} mappings, those above the host's ${passthrough.mappings} refused`,
      seen: told
        ? `${made} made, then ${showErrno(step.errno)}`
        : `${made} made and ${reached} of them there; this kernel does not hear of the ${refused.length} refused`,
      evidence: few(refused, (event) => ({ source: 'device', text: event.text ?? 'map' }), 2),
    }),
  ];
}
