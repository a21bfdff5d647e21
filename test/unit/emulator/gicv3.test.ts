import { beforeEach, describe, expect, test } from 'vitest';

import { Gicv3, Its } from '../../../src/emulator/index.ts';
import { GuestMemory } from '../../../src/memory/index.ts';
import * as spec from '../../../src/spec/gicv3.ts';

const RAM = 0x4000_0000n;
const QUEUE = 0x1_0000;
const CONFIGURATION = 0x2_0000;
const LPI = spec.GIC_LPI_FIRST;
const SPURIOUS = 1023;
const DEVICE = 0x10;

let ram: Uint8Array;
let irq: boolean;
let gic: Gicv3;
let its: Its;
let written = 0;

const control = (): ReturnType<Its['region']> => its.region(0);
const redistributor = (): ReturnType<Gicv3['regions']>[number] => {
  const [, region] = gic.regions(0, 0x10_0000);
  if (region === undefined) throw new Error('no redistributor');
  return region;
};

/** A command of four 64-bit words, done at once. */
function command(...words: bigint[]): void {
  const data = new DataView(ram.buffer);
  for (let n = 0; n < 4; n++) data.setBigUint64(QUEUE + written + 8 * n, words[n] ?? 0n, true);
  written = (written + 32) % 4096;
  control().write(spec.GITS_CWRITER, 4, written);
}

const mapDevice = (device: number, bits: number, valid = true): void =>
  command((BigInt(device) << 32n) | 0x08n, BigInt(bits - 1), valid ? 1n << 63n : 0n);
const mapEvent = (device: number, event: number, lpi: number): void =>
  command((BigInt(device) << 32n) | 0x0an, (BigInt(lpi) << 32n) | BigInt(event), 0n);

/** Enabled or not, and a priority: what a guest writes into its table. */
function configure(lpi: number, priority: number, enabled: boolean): void {
  ram[CONFIGURATION + lpi - LPI] = priority | (enabled ? 1 : 0);
}

beforeEach(() => {
  ram = new Uint8Array(0x4_0000);
  written = 0;
  const memory = new GuestMemory([{ gpa: RAM, bytes: ram }]);
  gic = new Gicv3((level) => void (irq = level), memory);
  irq = false;
  its = new Its(gic, memory);
  const [distributor] = gic.regions(0, 0x10_0000);
  distributor?.write(0, 4, 0x13);
  gic.writeSystem(spec.ICC_PMR_EL1, 0xf0);
  gic.writeSystem(spec.ICC_IGRPEN1_EL1, 1);
  redistributor().write(spec.GICR_PROPBASER, 4, Number(RAM) + CONFIGURATION + 15);
  redistributor().write(spec.GICR_CTLR, 4, 1);
  control().write(spec.GITS_CBASER, 4, Number(RAM) + QUEUE);
  control().write(spec.GITS_CBASER + 4, 4, 0x8000_0000);
  control().write(spec.GITS_CTLR, 4, 1);
});

describe('a message at an ITS', () => {
  test('becomes the LPI that it is mapped to, which is taken and ended', () => {
    configure(LPI + 3, 0xa0, true);
    mapDevice(DEVICE, 4);
    mapEvent(DEVICE, 2, LPI + 3);
    expect(its.translate(DEVICE, 2)).toBe(true);
    expect(irq).toBe(true);
    expect(gic.readSystem(spec.ICC_IAR1_EL1)).toBe(LPI + 3);
    expect(irq).toBe(false);
    expect(gic.readSystem(spec.ICC_RPR_EL1)).toBe(0xa0);
    gic.writeSystem(spec.ICC_EOIR1_EL1, LPI + 3);
    expect(gic.readSystem(spec.ICC_RPR_EL1)).toBe(0xff);
    expect(gic.readSystem(spec.ICC_IAR1_EL1)).toBe(SPURIOUS);
  });

  test('is nothing for another device, another event, or while the ITS is off', () => {
    configure(LPI, 0xa0, true);
    mapDevice(DEVICE, 1);
    mapEvent(DEVICE, 0, LPI);
    // Outside of the device's two events.
    mapEvent(DEVICE, 2, LPI);
    expect(its.translate(DEVICE + 1, 0)).toBe(false);
    expect(its.translate(DEVICE, 2)).toBe(false);
    control().write(spec.GITS_CTLR, 4, 0);
    expect(its.translate(DEVICE, 0)).toBe(false);
    expect(irq).toBe(false);
  });

  test('waits while its LPI is not enabled, until an INV after the change', () => {
    configure(LPI, 0xa0, false);
    mapDevice(DEVICE, 1);
    mapEvent(DEVICE, 0, LPI);
    its.translate(DEVICE, 0);
    expect(irq).toBe(false);
    configure(LPI, 0xa0, true);
    command((BigInt(DEVICE) << 32n) | 0x0cn, 0n);
    expect(irq).toBe(true);
    // CLEAR takes it back.
    command((BigInt(DEVICE) << 32n) | 0x04n, 0n);
    expect(irq).toBe(false);
  });

  test('the more urgent of two goes first, whatever kind it is', () => {
    configure(LPI, 0x80, true);
    configure(LPI + 1, 0x40, true);
    gic.enabled[40] = 1;
    gic.priority[40] = 0x60;
    mapDevice(DEVICE, 1);
    for (const event of [0, 1]) {
      mapEvent(DEVICE, event, LPI + event);
      its.translate(DEVICE, event);
    }
    gic.setLine(8, true);
    const taken = [];
    for (let n = 0; n < 3; n++) {
      const id = gic.readSystem(spec.ICC_IAR1_EL1) ?? 0;
      taken.push(id);
      gic.setLine(8, id !== 40 && taken.length < 2);
      gic.writeSystem(spec.ICC_EOIR1_EL1, id);
    }
    expect(taken).toEqual([LPI + 1, 40, LPI]);
  });

  test('DISCARD and an invalid MAPD end the translation', () => {
    mapDevice(DEVICE, 2);
    mapEvent(DEVICE, 0, LPI);
    mapEvent(DEVICE, 1, LPI + 1);
    command((BigInt(DEVICE) << 32n) | 0x0fn, 0n);
    expect([its.translate(DEVICE, 0), its.translate(DEVICE, 1)]).toEqual([false, true]);
    mapDevice(DEVICE, 2, false);
    expect(its.translate(DEVICE, 1)).toBe(false);
  });
});

