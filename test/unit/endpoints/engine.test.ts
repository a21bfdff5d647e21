import { describe, expect, test } from 'vitest';
import { DmaEngine, Edu, type DmaEngineEvent } from '../../../src/endpoints/index.ts';
import { hiOf, loOf } from '../../../src/memory/index.ts';
import { PciHost } from '../../../src/pci/index.ts';
import { PCI_CAP_ID_MSI, PCI_CAP_ID_MSIX } from '../../../src/spec/pci-config.ts';
import {
  DMA_ENGINE_BUFFER,
  DMA_ENGINE_MAGIC,
  DMA_ENGINE_R_ADDRESS_HI,
  DMA_ENGINE_R_ADDRESS_LO,
  DMA_ENGINE_R_CONTROL,
  DMA_ENGINE_R_COUNT,
  DMA_ENGINE_R_DATA,
  DMA_ENGINE_R_DELAY,
  DMA_ENGINE_R_DONE,
  DMA_ENGINE_R_FAULT_HI,
  DMA_ENGINE_R_FAULT_LO,
  DMA_ENGINE_R_LENGTH,
  DMA_ENGINE_R_OFFSET,
  DMA_ENGINE_R_STATUS,
  DMA_ENGINE_R_VECTOR,
} from '../../../src/spec/pci-devices.ts';
import { PciGuest } from '../pci/guest.ts';
import { Arena, DOORBELL, RID } from './rig.ts';

interface Setup {
  readonly arena: Arena;
  readonly host: PciHost;
  readonly guest: PciGuest;
  readonly base: number;
  readonly table: number;
  readonly lines: boolean[];
}

function plug(arena: Arena, fn: (typeof DmaEngine.prototype)['fn']): Setup {
  const lines: boolean[] = [];
  const host = new PciHost({
    segment: 0,
    buses: { start: 0, end: 0 },
    windows: [{ start: 0x1000_0000n, end: 0x1fff_ffffn }],
    intx: (_, level) => void lines.push(level),
  });
  host.root.plug(RID, fn);
  const guest = new PciGuest(host, 0x1000_0000);
  const bars = guest.assign(RID);
  return { arena, host, guest, base: bars.get(0) ?? 0, table: bars.get(1) ?? 0, lines };
}

function setup(translated = true): Setup & { engine: DmaEngine; events: DmaEngineEvent[] } {
  const arena = new Arena(translated);
  const events: DmaEngineEvent[] = [];
  const engine = new DmaEngine({
    name: 'engine',
    dma: arena.device,
    vectors: 2,
    onTransfer: (event) => void events.push(event),
  });
  return { ...plug(arena, engine.fn), engine, events };
}

const GO = 1;
const WRITE = 2;
const INTERRUPT = 4;
const MESSAGE = 8;

/** Starts a transfer; answers STATUS and DONE. */
function go(
  { host, base }: Setup,
  address: bigint,
  length: number,
  command: number,
  offset = 0,
): [status: number, done: number] {
  host.write(base + DMA_ENGINE_R_ADDRESS_LO, 4, loOf(address));
  host.write(base + DMA_ENGINE_R_ADDRESS_HI, 4, hiOf(address));
  host.write(base + DMA_ENGINE_R_LENGTH, 4, length);
  host.write(base + DMA_ENGINE_R_OFFSET, 4, offset);
  host.write(base + DMA_ENGINE_R_CONTROL, 4, command);
  return [host.read(base + DMA_ENGINE_R_STATUS, 4), host.read(base + DMA_ENGINE_R_DONE, 4)];
}

