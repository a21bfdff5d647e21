import { describe, expect, it } from 'vitest';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  DirectDma,
  DMA_FAILED,
  GuestMemory,
  piecesOf,
  TranslatedDma,
} from '../../../src/memory/index.ts';
import { PageTranslator } from '../../support/virtio.ts';

const PAGE = 0x1000n;

interface Bench {
  readonly memory: GuestMemory;
  readonly translator: PageTranslator;
  readonly dma: TranslatedDma;
  readonly rung: string[];
}

/** RAM of 16 pages at 0x8000_0000, each filled with its number; one doorbell at 0xfee0_0000. */
function bench(): Bench {
  const ram = new Uint8Array(0x1_0000);
  for (let page = 0; page < 16; page++) ram.fill(page, page * 0x1000, (page + 1) * 0x1000);
  const memory = new GuestMemory([{ gpa: 0x8000_0000n, bytes: ram }]);
  const translator = new PageTranslator();
  const rung: string[] = [];
  const dma = new TranslatedDma(memory, translator, 7, (hi, lo, value) => {
    if (hi !== 0 || lo !== 0xfee0_0000) return false;
    rung.push(value.toString(16));
    return true;
  });
  return { memory, translator, dma, rung };
}

const ram = (page: number): bigint => 0x8000_0000n + BigInt(page) * PAGE;

