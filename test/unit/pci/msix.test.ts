import { describe, expect, test } from 'vitest';
import { PciFunction, type MsiMessage } from '../../../src/pci/index.ts';
import {
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CLASS_SP_OTHER,
} from '../../../src/spec/pci-config.ts';
import { DOORBELL, host, memory, sample, type Message } from './fixture.ts';
import { PciGuest } from './guest.ts';

const RID = 0x0010;

interface Setup {
  readonly guest: PciGuest;
  readonly fn: PciFunction;
  readonly table: number;
  readonly control: number;
  readonly messages: Message[];
  readonly told: MsiMessage[];
}

function setup(): Setup {
  const { dma, messages } = memory();
  const bus = host();
  const { fn } = sample(dma);
  const told: MsiMessage[] = [];
  fn.onMessage = (message) => void told.push(message);
  bus.root.plug(RID, fn);
  const guest = new PciGuest(bus, 0x1000_0000);
  const table = guest.assign(RID).get(1) ?? 0;
  const control = guest.capability(RID, PCI_CAP_ID_MSIX) + 2;
  return { guest, fn, table, control, messages, told };
}

/** msix_setup: all masked, entries written, then unmasked and the function mask lifted. */
function program({ guest, table, control }: Setup): void {
  guest.write(RID, control, 2, 0xc000);
  for (let vector = 0; vector < 3; vector++) {
    guest.host.write(table + 16 * vector, 4, DOORBELL);
    guest.host.write(table + 16 * vector + 4, 4, 0);
    guest.host.write(table + 16 * vector + 8, 4, 80 + vector);
    guest.host.write(table + 16 * vector + 12, 4, 0);
  }
  guest.write(RID, control, 2, 0x8000);
}

