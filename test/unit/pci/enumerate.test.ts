import { describe, expect, test } from 'vitest';
import { pciePciBridge, RootPort } from '../../../src/pci/index.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSIX,
  PCI_COMMAND,
  PCI_COMMAND_MEMORY,
  PCI_EXP_FLAGS,
} from '../../../src/spec/pci-config.ts';
import { host, memory, sample } from './fixture.ts';
import { PciGuest } from './guest.ts';

type Name = 'alone' | 'first' | 'second' | 'below' | 'conventional';

/** Root bus: 02.0 alone, 03.0 and 03.1, a port at 01.0 with a function, a bridge at 04.0 with another. */
function machine(): { guest: PciGuest; at: Record<Name, ReturnType<typeof sample>> } {
  const { dma } = memory();
  const bus = host();
  const at = {
    alone: sample(dma),
    first: sample(dma),
    second: sample(dma),
    below: sample(dma),
    conventional: sample(dma, { express: false }),
  };
  const port = new RootPort({ name: 'port', dma });
  port.install(at.below.fn);
  const bridge = pciePciBridge({ name: 'bridge', dma });
  bridge.secondary.plug(5 << 3, at.conventional.fn);
  bus.root.plug(3 << 3, at.first.fn);
  bus.root.plug((3 << 3) | 1, at.second.fn);
  bus.root.plug(2 << 3, at.alone.fn);
  bus.root.plug(1 << 3, port);
  bus.root.plug(4 << 3, bridge);
  return { guest: new PciGuest(bus, 0x1000_0000), at };
}

describe('scanning', () => {
  test('finds each function once, and behind bridges with the numbers they were given', () => {
    const { guest } = machine();
    expect(guest.scan(0)).toEqual([0x0008, 0x0100, 0x0010, 0x0018, 0x0019, 0x0020, 0x0228]);
  });

  test('an absent function reads as ones at every width and keeps nothing', () => {
    const { guest } = machine();
    guest.write(0x0050, 4, 2, 6);
    expect(guest.read(0x0050, 0, 4)).toBe(0xffff_ffff);
    expect(guest.read(0x0050, 4, 2)).toBe(0xffff);
    expect(guest.read(0x0050, 9, 1)).toBe(0xff);
    // Below a bridge that has no number yet, and past the end of the host's buses.
    expect(guest.read(0x0100, 0, 4)).toBe(0xffff_ffff);
    expect(guest.host.ecamRead(guest.host.ecamSize, 4)).toBe(0xffff_ffff);
  });

  test('a function keeps its requester ID with its bus', () => {
    const { guest, at } = machine();
    expect(at.below.fn.requesterId).toBe(0x0000);
    guest.scan(0);
    expect(at.below.fn.requesterId).toBe(0x0100);
    expect(at.conventional.fn.requesterId).toBe(0x0228);
    expect(guest.host.find(0x0228)).toBe(at.conventional.fn);
    // What arrives at the root complex: a bridge to conventional PCI speaks for all behind it.
    expect([at.alone, at.below, at.conventional].map(({ fn }) => fn.sourceId)).toEqual([
      0x0010, 0x0100, 0x0200,
    ]);
  });

  test('a host whose first bus is not 0 has its configuration space from there on', () => {
    const { dma } = memory();
    const bus = host(undefined, { start: 16, end: 31 });
    bus.root.plug(0, sample(dma).fn);
    const guest = new PciGuest(bus, 0x1000_0000);
    expect(guest.scan(16)).toEqual([0x1000]);
    expect(bus.ecamRead(0, 4)).toBe(0x5678_1234);
    expect(bus.configRead(0x1000, 2, 2)).toBe(0x5678);
    expect(bus.configRead(0, 2, 2)).toBe(0xffff);
  });

  test('an endpoint says whether it is on the root complex or behind a port', () => {
    const { guest } = machine();
    guest.scan(0);
    const type = (rid: number): number => {
      const at = guest.capability(rid, PCI_CAP_ID_EXP);
      return (guest.read(rid, at + PCI_EXP_FLAGS, 2) >> 4) & 0xf;
    };
    expect([type(0x0010), type(0x0100), type(0x0008), type(0x0020)]).toEqual([9, 0, 4, 7]);
  });

  test('a conventional function has 256 bytes: ones beyond, where extended capabilities would be', () => {
    const { guest } = machine();
    guest.scan(0);
    expect(guest.read(0x0228, 0x100, 4)).toBe(0xffff_ffff);
    expect(guest.read(0x0010, 0x100, 4)).toBe(0);
  });
});