describe('DMA through a translation', () => {
  it('goes mapping by mapping, wherever each leads', () => {
    const { translator, dma } = bench();
    translator.map(0x5000n, ram(9)).map(0x6000n, ram(2)).map(0x7000n, ram(5));
    const into = new Uint8Array(0x1002);
    expect(dma.read(0, 0x5fff, into)).toBe(0x1002);
    expect([into[0], into[1], into[0x1000], into[0x1001]]).toEqual([9, 2, 2, 5]);
    expect(dma.readU32(0, 0x5ffe)).toBe(0x0202_0909);
    expect(dma.readU16(0, 0x6fff)).toBe(0x0502);
    expect(piecesOf(dma, 0, 0x5800, 0x1800, ACCESS_READ)?.map((p) => [p[0], p.length])).toEqual([
      [9, 0x800],
      [2, 0x1000],
    ]);
  });

  it('keeps translations, until the epoch moves', () => {
    const { translator, dma, memory } = bench();
    translator.map(0x5000n, ram(1));
    for (let i = 0; i < 100; i++) expect(dma.readU8(0, 0x5000 + 8 * i)).toBe(1);
    // Backwards too: what is kept is the whole piece around the first address.
    expect(dma.readU8(0, 0x5000)).toBe(1);
    expect(translator.translations).toBe(1);
    expect([dma.keeps(0, 0x5fff), dma.keeps(0, 0x6000)]).toEqual([true, false]);
    const before = dma.epoch;
    translator.map(0x9000n, ram(2));
    expect(dma.epoch).toBeGreaterThan(before);
    expect(dma.keeps(0, 0x5000)).toBe(false);
    expect(dma.readU8(0, 0x5000)).toBe(1);
    expect([dma.keeps(0, 0x4fff), dma.keeps(0, 0x5000)]).toEqual([false, true]);
    expect(translator.translations).toBe(2);
    memory.forget();
    expect(dma.keeps(0, 0x5000)).toBe(false);
    memory.addWindow({ gpa: 0n, bytes: new Uint8Array(1) });
    expect(dma.readU8(0, 0x5000)).toBe(1);
    expect(translator.translations).toBe(3);
  });

  it('nothing gets through once UNMAP has returned', () => {
    const { translator, dma } = bench();
    translator.map(0x5000n, ram(1));
    expect(dma.writeU8(0, 0x5000, 0xaa)).toBe(true);
    translator.unmap(0x5000n);
    expect(dma.writeU8(0, 0x5000, 0xbb)).toBe(false);
    expect(dma.readU8(0, 0x5000)).toBe(DMA_FAILED);
    expect(translator.faults).toEqual(['7: 2 at 0x5000+1', '7: 1 at 0x5000+1']);
    expect(dma.fault()).toEqual({ address: 0x5000n, access: ACCESS_READ });
  });

  it('a window that goes takes its translations along', () => {
    const { translator, dma, memory } = bench();
    translator.map(0x5000n, ram(1));
    expect(dma.readU8(0, 0x5000)).toBe(1);
    memory.removeWindow(0x8000_0000n);
    expect(dma.readU8(0, 0x5000)).toBe(DMA_FAILED);
    expect(translator.refusals).toEqual(['7: 1 at 0x5000']);
  });

  it('checks each kind of access, kept or not', () => {
    const { translator, dma } = bench();
    translator.map(0x5000n, ram(1), 1n, ACCESS_READ).map(0x6000n, ram(2), 1n, ACCESS_WRITE);
    expect(dma.readU8(0, 0x5000)).toBe(1);
    expect(dma.writeU8(0, 0x5000, 9)).toBe(false);
    expect(dma.writeU8(0, 0x6000, 9)).toBe(true);
    expect(dma.readU8(0, 0x6000)).toBe(DMA_FAILED);
    expect(translator.faults).toEqual(['7: 2 at 0x5000+1', '7: 1 at 0x6000+1']);
  });

  it('stops at the first address that fails, and reports that one', () => {
    const { translator, dma } = bench();
    translator.map(0x5000n, ram(1)).map(0x6000n, ram(2), 1n, ACCESS_READ);
    expect(dma.write(0, 0x5ff0, new Uint8Array(0x40))).toBe(0x10);
    expect(translator.faults).toEqual(['7: 2 at 0x6000+48']);
    expect(dma.fault()).toEqual({ address: 0x6000n, access: ACCESS_WRITE });
  });

  it('one mapping over two windows is two pieces', () => {
    const memory = new GuestMemory([
      { gpa: 0n, bytes: new Uint8Array(0x18).fill(1) },
      { gpa: 0x18n, bytes: new Uint8Array(0x1000).fill(2), writable: false },
    ]);
    const translator = new PageTranslator().map(0x4000n, 0n);
    const dma = new TranslatedDma(memory, translator, 1);
    expect(dma.readU32(0, 0x4016)).toBe(0x0202_0101);
    expect(dma.readU8(0, 0x4000)).toBe(1);
    expect(dma.writeU8(0, 0x4017, 0)).toBe(true);
    // The mapping allows it, the window does not.
    expect(dma.writeU8(0, 0x4018, 0)).toBe(false);
    expect(translator.refusals).toEqual(['1: 2 at 0x4018']);
  });

  it('a mapping may lead across 4 GiB', () => {
    const memory = new GuestMemory([{ gpa: 0x1_0000_0000n, bytes: new Uint8Array(0x800).fill(6) }]);
    const dma = new TranslatedDma(memory, new PageTranslator().map(0x5000n, 0xffff_f800n), 1);
    expect(dma.readU8(0, 0x5800)).toBe(6);
    expect(dma.readU8(0, 0x57ff)).toBe(DMA_FAILED);
    expect(dma.readU8(0, 0x5fff)).toBe(6);
  });

  it('reaches the last byte of the 64-bit space, and not beyond', () => {
    const { translator, dma } = bench();
    translator.map(0xffff_ffff_ffff_f000n, ram(3)).map(0n, ram(4));
    expect(dma.readU8(0xffff_ffff, 0xffff_ffff)).toBe(3);
    expect(dma.readU16(0xffff_ffff, 0xffff_ffff)).toBe(DMA_FAILED);
    expect(translator.faults).toEqual([]);
  });

  it('translates 64-bit differences exactly: identity over everything', () => {
    const memory = new GuestMemory([
      { gpa: 0xffff_ffff_ffff_fff0n, bytes: Uint8Array.from({ length: 16 }, (_, i) => i) },
    ]);
    const identity = {
      epoch: 0,
      startHi: 0,
      startLo: 0,
      endHi: 0xffff_ffff,
      endLo: 0xffff_ffff,
      physHi: 0,
      physLo: 0,
      flags: 3,
      translate: () => 0,
      refused: () => undefined,
    };
    const dma = new TranslatedDma(memory, identity, 1);
    expect(dma.readU32(0xffff_ffff, 0xffff_fff4)).toBe(0x0706_0504);
    expect(dma.readU8(0xffff_ffff, 0xffff_ffff)).toBe(15);
    expect(dma.readU8(0xffff_ffff, 0xffff_fff0)).toBe(0);
    // A shift of the whole space that leads past its end leads nowhere.
    const shifted = new TranslatedDma(memory, { ...identity, physLo: 0x20 }, 1);
    expect(shifted.readU8(0xffff_ffff, 0xffff_fff4)).toBe(DMA_FAILED);
    expect(shifted.readU8(0xffff_ffff, 0xffff_ffd4)).toBe(4);
  });
});

