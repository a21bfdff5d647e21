import type { Fields } from './fields.ts';
import type { GuestGroup, GuestInventory, GuestIommu, GuestPciFunction } from './report-types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

/** More devices than this are not the guest we started. */
const ENTRIES_MAX = 100_000;

/** Puts the lines of one `inventory` action together. */
export class InventoryBuilder {
  readonly #result: Mutable<GuestInventory>;
  readonly #iommus = new Map<string, Mutable<GuestIommu>>();
  readonly #groups = new Map<number, Mutable<GuestGroup>>();
  readonly #pci = new Map<string, Mutable<GuestPciFunction>>();
  #entries = 0;

  constructor(number: number) {
    this.#result = {
      number,
      iommus: [],
      groups: [],
      pci: [],
      platform: [],
      virtio: [],
      blocks: [],
      nets: [],
      deferred: [],
    };
  }

  get result(): GuestInventory {
    return this.#result;
  }

  /** Whether the line belongs to an inventory. */
  add(kind: string, fields: Fields): boolean {
    const handler = this.#handlers[kind];
    if (handler === undefined) return false;
    if (++this.#entries <= ENTRIES_MAX) handler(fields);
    return true;
  }

  readonly #handlers: Readonly<Record<string, (fields: Fields) => void>> = {
    iommu: (fields) => {
      const { text } = reader(fields);
      const iommu = { name: text('name'), at: text('at'), path: text('path'), devices: [] };
      this.#iommus.set(iommu.name, iommu);
      this.#result.iommus.push(iommu);
    },
    iommudev: (fields) => {
      this.#iommus.get(fields.text('iommu'))?.devices.push(fields.text('device'));
    },
    group: (fields) => {
      const id = fields.integer('id');
      if (id === undefined) return;
      const group = { id, type: fields.text('type'), devices: [], reserved: [] };
      this.#groups.set(id, group);
      this.#result.groups.push(group);
    },
    groupdev: (fields) => {
      this.#groups.get(fields.integer('id') ?? -1)?.devices.push(fields.text('device'));
    },
    resv: (fields) => {
      const start = fields.wide('start');
      const end = fields.wide('end');
      if (start === undefined || end === undefined) return;
      const region = { start, end, type: fields.text('type') };
      this.#groups.get(fields.integer('id') ?? -1)?.reserved.push(region);
    },
    pci: (fields) => {
      const device = {
        at: fields.text('at'),
        vendor: fields.count('vendor'),
        device: fields.count('device'),
        class: fields.count('class'),
        ...placement(fields),
        bars: [],
        msi: interrupts(fields.text('msi')),
        interruptsTaken: fields.integer('taken'),
      };
      this.#pci.set(device.at, device);
      this.#result.pci.push(device);
    },
    bar: (fields) => {
      const start = fields.wide('start');
      const end = fields.wide('end');
      if (start === undefined || end === undefined) return;
      const bar = { index: fields.count('index'), start, end, flags: fields.wide('flags') ?? 0n };
      this.#pci.get(fields.text('at'))?.bars.push(bar);
    },
    platform: (fields) => {
      const base = fields.wide('base');
      this.#result.platform.push({ at: fields.text('at'), base, ...placement(fields) });
    },
    virtio: (fields) => {
      this.#result.virtio.push({
        name: fields.text('name'),
        at: fields.text('at'),
        device: fields.count('device'),
        driver: fields.optional('driver'),
        features: bits(fields.text('features')),
      });
    },
    block: (fields) => {
      const sectors = fields.wide('sectors') ?? 0n;
      this.#result.blocks.push({ name: fields.text('name'), at: fields.text('at'), sectors });
    },
    net: (fields) => {
      const { text } = reader(fields);
      this.#result.nets.push({ name: text('name'), at: text('at'), mac: text('mac') });
    },
    deferred: (fields) => {
      const { text } = reader(fields);
      this.#result.deferred.push({ device: text('device'), reason: text('reason').trim() });
    },
  };
}

function reader(fields: Fields): { text: (name: string) => string } {
  return { text: (name) => fields.text(name) };
}

function placement(fields: Fields): {
  driver: string | undefined;
  group: number | undefined;
  iommu: string | undefined;
} {
  return {
    driver: fields.optional('driver'),
    group: fields.integer('group'),
    iommu: fields.optional('iommu'),
  };
}

/** `24:msix,25:msix` */
function interrupts(text: string): { irq: number; mode: string }[] {
  const list: { irq: number; mode: string }[] = [];
  for (const item of text.split(',')) {
    const match = /^(\d{1,9}):(\w+)$/u.exec(item);
    if (match !== null) list.push({ irq: Number(match[1]), mode: match[2] ?? '' });
  }
  return list;
}

/** Linux prints virtio features as digits, bit 0 first. */
function bits(text: string): bigint {
  if (!/^[01]{1,128}$/u.test(text)) return 0n;
  return BigInt(`0b${text.split('').toReversed().join('')}`);
}