describe('MSI-X', () => {
  test('a capability says how many vectors, and where table and pending bits are', () => {
    const { guest, control } = setup();
    expect(guest.read(RID, control, 2)).toBe(2);
    expect(guest.read(RID, control + 2, 4)).toBe(0x001);
    expect(guest.read(RID, control + 6, 4)).toBe(0x801);
    guest.write(RID, control, 2, 0xffff);
    expect(guest.read(RID, control, 2)).toBe(0xc002);
  });

  test('entries are masked at power-on', () => {
    const { guest, table } = setup();
    expect(Array.from({ length: 13 }, (_, i) => guest.host.read(table + 4 * i, 4))).toEqual([
      0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0,
    ]);
  });

  test('a vector that was set up sends its data to its address', () => {
    const it = setup();
    program(it);
    it.fn.message(1);
    it.fn.message(3);
    expect(it.messages).toEqual([{ address: DOORBELL, value: 81 }]);
    expect(it.told).toEqual([{ vector: 1, address: BigInt(DOORBELL), data: 81, delivered: true }]);
  });

  test('what is masked waits in a pending bit, once', () => {
    const it = setup();
    const { guest, table, fn } = it;
    program(it);
    guest.host.write(table + 12, 4, 1);
    fn.message(0);
    fn.message(0);
    fn.message(2);
    expect(it.messages.map(({ value }) => value)).toEqual([82]);
    expect(guest.host.read(table + 0x800, 4)).toBe(1);
    guest.host.write(table + 12, 4, 0);
    expect(it.messages.map(({ value }) => value)).toEqual([82, 80]);
    expect(guest.host.read(table + 0x800, 4)).toBe(0);
  });

  test('the function mask holds all, and lets all go', () => {
    const it = setup();
    program(it);
    it.guest.write(RID, it.control, 2, 0xc000);
    for (const vector of [2, 0]) it.fn.message(vector);
    expect(it.guest.host.read(it.table + 0x800, 1)).toBe(0b101);
    expect(it.messages).toEqual([]);
    it.guest.write(RID, it.control, 2, 0x8000);
    expect(it.messages.map(({ value }) => value)).toEqual([80, 82]);
  });

  test('while it is off nothing is sent or kept', () => {
    const it = setup();
    program(it);
    it.guest.write(RID, it.control, 2, 0);
    it.fn.message(0);
    it.guest.write(RID, it.control, 2, 0x8000);
    expect(it.messages).toEqual([]);
  });

  test('pending bits cannot be written, nor reserved bits of an entry', () => {
    const it = setup();
    it.guest.host.write(it.table + 0x800, 4, 0xffff_ffff);
    it.guest.host.write(it.table, 4, 0xffff_ffff);
    it.guest.host.write(it.table + 12, 4, 0xffff_fffe);
    expect([0x800, 0, 12].map((at) => it.guest.host.read(it.table + at, 4))).toEqual([
      0, 0xffff_fffc, 0,
    ]);
  });

  test('an entry can be unmasked by its byte, and by a store over two entries', () => {
    const it = setup();
    program(it);
    it.guest.host.write(it.table + 12, 1, 1);
    it.fn.message(0);
    it.guest.host.write(it.table + 12, 1, 0);
    expect(it.messages.map(({ value }) => value)).toEqual([80]);
    it.guest.host.write(it.table + 28, 4, 1);
    it.fn.message(1);
    it.guest.host.write(it.table + 26, 4, 0);
    expect(it.messages.map(({ value }) => value)).toEqual([80, 81]);
  });

  test('a message that nobody takes is told as not delivered', () => {
    const it = setup();
    program(it);
    it.guest.host.write(it.table, 4, 0x0900_0000);
    it.fn.message(0);
    it.guest.write(RID, 4, 2, 2);
    it.fn.message(1);
    expect(it.told.map(({ vector, delivered }) => [vector, delivered])).toEqual([
      [0, false],
      [1, false],
    ]);
  });

  test('a message may go to memory', () => {
    const { dma, ram } = memory();
    const bus = host();
    const { fn } = sample(dma);
    bus.root.plug(RID, fn);
    const guest = new PciGuest(bus, 0x1000_0000);
    const table = guest.assign(RID).get(1) ?? 0;
    guest.write(RID, guest.capability(RID, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
    guest.host.write(table, 4, 0x4000_0100);
    guest.host.write(table + 8, 4, 0x0403_0201);
    guest.host.write(table + 12, 4, 0);
    fn.message(0);
    expect([...ram.subarray(0x100, 0x104)]).toEqual([1, 2, 3, 4]);
  });

  test('2048 vectors have their table and pending bits in one BAR', () => {
    const { dma } = memory();
    const { fn } = sample(dma, { msix: { vectors: 2048, bar: 1 } });
    expect([fn.msix?.barSize, fn.msix?.pbaOffset]).toEqual([0x1_0000, 0x8000]);
    expect(() => sample(dma, { msix: { vectors: 2049, bar: 1 } })).toThrow(RangeError);
  });
});

test('MSI sends its one message while it is on', () => {
  const { dma, messages } = memory();
  const bus = host();
  const fn = new PciFunction({
    name: 'msi',
    vendorId: 0x1234,
    deviceId: 0x11e8,
    classCode: PCI_CLASS_SP_OTHER,
    msi: true,
    dma,
  });
  bus.root.plug(RID, fn);
  const guest = new PciGuest(bus, 0x1000_0000);
  const at = guest.capability(RID, PCI_CAP_ID_MSI);
  expect(guest.read(RID, at + 2, 2)).toBe(0x80);
  guest.write(RID, 4, 2, 4);
  guest.write(RID, at + 4, 4, DOORBELL);
  guest.write(RID, at + 12, 2, 0x1_0051);
  fn.message(0);
  guest.write(RID, at + 2, 2, 1);
  fn.message(0);
  expect(messages).toEqual([{ address: DOORBELL, value: 0x51 }]);
});

describe('INTx', () => {
  test('lines turn with the device number, at each bridge again, and are shared', () => {
    const seen: string[] = [];
    const { dma } = memory();
    const bus = host((line, level) => void seen.push(`${line}${level ? '+' : '-'}`));
    const one = sample(dma).fn;
    const other = sample(dma, { interruptPin: 2 }).fn;
    bus.root.plug(1 << 3, one);
    bus.root.plug(4 << 3, other);
    one.setIntx(true);
    other.setIntx(true);
    one.setIntx(false);
    other.setIntx(false);
    // 1 + INTA# and 4 + INTB# are both line 1.
    expect(seen).toEqual(['1+', '1-']);
  });

  test('Interrupt Disable, MSI-X and removal take the line down; status tells all the same', () => {
    const lines: boolean[] = [];
    const { dma } = memory();
    const bus = host((_, level) => void lines.push(level));
    const { fn } = sample(dma);
    bus.root.plug(RID, fn);
    const guest = new PciGuest(bus, 0x1000_0000);
    fn.setIntx(true);
    expect(guest.read(RID, 6, 2) & 8).toBe(8);
    guest.write(RID, 4, 2, 0x400);
    expect(guest.read(RID, 6, 2) & 8).toBe(8);
    guest.write(RID, 4, 2, 0);
    const control = guest.capability(RID, PCI_CAP_ID_MSIX) + 2;
    guest.write(RID, control, 2, 0x8000);
    guest.write(RID, control, 2, 0);
    bus.root.unplug(RID);
    expect(lines).toEqual([true, false, true, false, true, false]);
  });
});