describe('the DMA engine', () => {
  test('says what it is', () => {
    const { host, base } = setup();
    expect(host.read(base, 4)).toBe(DMA_ENGINE_MAGIC);
    expect(host.read(base + 4, 4)).toBe(1);
    host.write(base, 4, 0);
    expect(host.read(base, 4)).toBe(DMA_ENGINE_MAGIC);
  });

  test.each([false, true])('moves bytes both ways (translated: %s)', (translated) => {
    const it = setup(translated);
    const bytes = Uint8Array.from({ length: 0x2345 }, (_, i) => (i * 3) & 0xff);
    const from = it.arena.alloc(bytes.length);
    const to = it.arena.alloc(bytes.length);
    it.arena.put(from, bytes);
    expect(go(it, from, bytes.length, GO, 0x10)).toEqual([1, bytes.length]);
    expect(it.host.read(it.base + DMA_ENGINE_BUFFER + 0x12, 1)).toBe(6);
    it.host.write(it.base + DMA_ENGINE_BUFFER + 0x10, 4, 0xcafe_f00d);
    expect(go(it, to, bytes.length, GO | WRITE, 0x10)).toEqual([1, bytes.length]);
    const back = it.arena.get(to, bytes.length);
    expect([...back.subarray(0, 4)]).toEqual([0x0d, 0xf0, 0xfe, 0xca]);
    expect(Buffer.from(back.subarray(4)).equals(bytes.subarray(4))).toBe(true);
    expect(it.host.read(it.base + DMA_ENGINE_R_COUNT, 4)).toBe(2);
  });

  test('stops at the first address that faults, and says which', () => {
    const it = setup();
    const at = it.arena.alloc(0x2000);
    it.arena.unmap(at + 0x1000n);
    expect(go(it, at + 0xff0n, 0x100, GO | WRITE)).toEqual([3, 0x10]);
    const fault = [DMA_ENGINE_R_FAULT_HI, DMA_ENGINE_R_FAULT_LO].map((register) =>
      it.host.read(it.base + register, 4),
    );
    expect(fault).toEqual([hiOf(at + 0x1000n), loOf(at + 0x1000n)]);
    expect(it.arena.iommu.faults).toEqual([at + 0x1000n]);
    expect(it.events).toEqual([{ address: at + 0xff0n, length: 0x100, access: 2, done: 0x10 }]);
    // The end of the address space.
    expect(go(it, 2n ** 64n - 1n, 16, GO)).toEqual([3, 0]);
  });

  test('refuses what leaves its buffer, and does nothing then', () => {
    const it = setup();
    const at = it.arena.alloc(16);
    expect(go(it, at, 0x1_0001, GO)).toEqual([8, 0]);
    expect(go(it, at, 2, GO, 0xffff)).toEqual([8, 0]);
    expect(go(it, at, 0xffff_ffff, GO, 0xffff_ffff)).toEqual([8, 0]);
    expect(go(it, at, 16, 0)).toEqual([8, 0]);
    expect(go(it, at, 0, GO)).toEqual([1, 0]);
    expect(it.events).toHaveLength(1);
  });

  test('that waits faults on what was unmapped meanwhile', () => {
    const it = setup();
    const at = it.arena.alloc(16);
    it.host.write(it.base + DMA_ENGINE_R_DELAY, 4, 2);
    expect(go(it, at, 16, GO)).toEqual([4, 0]);
    expect(it.engine.step()).toBe(true);
    // Busy: another is refused, the first goes on.
    it.host.write(it.base + DMA_ENGINE_R_CONTROL, 4, GO);
    expect(it.host.read(it.base + DMA_ENGINE_R_STATUS, 4)).toBe(12);
    it.arena.unmap(at);
    expect(it.engine.step()).toBe(false);
    expect(it.host.read(it.base + DMA_ENGINE_R_STATUS, 4)).toBe(3);
    expect(it.engine.step()).toBe(false);
  });

  test('interrupts by the vector it was told', () => {
    const it = setup();
    it.host.write(it.table + 16, 4, DOORBELL);
    it.host.write(it.table + 24, 4, 0x55);
    it.host.write(it.table + 28, 4, 0);
    it.guest.write(RID, it.guest.capability(RID, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
    it.host.write(it.base + DMA_ENGINE_R_VECTOR, 4, 1);
    go(it, it.arena.alloc(4), 4, GO | INTERRUPT);
    expect(it.arena.messages).toEqual([{ address: DOORBELL, value: 0x55 }]);
    expect(it.lines).toEqual([]);
  });

  test('interrupts by INTx until its status is cleared', () => {
    const it = setup();
    go(it, it.arena.alloc(4), 4, GO | INTERRUPT);
    expect(it.lines).toEqual([true]);
    it.host.write(it.base + DMA_ENGINE_R_STATUS, 4, 1);
    expect(it.lines).toEqual([true, false]);
  });

  test('can ring a doorbell by itself, where its IOMMU lets it', () => {
    const it = setup();
    it.host.write(it.base + DMA_ENGINE_R_DATA, 4, 0x1234);
    expect(go(it, BigInt(DOORBELL), 0, GO | MESSAGE)).toEqual([1, 4]);
    expect(it.arena.messages).toEqual([{ address: DOORBELL, value: 0x1234 }]);
    expect(go(it, 0xfee0_0000n, 0, GO | MESSAGE)).toEqual([3, 0]);
  });

  test('goes on after a restore in the middle of a transfer', () => {
    const it = setup();
    const at = it.arena.alloc(16);
    it.arena.put(at, new Uint8Array(16).fill(7));
    it.host.write(it.base + DMA_ENGINE_R_DELAY, 4, 1);
    go(it, at, 16, GO);
    const state = structuredClone(it.host.snapshot());
    const other = new DmaEngine({ name: 'engine', dma: it.arena.device, vectors: 2 });
    const two = plug(it.arena, other.fn);
    two.host.restore(state);
    expect(two.host.snapshot()).toEqual(state);
    other.step();
    expect(two.host.read(two.base + DMA_ENGINE_BUFFER, 4)).toBe(0x0707_0707);
  });
});

describe('edu', () => {
  function board(dmaMask?: bigint): Setup & { edu: Edu } {
    const arena = new Arena(true);
    const edu = new Edu({ name: 'edu', dma: arena.device, ...(dmaMask ? { dmaMask } : {}) });
    return { ...plug(arena, edu.fn), edu };
  }

  test('says who it is, inverts, and computes factorials', () => {
    const { host, base } = board();
    expect(host.read(base, 4)).toBe(0x0100_00ed);
    host.write(base + 4, 4, 0x0ff0_55aa);
    expect(host.read(base + 4, 4)).toBe(0xf00f_aa55);
    const factorials = [0, 1, 5, 12, 13, 20, 33, 34, 0xffff_ffff].map((n) => {
      host.write(base + 8, 4, n);
      return host.read(base + 8, 4);
    });
    const of = (n: bigint): number => {
      let all = 1n;
      for (let i = 2n; i <= n; i++) all *= i;
      return Number(BigInt.asUintN(32, all));
    };
    expect(factorials).toEqual([1, 1, 120, of(12n), of(13n), of(20n), of(33n), 0, 0]);
  });

  test('transfers by its own buffer addresses, and interrupts by MSI', () => {
    const it = board(2n ** 64n - 1n);
    const { host, base, guest, arena } = it;
    const msi = guest.capability(RID, PCI_CAP_ID_MSI);
    guest.write(RID, msi + 4, 4, DOORBELL);
    guest.write(RID, msi + 12, 2, 0x33);
    guest.write(RID, msi + 2, 2, 1);
    const [from, to] = [arena.alloc(16), arena.alloc(16)];
    arena.put(
      from,
      Uint8Array.from({ length: 16 }, (_, i) => i),
    );
    const wide = (at: number, value: bigint): void => {
      host.write(base + at, 4, loOf(value));
      host.write(base + at + 4, 4, hiOf(value));
    };
    const run = (source: bigint, target: bigint, count: bigint, command: number): void => {
      wide(0x80, source);
      wide(0x88, target);
      wide(0x90, count);
      host.write(base + 0x98, 4, command);
    };
    run(from, 0x4_0008n, 16n, 1 | 4);
    expect(host.read(base + 0x98, 4) & 1).toBe(0);
    expect(host.read(base + 0x24, 4)).toBe(0x100);
    expect(arena.messages).toEqual([{ address: DOORBELL, value: 0x33 }]);
    host.write(base + 0x64, 4, 0x100);
    expect(host.read(base + 0x24, 4)).toBe(0);
    run(0x4_0008n, to, 16n, 1 | 2);
    expect([...arena.get(to, 16)]).toEqual(Array.from({ length: 16 }, (_, i) => i));
    // Outside the buffer: QEMU would end; nothing happens here.
    run(from, 0x4_0ff8n, 16n, 1);
    run(from, 0x3_ffffn, 2n ** 64n - 1n, 1);
    expect(arena.iommu.faults).toEqual([]);
  });

  test('drives 28 bits of an address unless told otherwise', () => {
    const { host, base, arena } = board();
    host.write(base + 0x80, 4, 0xf123_4000);
    host.write(base + 0x88, 4, 0x4_0000);
    host.write(base + 0x90, 4, 4);
    host.write(base + 0x98, 4, 1);
    expect(arena.iommu.faults).toEqual([0x0123_4000n]);
  });

  test('raises and lowers INTx as it is told', () => {
    const { host, base, lines } = board();
    host.write(base + 0x60, 4, 0x11);
    host.write(base + 0x64, 4, 0x10);
    expect(lines).toEqual([true]);
    host.write(base + 0x64, 4, 0x01);
    expect(lines).toEqual([true, false]);
    host.write(base + 0x20, 4, 0xff);
    host.write(base + 8, 4, 3);
    expect(host.read(base + 0x24, 4)).toBe(1);
  });
});