describe('what a guest can ask for', () => {
  test('numbers that are no LPIs, and tables outside of RAM, do nothing', () => {
    mapDevice(DEVICE, 4);
    mapEvent(DEVICE, 0, 40);
    mapEvent(DEVICE, 1, 0xffff_ffff);
    expect([its.translate(DEVICE, 0), its.translate(DEVICE, 1)]).toEqual([false, false]);
    mapEvent(DEVICE, 2, LPI);
    redistributor().write(spec.GICR_PROPBASER, 4, 0x1000_000f);
    expect(its.translate(DEVICE, 2)).toBe(true);
    expect(irq).toBe(false);
  });

  test('a queue outside of RAM, and a write pointer outside of the queue, end', () => {
    control().write(spec.GITS_CBASER, 4, 0x1000_00ff);
    control().write(spec.GITS_CWRITER, 4, 0xf_ffe0);
    expect(control().read(spec.GITS_CREADR, 4)).toBe(0xf_ffe0);
    control().write(spec.GITS_CBASER, 4, Number(RAM) + QUEUE);
    control().write(spec.GITS_CWRITER, 4, 0x2000);
    expect(control().read(spec.GITS_CREADR, 4)).toBe(0);
  });

  test('devices without end: the last ones are not kept', () => {
    for (let device = 0; device < 5000; device++) mapDevice(device, 1);
    for (let device = 0; device < 5000; device++) mapEvent(device, 0, LPI);
    const known = Array.from({ length: 5000 }, (_, device) => its.translate(device, 0));
    expect(known.filter(Boolean)).toHaveLength(4096);
  });

  test('type and entry size of a table cannot be written', () => {
    const region = control();
    region.write(spec.GITS_BASER + 4, 4, 0xffff_ffff);
    expect((region.read(spec.GITS_BASER + 4, 4) >>> 24) & 7).toBe(1);
    region.write(spec.GITS_BASER + 0x10, 4, 0xffff_ffff);
    expect(region.read(spec.GITS_BASER + 0x10, 4)).toBe(0);
  });
});

test('saved and restored, it goes on where it was', () => {
  configure(LPI, 0xa0, true);
  mapDevice(DEVICE, 1);
  mapEvent(DEVICE, 0, LPI);
  its.translate(DEVICE, 0);
  const saved = structuredClone({ gic: gic.saveV3(), its: its.save() });
  expect(gic.readSystem(spec.ICC_IAR1_EL1)).toBe(LPI);
  mapDevice(DEVICE, 1, false);
  gic.restoreV3(saved.gic);
  its.restore(saved.its);
  expect(irq).toBe(true);
  expect(gic.readSystem(spec.ICC_IAR1_EL1)).toBe(LPI);
  expect(its.translate(DEVICE, 0)).toBe(true);
});

test('a full queue of commands is looked at once: a guest must not make one store take minutes', () => {
  const pending = new Set<number>();
  let looks = 0;
  const sink = {
    setLpi: (id: number, is: boolean): void => void (is ? pending.add(id) : pending.delete(id)),
    update: (): void => void looks++,
  };
  its = new Its(sink, new GuestMemory([{ gpa: RAM, bytes: ram }]));
  control().write(spec.GITS_CBASER, 4, Number(RAM) + QUEUE);
  control().write(spec.GITS_CBASER + 4, 4, 0x8000_0000);
  control().write(spec.GITS_CTLR, 4, 1);
  mapDevice(DEVICE, 8);
  for (let event = 0; event < 100; event++) mapEvent(DEVICE, event, LPI + event);
  const data = new DataView(ram.buffer);
  for (let event = 0; event < 100; event++) {
    const at = QUEUE + ((written + 32 * event) % 4096);
    data.setBigUint64(at, (BigInt(DEVICE) << 32n) | BigInt(spec.GITS_CMD_INT), true);
    data.setBigUint64(at + 8, BigInt(event), true);
  }
  looks = 0;
  written = (written + 32 * 100) % 4096;
  control().write(spec.GITS_CWRITER, 4, written);
  expect({ looks, pending: pending.size }).toEqual({ looks: 1, pending: 100 });
});

test('a table of LPIs that ends past RAM: those of the part beyond are off', () => {
  redistributor().write(spec.GICR_PROPBASER, 4, Number(RAM) + 0x3_f000 + 15);
  ram[0x3_ffff] = 0xa1;
  mapDevice(DEVICE, 2);
  mapEvent(DEVICE, 0, LPI + 0xfff);
  mapEvent(DEVICE, 1, LPI + 0x1000);
  expect(its.translate(DEVICE, 1)).toBe(true);
  expect(irq).toBe(false);
  expect(its.translate(DEVICE, 0)).toBe(true);
  expect(gic.readSystem(spec.ICC_IAR1_EL1)).toBe(LPI + 0xfff);
});
