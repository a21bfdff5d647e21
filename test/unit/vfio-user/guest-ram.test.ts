import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GuestMemory } from '../../../src/memory/index.ts';
import {
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSPC,
  VFIO_USER_DMA_MAP,
  VFIO_USER_DMA_UNMAP,
} from '../../../src/spec/vfio-user.ts';
import { GuestRam, MAPS_MAX } from '../../../src/vfio-user/guest-ram.ts';
import { looksUnshared } from '../../../src/vfio-user/shared-ram.ts';
import { mapBody, unmapBody } from '../../support/vfio-client.ts';
import { FakeSys } from '../../support/vfio-fake-sys.ts';
import { rig } from '../../support/vfio-session.ts';

const MIB = 2 ** 20;
const PAGE = 4096n;

function ramRig(): { sys: FakeSys; memory: GuestMemory; ram: GuestRam } {
  const sys = new FakeSys();
  const memory = new GuestMemory();
  const ram = new GuestRam(sys, memory, [{ start: 0n, end: 0x1fff_ffffn }]);
  return { sys, memory, ram };
}

const at = (address: bigint, size: bigint, offset = 0n, flags = 3) => ({
  address,
  size,
  offset,
  flags,
});

describe('maps of guest memory', () => {
  test('a window shows the part of the file that was asked for', () => {
    const { sys, memory, ram } = ramRig();
    const fd = sys.file(4 * MIB);
    const client = ram.open();
    expect(client.map(at(0x10_0000n, PAGE * 2n, PAGE), fd).errno).toBe(0);
    sys.bytesOf(fd)[4096 + 5] = 0x77;
    expect(memory.readU8(0, 0x10_0005)).toBe(0x77);
    expect(memory.readU8(0, 0x10_0000 - 1)).toBe(-1);
    expect(memory.readU8(0, 0x10_2000)).toBe(-1);
    expect(memory.writeU8(0, 0x10_1fff, 3)).toBe(true);
    expect(sys.bytesOf(fd)[3 * 4096 - 1]).toBe(3);
  });

  test('what may only be read cannot be written', () => {
    const { sys, memory, ram } = ramRig();
    ram.open().map(at(0n, PAGE, 0n, 1), sys.file(MIB));
    expect([memory.readU8(0, 0), memory.writeU8(0, 0, 1)]).toEqual([0, false]);
  });

  test('a storm of maps and unmaps, as SeaBIOS makes, maps a file once', () => {
    const { sys, memory, ram } = ramRig();
    const client = ram.open();
    for (let round = 0; round < 1000; round++) {
      const fd = sys.file(8 * MIB, 'pc.ram');
      expect(client.map(at(0n, 0xc_0000n), fd).errno).toBe(0);
      expect(client.map(at(0xc_0000n, 0x4_0000n, 0xc_0000n, 1), fd).errno).toBe(0);
      expect(client.map(at(0x10_0000n, 0x70_0000n, 0x10_0000n), fd).errno).toBe(0);
      sys.close(fd);
      for (const start of [0n, 0xc_0000n, 0x10_0000n]) {
        expect(
          client.unmap(
            start,
            start === 0n ? 0xc_0000n : start === 0xc_0000n ? 0x4_0000n : 0x70_0000n,
          ),
        ).toBe(0);
      }
    }
    // Once for reading and writing, once for reading only.
    expect(sys.mapped.size).toBe(2);
    expect(memory.windows()).toEqual([]);
    client.close();
    expect(sys.mapped.size).toBe(0);
    expect(sys.open.size).toBe(0);
  });

  test('several functions tell the same: memory is there while one of them has it', () => {
    const { sys, memory, ram } = ramRig();
    const fd = sys.file(MIB, 'ram');
    const clients = [ram.open(), ram.open(), ram.open()];
    for (const client of clients) client.map(at(0n, 0x10_0000n), fd);
    expect(memory.windows()).toHaveLength(1);
    // The first is pulled: it unmaps, then its connection goes.
    expect(clients[0]?.unmap(0n, 0x10_0000n)).toBe(0);
    expect(memory.readU8(0, 0xf_ffff)).toBe(0);
    clients[0]?.close();
    clients[1]?.close();
    expect(memory.windows()).toHaveLength(1);
    clients[2]?.close();
    expect([memory.windows().length, sys.mapped.size]).toEqual([0, 0]);
  });

  test('while a change goes from function to function, the oldest is right', () => {
    const { sys, memory, ram } = ramRig();
    const fd = sys.file(MIB, 'ram');
    const [old, young] = [ram.open(), ram.open()];
    const whole = at(0n, 0x10_0000n);
    young.map(whole, fd);
    old.map(whole, fd);
    // Shadow RAM that may only be read from now on.
    old.unmap(0n, 0x10_0000n);
    expect(memory.writeU8(0, 0xc_0000, 1)).toBe(true);
    old.map(at(0n, 0xc_0000n), fd);
    old.map(at(0xc_0000n, 0x4_0000n, 0xc_0000n, 1), fd);
    expect(memory.writeU8(0, 0xc_0000, 2)).toBe(false);
    expect(memory.readU8(0, 0xc_0000)).toBe(1);
    young.unmap(0n, 0x10_0000n);
    young.map(at(0n, 0xc_0000n), fd);
    young.map(at(0xc_0000n, 0x4_0000n, 0xc_0000n, 1), fd);
    expect(memory.windows()).toHaveLength(2);
    old.close();
    expect(memory.windows()).toHaveLength(2);
    expect(memory.writeU8(0, 0xc_0000, 2)).toBe(false);
  });

  test('each change of the table moves the epoch', () => {
    const { sys, memory, ram } = ramRig();
    const client = ram.open();
    const fd = sys.file(MIB);
    const epochs = [memory.epoch];
    client.map(at(0n, PAGE), fd);
    epochs.push(memory.epoch);
    client.unmap(0n, PAGE);
    epochs.push(memory.epoch);
    expect(new Set(epochs).size).toBe(3);
  });

  test('flash without a descriptor is taken and not there; RAM without one is refused', () => {
    const { memory, ram } = ramRig();
    const client = ram.open();
    expect(client.map(at(0xfffc_0000n, 0x4_0000n, 0n, 1), undefined).errno).toBe(0);
    expect(memory.windows()).toEqual([]);
    expect(client.unmap(0xfffc_0000n, 0x4_0000n)).toBe(0);
    const refused = client.map(at(0n, 0x10_0000n), undefined);
    expect(refused).toEqual({ errno: EINVAL, ramWithoutFd: '0x0-0xfffff' });
  });

  test.each([
    ['no multiple of a page', at(1n, PAGE)],
    ['a length that is none', at(0n, 100n)],
    ['nothing', at(0n, 0n)],
    ['past the end of the file', at(0n, 0x10_0000n, PAGE)],
    ['an offset past everything', at(0n, PAGE, 2n ** 63n)],
    ['past 2^64', at(2n ** 64n - PAGE, PAGE * 2n)],
    ['flags that there are not', at(0n, PAGE, 0n, 8)],
  ])('%s is refused', (_what, request) => {
    const { sys, memory, ram } = ramRig();
    expect(ram.open().map(request, sys.file(MIB)).errno).toBe(EINVAL);
    expect([memory.windows().length, sys.mapped.size]).toEqual([0, 0]);
  });

  test('a descriptor that is no file is refused', () => {
    const { sys, ram } = ramRig();
    const client = ram.open();
    expect(client.map(at(0n, PAGE), sys.eventfd()).errno).toBe(EINVAL);
    expect(client.map(at(0n, PAGE), sys.file(MIB, 'pipe', false)).errno).toBe(EINVAL);
  });

  test('overlaps and half unmaps are refused, whole ranges of maps go at once', () => {
    const { sys, ram } = ramRig();
    const client = ram.open();
    const fd = sys.file(MIB);
    for (const page of [1n, 2n, 4n]) client.map(at(page * PAGE, PAGE), fd);
    expect(client.map(at(2n * PAGE, 3n * PAGE), fd).errno).toBe(EEXIST);
    expect(client.unmap(3n * PAGE, PAGE)).toBe(ENOENT);
    expect(client.unmap(PAGE, 0n)).toBe(EINVAL);
    expect(client.unmap(0n, 5n * PAGE)).toBe(0);
    expect(client.size).toBe(0);
    client.map(at(0n, 4n * PAGE), fd);
    expect(client.unmap(PAGE, PAGE)).toBe(EINVAL);
  });

  test('there is an end to the number of maps', () => {
    const { sys, ram } = ramRig();
    const client = ram.open();
    const fd = sys.file(MIB);
    for (let i = 0; i < MAPS_MAX; i++) client.map(at(BigInt(i) * PAGE, PAGE), fd);
    expect(client.map(at(BigInt(MAPS_MAX) * PAGE, PAGE), fd).errno).toBe(ENOSPC);
  });

  test('memory is what the maps say, whatever they were', () => {
    const step = fc.record({
      page: fc.integer({ min: 0, max: 15 }),
      pages: fc.integer({ min: 1, max: 6 }),
      from: fc.integer({ min: 0, max: 10 }),
      map: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { sys, memory, ram } = ramRig();
        const client = ram.open();
        const fd = sys.file(16 * 4096);
        for (let i = 0; i < 16; i++) sys.bytesOf(fd)[i * 4096] = i + 1;
        const pages = Array.from({ length: 32 }, () => 0);
        const maps: { page: number; pages: number }[] = [];
        for (const { page, pages: count, from, map } of steps) {
          const hit = maps.filter((one) => one.page < page + count && page < one.page + one.pages);
          if (map) {
            const { errno } = client.map(
              at(BigInt(page) * PAGE, BigInt(count) * PAGE, BigInt(from) * PAGE),
              fd,
            );
            expect(errno).toBe(hit.length > 0 ? EEXIST : 0);
            if (errno !== 0) continue;
            maps.push({ page, pages: count });
            for (let i = 0; i < count; i++) pages[page + i] = from + i + 1;
          } else {
            const whole = hit.every(
              (one) => one.page >= page && one.page + one.pages <= page + count,
            );
            const errno = client.unmap(BigInt(page) * PAGE, BigInt(count) * PAGE);
            expect(errno).toBe(hit.length === 0 ? ENOENT : whole ? 0 : EINVAL);
            if (errno !== 0) continue;
            for (const one of hit) {
              maps.splice(maps.indexOf(one), 1);
              for (let i = 0; i < one.pages; i++) pages[one.page + i] = 0;
            }
          }
        }
        const seen = pages.map((_, i) => Math.max(0, memory.readU8(0, i * 4096)));
        expect(seen).toEqual(pages);
      }),
      { numRuns: 200 },
    );
  });
});

