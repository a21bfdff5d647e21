import { describe, expect, test } from 'vitest';

import { Gic } from '../../../src/emulator/index.ts';
import * as spec from '../../../src/spec/gicv2.ts';

/** A GIC that is set up as Linux does, for SPI `spi` at priority `priority`. */
function ready(spi: number, priority = 0xa0): { gic: Gic; lines: boolean[]; id: number } & Access {
  const lines: boolean[] = [];
  const gic = new Gic((level) => lines.push(level));
  const [distributor, cpu] = gic.regions(0, 0x1_0000);
  if (!distributor || !cpu) throw new Error('two regions');
  const id = spec.GIC_SPI_FIRST + spi;
  const access: Access = {
    d: (offset, value, size = 4) => distributor.write(offset, size, value),
    dr: (offset, size = 4) => distributor.read(offset, size),
    c: (offset, value) => cpu.write(offset, 4, value),
    cr: (offset) => cpu.read(offset, 4),
  };
  access.d(spec.GICD_CTLR, 1);
  access.d(spec.GICD_IPRIORITYR + id, priority, 1);
  access.d(spec.GICD_ITARGETSR + id, 1, 1);
  access.d(spec.GICD_ISENABLER + 4 * (id >> 5), 1 << (id & 31));
  access.c(spec.GICC_PMR, 0xf0);
  access.c(spec.GICC_CTLR, 1);
  return { gic, lines, id, ...access };
}

interface Access {
  readonly d: (offset: number, value: number, size?: number) => void;
  readonly dr: (offset: number, size?: number) => number;
  readonly c: (offset: number, value: number) => void;
  readonly cr: (offset: number) => number;
}

describe('GICv2', () => {
  test('says what it is: 256 interrupts, one CPU, architecture 2', () => {
    const { dr } = ready(1);
    expect(dr(spec.GICD_TYPER)).toBe(7);
    expect((dr(spec.GICD_ICPIDR2) >> 4) & 15).toBe(2);
  });

  test('a level: signalled, acknowledged, ended, and signalled again while it lasts', () => {
    const { gic, lines, id, c, cr } = ready(5);
    gic.setLine(5, true);
    expect(lines).toEqual([true]);
    expect(cr(spec.GICC_HPPIR)).toBe(id);
    expect(cr(spec.GICC_IAR)).toBe(id);
    expect(lines).toEqual([true, false]);
    expect(cr(spec.GICC_IAR)).toBe(spec.GIC_SPURIOUS);
    c(spec.GICC_EOIR, id);
    expect(lines).toEqual([true, false, true]);
    gic.setLine(5, false);
    expect(lines).toEqual([true, false, true, false]);
    expect(cr(spec.GICC_IAR)).toBe(spec.GIC_SPURIOUS);
  });

  test('an edge is remembered until it is acknowledged, once', () => {
    const { gic, id, d, c, cr } = ready(80);
    d(spec.GICD_ICFGR + 4 * (id >> 4), 2 << (2 * (id & 15)));
    gic.pulse(80);
    gic.pulse(80);
    expect(cr(spec.GICC_IAR)).toBe(id);
    c(spec.GICC_EOIR, id);
    expect(cr(spec.GICC_IAR)).toBe(spec.GIC_SPURIOUS);
  });

  test('an edge while its handler runs comes after the end', () => {
    const { gic, id, c, cr, lines } = ready(80);
    gic.pulse(80);
    cr(spec.GICC_IAR);
    gic.pulse(80);
    expect(lines.at(-1)).toBe(false);
    c(spec.GICC_EOIR, id);
    expect(cr(spec.GICC_IAR)).toBe(id);
  });

  test('a more urgent interrupt comes through, one of the same priority waits', () => {
    const { gic, d, c, cr } = ready(3, 0xa0);
    for (const [spi, priority] of [
      [4, 0xa0],
      [6, 0x80],
    ] as const) {
      const id = 32 + spi;
      d(spec.GICD_IPRIORITYR + id, priority, 1);
      d(spec.GICD_ITARGETSR + id, 1, 1);
      d(spec.GICD_ISENABLER + 4, 1 << spi);
    }
    gic.setLine(3, true);
    expect(cr(spec.GICC_IAR)).toBe(35);
    gic.setLine(4, true);
    expect(cr(spec.GICC_IAR)).toBe(spec.GIC_SPURIOUS);
    gic.setLine(6, true);
    expect(cr(spec.GICC_RPR)).toBe(0xa0);
    expect(cr(spec.GICC_IAR)).toBe(38);
    expect(cr(spec.GICC_RPR)).toBe(0x80);
    c(spec.GICC_EOIR, 38);
    c(spec.GICC_EOIR, 35);
    // 6 is still asserted, and more urgent than 4.
    expect(cr(spec.GICC_IAR)).toBe(38);
  });

  test('what is masked, disabled or not aimed at the CPU is not signalled', () => {
    const masked = ready(5);
    masked.c(spec.GICC_PMR, 0xa0);
    masked.gic.setLine(5, true);
    expect(masked.lines).toEqual([]);
    masked.c(spec.GICC_PMR, 0xa1);
    expect(masked.lines).toEqual([true]);

    const disabled = ready(5);
    disabled.d(spec.GICD_ICENABLER + 4, 1 << 5);
    disabled.gic.setLine(5, true);
    expect(disabled.dr(spec.GICD_ISPENDR + 4)).toBe(1 << 5);
    expect(disabled.lines).toEqual([]);

    const elsewhere = ready(5);
    elsewhere.d(spec.GICD_ITARGETSR + 37, 0, 1);
    elsewhere.gic.setLine(5, true);
    expect(elsewhere.lines).toEqual([]);
  });

  test('EOImode 1: EOIR drops the priority, DIR deactivates', () => {
    const { gic, id, c, cr } = ready(80);
    c(spec.GICC_CTLR, spec.GICC_CTLR_EOIMODE | 1);
    gic.pulse(80);
    expect(cr(spec.GICC_IAR)).toBe(id);
    gic.pulse(80);
    c(spec.GICC_EOIR, id);
    expect(cr(spec.GICC_IAR)).toBe(spec.GIC_SPURIOUS);
    c(spec.GICC_DIR, id);
    expect(cr(spec.GICC_IAR)).toBe(id);
  });

  test('a software interrupt to oneself', () => {
    const { d, cr } = ready(1);
    d(spec.GICD_IPRIORITYR + 3, 0x80, 1);
    d(spec.GICD_SGIR, (2 << 24) | 3);
    expect(cr(spec.GICC_IAR)).toBe(3);
  });

  test('numbers beyond its own, and any access, are harmless', () => {
    const { gic, d, dr, c, cr } = ready(1);
    gic.setLine(5000, true);
    gic.pulse(224);
    for (let offset = 0; offset < 0x1000; offset++) {
      d(offset, 0xffff_ffff, 1 + (offset % 4));
      expect(dr(offset, 4)).toBeGreaterThanOrEqual(0);
    }
    for (let offset = 0; offset < 0x2000; offset += 4) {
      c(offset, 0xffff_ffff);
      expect(cr(offset)).toBeGreaterThanOrEqual(0);
    }
  });

  test('save and restore', () => {
    const { gic, id, cr } = ready(80);
    gic.pulse(80);
    const lines: boolean[] = [];
    const other = new Gic((level) => lines.push(level));
    other.restore(structuredClone(gic.save()));
    expect(lines).toEqual([true]);
    expect(other.save()).toEqual(gic.save());
    expect(other.acknowledge()).toBe(id);
    expect(cr(spec.GICC_IAR)).toBe(id);
    expect(other.save()).toEqual(gic.save());
  });
});
