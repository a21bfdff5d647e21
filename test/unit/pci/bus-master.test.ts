import { expect, test } from 'vitest';
import { ACCESS_READ, ACCESS_WRITE, DirectDma, GuestMemory } from '../../../src/memory/index.ts';
import { BusMasterDma } from '../../../src/pci/index.ts';

const BASE = 0x4000_0000;

function space(fill: number): DirectDma {
  return new DirectDma(
    new GuestMemory([{ gpa: BigInt(BASE), bytes: new Uint8Array(64).fill(fill) }]),
  );
}

test('nothing passes a closed gate, and everything an open one', () => {
  const gate = new BusMasterDma(space(0x11));
  const tries = (): unknown[] => [
    gate.readU8(0, BASE),
    gate.readU16(0, BASE),
    gate.readU32(0, BASE),
    gate.readU64(0, BASE),
    gate.loadU16(0, BASE),
    gate.read(0, BASE, new Uint8Array(4)),
    gate.writeU8(0, BASE + 8, 0x11),
    gate.writeU16(0, BASE + 8, 0x1111),
    gate.writeU32(0, BASE + 8, 0x1111_1111),
    gate.writeU64(0, BASE + 8, 0x1111_1111, 0x1111_1111),
    gate.storeU16(0, BASE + 8, 0x1111),
    gate.write(0, BASE + 8, new Uint8Array(4).fill(0x11)),
    gate.fill(0, BASE + 8, 4, 0x11),
    gate.resolve(0, BASE, 4, ACCESS_READ),
  ];
  const closed = [-1, -1, -1, false, -1, 0, false, false, false, false, false, 0, 0, false];
  expect(tries()).toEqual(closed);
  gate.enabled = true;
  expect(tries()).toEqual([
    0x11,
    0x1111,
    0x1111_1111,
    true,
    0x1111,
    4,
    true,
    true,
    true,
    true,
    true,
    4,
    4,
    true,
  ]);
  expect([gate.valueHi, gate.valueLo]).toEqual([0x1111_1111, 0x1111_1111]);
  expect([gate.piece.bytes.length, gate.pieceAt, gate.pieceLength]).toEqual([64, 0, 4]);
  gate.enabled = false;
  expect(tries()).toEqual(closed);
});

test('the fault is the last one, at the gate or behind it', () => {
  const gate = new BusMasterDma(space(0));
  gate.writeU8(1, 2, 3);
  expect(gate.fault()).toEqual({ address: 0x1_0000_0002n, access: ACCESS_WRITE });
  gate.enabled = true;
  expect(gate.readU8(0, BASE + 64)).toBe(-1);
  expect(gate.fault()).toEqual({ address: BigInt(BASE + 64), access: ACCESS_READ });
});

test('the epoch grows with the gate, with the target, and over a change of target', () => {
  const gate = new BusMasterDma(space(1));
  const seen = [gate.epoch];
  gate.enabled = true;
  seen.push(gate.epoch);
  gate.enabled = true;
  expect(gate.epoch).toBe(seen.at(-1));
  const other = space(2);
  gate.target = other;
  seen.push(gate.epoch);
  expect(gate.target).toBe(other);
  expect(gate.readU8(0, BASE)).toBe(2);
  gate.enabled = false;
  seen.push(gate.epoch);
  expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
});