describe('BARs', () => {
  test('sizes are what Linux computes from the ones it writes', () => {
    const { guest } = machine();
    expect(guest.sizeBars(0x0010)).toEqual([
      { index: 0, wide: false, size: 0x100 },
      { index: 1, wide: false, size: 0x1000 },
      { index: 4, wide: true, size: 0x4000 },
    ]);
  });

  test('memory answers where the BAR was put, and only while decoding is on', () => {
    const { guest, at } = machine();
    const bus = guest.host;
    const bars = guest.assign(0x0010);
    const base = bars.get(4) ?? 0;
    bus.write(base + 0x10, 4, 0xdead_beef);
    expect(at.alone.large.read(0x10, 4)).toBe(0xdead_beef);
    expect(bus.read(base + 0x12, 2)).toBe(0xdead);
    expect(bus.read(base + 0x3fff, 1)).toBe(0);
    expect(bus.read(base + 0x4000, 4)).toBe(0xffff_ffff);
    guest.write(0x0010, PCI_COMMAND, 2, 0);
    bus.write(base + 0x10, 4, 0);
    expect(bus.read(base + 0x10, 4)).toBe(0xffff_ffff);
    guest.write(0x0010, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    expect(bus.read(base + 0x10, 4)).toBe(0xdead_beef);
  });

  test('a 64-bit BAR answers above 4 GiB', () => {
    const { guest, at } = machine();
    guest.assign(0x0010);
    guest.write(0x0010, PCI_BASE_ADDRESS_0 + 16, 4, 0x1234_4000);
    guest.write(0x0010, PCI_BASE_ADDRESS_0 + 20, 4, 0x80);
    guest.host.write(0x80_1234_4004, 1, 0x77);
    expect(at.alone.large.bytes[4]).toBe(0x77);
  });

  test('type bits and bits below the size cannot be written', () => {
    const { guest } = machine();
    guest.write(0x0010, PCI_BASE_ADDRESS_0, 4, 0x1000_00ff);
    guest.write(0x0010, PCI_BASE_ADDRESS_0 + 16, 4, 0xffff_ffff);
    expect(guest.read(0x0010, PCI_BASE_ADDRESS_0, 4)).toBe(0x1000_0000);
    expect(guest.read(0x0010, PCI_BASE_ADDRESS_0 + 16, 4)).toBe(0xffff_c00c);
  });

  test('outside the windows of the host no BAR answers', () => {
    const { guest, at } = machine();
    guest.assign(0x0010);
    guest.write(0x0010, PCI_BASE_ADDRESS_0, 4, 0x4000_0000);
    guest.host.write(0x4000_0000, 4, 1);
    expect(at.alone.small.read(0, 4)).toBe(0);
  });

  test('of two BARs in one place the first function answers, the other around it', () => {
    const { guest, at } = machine();
    guest.assign(0x0010);
    guest.assign(0x0018);
    guest.write(0x0018, PCI_BASE_ADDRESS_0 + 16, 4, 0x2000_0000);
    guest.write(0x0010, PCI_BASE_ADDRESS_0, 4, 0x2000_0100);
    at.first.large.bytes.fill(0xaa);
    at.alone.small.bytes.fill(0xbb);
    const bytes = [0x2000_00ff, 0x2000_0100, 0x2000_01ff, 0x2000_0200];
    expect(bytes.map((address) => guest.host.read(address, 1))).toEqual([0xaa, 0xbb, 0xbb, 0xaa]);
    // A load over the edge is nobody's.
    expect(guest.host.read(0x2000_00fe, 4)).toBe(0xffff_ffff);
  });
});

describe('bridges', () => {
  test('forward only their window', () => {
    const { guest, at } = machine();
    guest.scan(0);
    const bars = guest.assign(0x0100);
    const base = bars.get(0) ?? 0;
    expect(guest.host.read(base, 4)).toBe(0xffff_ffff);
    guest.openWindow(0x0008, 0x1000_0000, 0x100f_ffff);
    at.below.small.write(0, 4, 0x0102_0304);
    expect(guest.host.read(base, 4)).toBe(0x0102_0304);
    guest.write(0x0100, PCI_BASE_ADDRESS_0, 4, 0x1010_0000);
    expect(guest.host.read(0x1010_0000, 4)).toBe(0xffff_ffff);
  });

  test('forward a prefetchable window above 4 GiB', () => {
    const { guest, at } = machine();
    guest.scan(0);
    guest.assign(0x0100);
    guest.openWindow(0x0008, 0x1000_0000, 0x100f_ffff);
    guest.write(0x0100, PCI_BASE_ADDRESS_0 + 16, 4, 0);
    guest.write(0x0100, PCI_BASE_ADDRESS_0 + 20, 4, 0x90);
    at.below.large.bytes[0] = 0x5a;
    expect(guest.host.read(0x90_0000_0000, 1)).toBe(0xff);
    for (const at32 of [0x28, 0x2c]) guest.write(0x0008, at32, 4, 0x90);
    for (const at16 of [0x24, 0x26]) guest.write(0x0008, at16, 2, 0);
    expect(guest.read(0x0008, 0x24, 2)).toBe(1);
    expect(guest.host.read(0x90_0000_0000, 1)).toBe(0x5a);
  });

  test('have no I/O window: base and limit stay 0, as Linux tests', () => {
    const { guest } = machine();
    guest.write(0x0008, 0x1c, 2, 0xe0f0);
    expect(guest.read(0x0008, 0x1c, 2)).toBe(0);
  });

  test('reset what is below when the secondary bus is reset', () => {
    const { guest } = machine();
    guest.scan(0);
    guest.assign(0x0100);
    expect(guest.read(0x0100, PCI_COMMAND, 2)).toBe(6);
    guest.write(0x0008, 0x3e, 2, 0x40);
    guest.write(0x0008, 0x3e, 2, 0);
    expect(guest.read(0x0100, PCI_COMMAND, 2)).toBe(0);
    expect(guest.read(0x0008, 0x19, 1)).toBe(1);
  });
});

describe('capabilities', () => {
  test('are found one after the other', () => {
    const { guest } = machine();
    const ids = guest.capabilities(0x0010).map(({ id }) => id);
    expect(ids).toEqual([PCI_CAP_ID_MSIX, PCI_CAP_ID_EXP]);
  });

  test('a function level reset gives power-on state and clears itself', () => {
    const { guest, at } = machine();
    guest.assign(0x0010);
    const express = guest.capability(0x0010, PCI_CAP_ID_EXP);
    expect(guest.read(0x0010, express + 4, 4) & 0x1000_0000).not.toBe(0);
    guest.write(0x0010, express + 8, 2, 0x8000);
    expect(guest.read(0x0010, express + 8, 2) & 0x8000).toBe(0);
    expect(guest.read(0x0010, PCI_COMMAND, 2)).toBe(0);
    expect(guest.read(0x0010, PCI_BASE_ADDRESS_0, 4)).toBe(0);
    expect(at.alone.fn.requesterId).toBe(0x0010);
    expect((guest.read(0x0010, express + PCI_EXP_FLAGS, 2) >> 4) & 0xf).toBe(9);
  });
});