describe('DMA_MAP and DMA_UNMAP as messages', () => {
  test('a descriptor is closed whatever comes of its map', () => {
    const { sys, request, machine } = rig();
    const before = sys.open.size;
    const start = machine.model.memory[0]?.start ?? 0n;
    expect(request(VFIO_USER_DMA_MAP, mapBody(start, 0x10_0000n), [sys.file(MIB)]).errno).toBe(0);
    expect(request(VFIO_USER_DMA_MAP, mapBody(start, 0x10_0000n), [sys.file(MIB)]).errno).toBe(
      EEXIST,
    );
    const two = [sys.file(MIB), sys.file(MIB)];
    expect(request(VFIO_USER_DMA_MAP, mapBody(0n, PAGE), two).errno).toBe(EINVAL);
    expect(sys.open.size).toBe(before);
    expect(machine.memory.windows()).toHaveLength(1);
  });

  test('RAM without a descriptor is explained, with a cure', () => {
    const { request, machine, problems } = rig();
    const start = machine.model.memory[0]?.start ?? 0n;
    expect(request(VFIO_USER_DMA_MAP, mapBody(start, 0x10_0000n)).errno).toBe(EINVAL);
    expect(problems).toMatchObject([{ code: 'vfio-user/ram-without-fd' }]);
    expect(problems[0]?.cure).toContain('share=on');
  });

  test('the reply to an unmap says what was unmapped; ALL takes everything', () => {
    const { sys, request, machine } = rig();
    request(VFIO_USER_DMA_MAP, mapBody(0n, PAGE), [sys.file(MIB)]);
    const body = unmapBody(0n, PAGE);
    expect(request(VFIO_USER_DMA_UNMAP, body).body).toEqual(new Uint8Array(body));
    request(VFIO_USER_DMA_MAP, mapBody(0n, PAGE), [sys.file(MIB)]);
    request(VFIO_USER_DMA_MAP, mapBody(PAGE, PAGE), [sys.file(MIB)]);
    expect(request(VFIO_USER_DMA_UNMAP, unmapBody(0n, PAGE, 2)).errno).toBe(EINVAL);
    expect(request(VFIO_USER_DMA_UNMAP, unmapBody(0n, 0n, 2)).errno).toBe(0);
    expect(machine.memory.windows()).toEqual([]);
    // Nobody keeps track of dirty pages here.
    expect(request(VFIO_USER_DMA_UNMAP, unmapBody(0n, PAGE, 1)).errno).toBe(EINVAL);
  });
});

describe('RAM that is not shared', () => {
  test('zeros where a guest must have something', () => {
    const bytes = new Uint8Array(20 * MIB);
    const memory = new GuestMemory([{ gpa: 0n, bytes }]);
    expect(looksUnshared(memory)).toBe(true);
    bytes[16 * MIB - 1] = 1;
    expect(looksUnshared(memory)).toBe(false);
    bytes[16 * MIB - 1] = 0;
    bytes[17 * MIB] = 1;
    expect(looksUnshared(memory)).toBe(true);
  });

  test('nothing is said of a machine without memory, or of flash', () => {
    expect(looksUnshared(new GuestMemory())).toBe(false);
    const flash = { gpa: 0n, bytes: new Uint8Array(8), writable: false };
    expect(looksUnshared(new GuestMemory([flash]))).toBe(false);
  });
});
