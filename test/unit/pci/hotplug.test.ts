import { describe, expect, test } from 'vitest';
import { pciePciBridge, RootPort } from '../../../src/pci/index.ts';
import { PCI_CAP_ID_EXP, PCI_CAP_ID_MSIX } from '../../../src/spec/pci-config.ts';
import { DOORBELL, host, memory, sample } from './fixture.ts';
import { PciGuest } from './guest.ts';

const PORT = 0x0008;

function setup(): {
  guest: PciGuest;
  port: RootPort;
  at: number;
  messages: unknown[];
  lines: boolean[];
} {
  const { dma, messages } = memory();
  const lines: boolean[] = [];
  const bus = host((_, level) => void lines.push(level));
  const port = new RootPort({ name: 'port', dma, slot: 5, hotplug: true });
  bus.root.plug(PORT, port);
  const guest = new PciGuest(bus, 0x1000_0000);
  expect(guest.scan(0)).toEqual([PORT]);
  const at = guest.capability(PORT, PCI_CAP_ID_EXP);
  const table = guest.assign(PORT).get(0) ?? 0;
  guest.host.write(table, 4, DOORBELL);
  guest.host.write(table + 8, 4, 90);
  guest.host.write(table + 12, 4, 0);
  return { guest, port, at, messages, lines };
}

/** pcie_enable_notification: presence, link and the interrupt itself. */
function listen({ guest, at }: ReturnType<typeof setup>, msix: boolean): void {
  if (msix) guest.write(PORT, guest.capability(PORT, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
  guest.write(PORT, at + 0x18, 2, 0x1028);
}

const slotStatus = ({ guest, at }: ReturnType<typeof setup>): number =>
  guest.read(PORT, at + 0x1a, 2);
const linkUp = ({ guest, at }: ReturnType<typeof setup>): boolean =>
  (guest.read(PORT, at + 0x12, 2) & 0x2000) !== 0;

describe('a slot', () => {
  test('says what pciehp asks: hot-plug and surprise, no command completion, its number', () => {
    const { guest, at } = setup();
    expect(guest.read(PORT, at + 2, 2)).toBe(0x142);
    expect(guest.read(PORT, at + 0x14, 4)).toBe((5 << 19) | 0x4_0060);
    // Data link layer state is reported; port number 5.
    expect(guest.read(PORT, at + 0x0c, 4)).toBe(0x0510_0011);
  });

  test('empty: no presence, no link, nobody below', () => {
    const it = setup();
    expect(slotStatus(it)).toBe(0);
    expect(linkUp(it)).toBe(false);
    expect(it.guest.read(0x0100, 0, 4)).toBe(0xffff_ffff);
  });

  test('a function that comes is told by message, found, and works', () => {
    const it = setup();
    listen(it, true);
    const { fn, small } = sample(memory().dma);
    it.port.insert(fn);
    expect(it.messages).toEqual([{ address: DOORBELL, value: 90 }]);
    expect(slotStatus(it)).toBe(0x148);
    expect(linkUp(it)).toBe(true);
    it.guest.write(PORT, it.at + 0x1a, 2, 0x108);
    expect(slotStatus(it)).toBe(0x40);
    expect(it.guest.scan(0)).toEqual([PORT, 0x0100]);
    const base = it.guest.assign(0x0100).get(0) ?? 0;
    it.guest.openWindow(PORT, 0x1000_0000, 0x100f_ffff);
    it.guest.host.write(base, 4, 7);
    expect(small.bytes[0]).toBe(7);
  });

  test('a function that is pulled is gone at once, and its DMA with it', () => {
    const it = setup();
    const { fn } = sample(memory().dma);
    it.port.install(fn);
    expect(slotStatus(it)).toBe(0x40);
    expect(it.messages).toEqual([]);
    listen(it, true);
    it.guest.scan(0);
    it.guest.assign(0x0100);
    expect(fn.dma.readU8(0, 0x4000_0000)).toBe(0);
    expect(it.port.eject()).toEqual([fn]);
    expect(slotStatus(it)).toBe(0x108);
    expect(linkUp(it)).toBe(false);
    expect(it.messages).toHaveLength(1);
    expect(it.guest.read(0x0100, 0, 4)).toBe(0xffff_ffff);
    expect(fn.dma.readU8(0, 0x4000_0000)).toBe(-1);
    expect(it.port.eject()).toEqual([]);
    expect(it.messages).toHaveLength(1);
  });

  test('without MSI-X the line stays up until the events are cleared', () => {
    const it = setup();
    listen(it, false);
    it.port.insert(sample(memory().dma).fn);
    expect(it.lines).toEqual([true]);
    it.guest.write(PORT, it.at + 0x1a, 2, 0x8);
    expect(it.lines).toEqual([true]);
    it.guest.write(PORT, it.at + 0x1a, 2, 0x100);
    expect(it.lines).toEqual([true, false]);
  });

  test('events from before a driver listened are told when it does', () => {
    const it = setup();
    it.port.insert(sample(memory().dma).fn);
    expect(it.messages).toEqual([]);
    listen(it, true);
    expect(it.messages).toHaveLength(1);
  });

  test('presence follows the bus below, however a function came there', () => {
    const it = setup();
    listen(it, true);
    it.port.secondary.plug(0, sample(memory().dma).fn);
    expect([slotStatus(it), linkUp(it)]).toEqual([0x40, true]);
    it.port.secondary.unplug(0);
    expect([slotStatus(it), linkUp(it)]).toEqual([0, false]);
    expect(it.messages).toEqual([]);
  });

  test('presence outlives a reset', () => {
    const it = setup();
    it.port.insert(sample(memory().dma).fn);
    it.guest.host.reset();
    expect(slotStatus(it)).toBe(0x40);
    expect(linkUp(it)).toBe(true);
  });
});

test('a bridge comes and goes with what is below it', () => {
  const it = setup();
  const { dma } = memory();
  const bridge = pciePciBridge({ name: 'bridge', dma });
  const { fn } = sample(dma, { express: false });
  bridge.secondary.plug(0x18, fn);
  it.port.insert(bridge);
  expect(it.guest.scan(0)).toEqual([PORT, 0x0100, 0x0218]);
  it.guest.assign(0x0218);
  expect(fn.dma.readU8(0, 0x4000_0000)).toBe(0);
  fn.setIntx(true);
  expect(it.lines).toEqual([true]);
  it.port.eject();
  expect(it.lines).toEqual([true, false]);
  expect(fn.dma.readU8(0, 0x4000_0000)).toBe(-1);
  expect(fn.requesterId).toBeUndefined();
  it.port.insert(bridge);
  // Without power all was forgotten.
  expect(it.guest.read(0x0100, 0x18, 4)).toBe(0);
  expect(it.guest.scan(0)).toEqual([PORT, 0x0100, 0x0218]);
  expect(fn.requesterId).toBe(0x0218);
  fn.setIntx(true);
  expect(it.lines).toEqual([true, false, true]);
});

test('a place that is taken cannot be taken again', () => {
  const { port } = setup();
  port.install(sample(memory().dma).fn);
  expect(() => port.install(sample(memory().dma).fn)).toThrow(RangeError);
});