describe('doorbells', () => {
  it('an MSI window is outside: a 32-bit write rings, untranslated', () => {
    const { translator, dma, rung } = bench();
    translator.msi(0xfee0_0000n, 0xfeef_ffffn);
    expect(dma.writeU32(0, 0xfee0_0000, 0x4041)).toBe(true);
    expect(rung).toEqual(['4041']);
    expect(dma.readU32(0, 0xfee0_0000)).toBe(DMA_FAILED);
    expect(dma.writeU16(0, 0xfee0_0000, 1)).toBe(false);
    expect(dma.writeU32(0, 0xfee0_0004, 1)).toBe(false);
    expect(rung).toHaveLength(1);
    expect(translator.refusals).toEqual([
      '7: 1 at 0xfee00000',
      '7: 2 at 0xfee00000',
      '7: 2 at 0xfee00004',
    ]);
  });

  it('a doorbell that software mapped rings at the address it translates to', () => {
    const { translator, dma, rung } = bench();
    translator.map(0x0800_0000n, 0xfee0_0000n, 1n, ACCESS_WRITE);
    expect(dma.writeU32(0, 0x0800_0000, 0xffff_ffff)).toBe(true);
    expect(rung).toEqual(['ffffffff']);
    translator.unmap(0x0800_0000n);
    expect(dma.writeU32(0, 0x0800_0000, 1)).toBe(false);
    expect(rung).toHaveLength(1);
    expect(translator.faults).toEqual(['7: 2 at 0x8000000+4']);
  });

  it('rings without an IOMMU too', () => {
    const { memory } = bench();
    const rung: number[] = [];
    const dma = new DirectDma(memory, (hi, lo, value) => rung.push(hi, lo, value) > 0);
    expect(dma.writeU32(0, 0x1_0000_0000 + 0x40, 5)).toBe(true);
    expect(rung).toEqual([1, 0x40, 5]);
    expect(dma.writeU32(0, 0x8000_0000, 7)).toBe(true);
    expect(dma.readU32(0, 0x8000_0000)).toBe(7);
    expect(new DirectDma(memory).writeU32(0, 0, 5)).toBe(false);
    expect(dma.epoch).toBe(memory.epoch);
    expect(dma.readU8(0, 0x10)).toBe(DMA_FAILED);
    expect(dma.fault()).toEqual({ address: 0x10n, access: ACCESS_READ });
  });
});

describe('a device without doorbells', () => {
  it('has its writes to an MSI window refused', () => {
    const translator = new PageTranslator();
    translator.msi(0xfee0_0000n, 0xfee0_0fffn);
    const dma = new TranslatedDma(new GuestMemory(), translator, 7);
    expect(dma.writeU32(0, 0xfee0_0000, 1)).toBe(false);
    expect(translator.refusals).toEqual(['7: 2 at 0xfee00000']);
  });
});

describe('a piece that begins below a 4 GiB border of IOVAs', () => {
  it('is kept from its start on, and found again on both sides', () => {
    const backing = new Uint8Array(0x2000);
    backing[0xfff] = 1;
    backing[0x1001] = 2;
    const memory = new GuestMemory([{ gpa: 0x8000n, bytes: backing }]);
    let asked = 0;
    const dma = new TranslatedDma(
      memory,
      {
        epoch: 0,
        startHi: 0,
        startLo: 0xffff_f000,
        endHi: 1,
        endLo: 0xfff,
        physHi: 0,
        physLo: 0x8000,
        flags: ACCESS_READ,
        translate: () => asked++ && 0,
        refused: () => undefined,
      },
      1,
    );
    expect(dma.readU8(1, 1)).toBe(2);
    expect(dma.readU8(0, 0xffff_ffff)).toBe(1);
    expect(dma.readU8(0, 0xffff_f000)).toBe(0);
    expect(asked).toBe(1);
  });
});
