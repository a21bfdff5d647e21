import { overlaps, showRange, type Range } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import { VIRT_MMIO_SIZE } from '../../spec/virt-board.ts';
import type { Place } from '../diagnostic.ts';
import type { Model } from '../model.ts';
import { BOARDS } from './boards.ts';
import type { Context } from './context.ts';
import { ADDRESS_OVERLAP, INTERRUPT_CONFLICT, SLOT_CONFLICT } from './problems.ts';

interface Occupant {
  readonly what: string;
  readonly place?: Place;
}

/** Things that cannot be in one place: functions, addresses, interrupts. */
export function checkConflicts(context: Context, model: Model): void {
  checkSlots(context, model);
  checkAddresses(context, model);
  checkInterrupts(context, model);
}

function checkSlots(context: Context, model: Model): void {
  const taken = new Map<number, Occupant>();
  const take = (segment: number, rid: number, what: string, place: Place): void => {
    const key = segment * 0x1_0000 + rid;
    const other = taken.get(key);
    if (other === undefined) {
      taken.set(key, { what, place });
      return;
    }
    const message = `${what} is at ${showBdf(rid, segment)}, where ${other.what} is`;
    context.report(SLOT_CONFLICT, place, message, relatedTo(other));
  };
  for (const { id, transport, place, places } of model.viommus) {
    if (transport.kind === 'pci') {
      take(transport.segment, transport.rid, `the vIOMMU "${id}"`, places['at'] ?? place);
    }
  }
  for (const host of model.hosts) {
    for (const { id, rid, place } of host.bridges) {
      take(host.segment, rid, `the bridge "${id}"`, place);
    }
  }
  for (const { id, location, device, place, places } of model.endpoints) {
    if (location.kind !== 'pci' || location.form !== 'function') continue;
    // Without a device the entry only says who translates that function, be it a bridge.
    const bridge = taken.get(location.segment * 0x1_0000 + location.rids.start);
    if (device === undefined && bridge?.what.startsWith('the bridge')) continue;
    take(location.segment, location.rids.start, `the endpoint "${id}"`, places['at'] ?? place);
  }
}

function checkAddresses(context: Context, model: Model): void {
  const occupied: (Occupant & Range)[] = [];
  const add = (range: Range | undefined, what: string, place?: Place): void => {
    if (range === undefined) return;
    occupied.push({ ...range, what, ...(place === undefined ? {} : { place }) });
  };
  for (const { what, ...range } of BOARDS[model.board].fixed) add(range, what);
  for (const range of model.memory) add(range, 'RAM', context.place('machine', 'memory'));
  add(model.gic?.distributor, 'the GIC distributor', model.gic?.place);
  add(model.gic?.cpuInterface, 'the GIC CPU interface', model.gic?.place);
  for (const { id, frame, kind, place } of model.doorbells) {
    if (kind !== 'x86') add(frame, `the doorbell "${id}"`, place);
  }
  for (const host of model.hosts) {
    add(host.ecam, `the configuration space of "${host.id}"`, host.place);
    add(host.io, `the I/O window of "${host.id}"`, host.place);
    // On x86-64 the hosts share the windows, and the guest's firmware parts them.
    if (model.board === 'q35') continue;
    add(host.mem32, `the 32-bit window of "${host.id}"`, host.place);
    add(host.mem64, `the 64-bit window of "${host.id}"`, host.place);
  }
  for (const { id, transport, place, places } of model.viommus) {
    if (transport.kind !== 'mmio') continue;
    const end = transport.base + VIRT_MMIO_SIZE - 1n;
    add({ start: transport.base, end }, `the vIOMMU "${id}"`, places['mmio'] ?? place);
  }
  for (const { id, location, place, places } of model.endpoints) {
    if (location.kind !== 'platform') continue;
    const end = location.base + location.size - 1n;
    add({ start: location.base, end }, `the endpoint "${id}"`, places['mmio'] ?? place);
  }
  reportOverlaps(context, occupied);
}

/** Sorted by start, each is compared with the one that reaches furthest before it. */
function reportOverlaps(context: Context, occupied: readonly (Occupant & Range)[]): void {
  const sorted = occupied
    .map((item, order) => ({ item, order }))
    .toSorted((a, b) => compare(a.item.start, b.item.start) || a.order - b.order);
  let furthest: (typeof sorted)[number] | undefined;
  for (const current of sorted) {
    if (furthest !== undefined && overlaps(furthest.item, current.item)) {
      // The later one in order of listing is the one to blame: boards come first.
      const [other, self] =
        furthest.order < current.order ? [furthest, current] : [current, furthest];
      const place = self.item.place ?? other.item.place ?? context.place();
      const message =
        `${self.item.what} (${showRange(self.item)}) overlaps ` +
        `${other.item.what} (${showRange(other.item)})`;
      context.report(ADDRESS_OVERLAP, place, message, relatedTo(other.item));
    }
    if (furthest === undefined || current.item.end > furthest.item.end) furthest = current;
  }
}

function compare(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function relatedTo(other: Occupant): { related?: { place: Place; message: string }[] } {
  return other.place === undefined
    ? {}
    : { related: [{ place: other.place, message: `${other.what} is here` }] };
}

function checkInterrupts(context: Context, model: Model): void {
  const taken = new Map<number, Occupant>();
  const take = (spi: number, what: string, place?: Place): void => {
    const other = taken.get(spi);
    const occupant = { what, ...(place === undefined ? {} : { place }) };
    if (other === undefined) taken.set(spi, occupant);
    else if (place !== undefined) {
      const message = `${what} has SPI ${spi}, which ${other.what} has`;
      context.report(INTERRUPT_CONFLICT, place, message, relatedTo(other));
    }
  };
  if (model.arch !== 'arm64') return;
  for (const { what, spis } of BOARDS[model.board].fixed) for (const spi of spis) take(spi, what);
  for (let pin = 0; pin < 4; pin++) take(3 + pin, 'the INTx lines of PCI');
  for (const { id, spis, place } of model.doorbells) {
    for (let i = 0; i < (spis?.count ?? 0); i++)
      take((spis?.base ?? 0) + i, `the frame "${id}"`, place);
  }
  for (const { id, transport, place, places } of model.viommus) {
    if (transport.kind !== 'mmio' || transport.interrupt === 0) continue;
    take(transport.interrupt, `the vIOMMU "${id}"`, places['interrupt'] ?? places['mmio'] ?? place);
  }
  for (const { id, location, place, places } of model.endpoints) {
    if (location.kind !== 'platform' || location.interrupt === undefined) continue;
    take(
      location.interrupt,
      `the endpoint "${id}"`,
      places['interrupt'] ?? places['mmio'] ?? place,
    );
  }
}
