import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConfigSpace, PciFunction, PciHost, RootPort } from '../../src/pci/index.ts';
import { PCI_CLASS_SP_OTHER } from '../../src/spec/pci-config.ts';
import { memory, Scratch } from '../unit/pci/fixture.ts';

const size = fc.constantFrom(1 as const, 2 as const, 4 as const);

test('a configuration space does with each byte what its masks say, at any width', () => {
  const register = fc.record({
    slot: fc.nat(15),
    size,
    value: fc.nat(0xffff_ffff),
    writable: fc.nat(0xffff_ffff),
    clear: fc.nat(0xffff_ffff),
  });
  const access = fc.record({ at: fc.nat(67), size, value: fc.nat(0xffff_ffff) });
  fc.assert(
    fc.property(
      fc.uniqueArray(register, { selector: ({ slot }) => slot, maxLength: 16 }),
      fc.array(access, { maxLength: 40 }),
      (registers, accesses) => {
        const told: number[] = [];
        const list = registers.map(({ slot, clear, ...rest }) => ({
          ...rest,
          clear: clear & ~rest.writable,
          name: `${slot}`,
          offset: 4 * slot,
          wrote: () => void told.push(slot),
        }));
        const space = new ConfigSpace(false, list);
        const bytes = new Uint8Array(260).fill(0xff, 256);
        const masks = new Map<number, { writable: number; clear: number; slot: number }>();
        for (const { offset, size: width, value, writable, clear } of list) {
          for (let i = 0; i < width; i++) {
            bytes[offset + i] = value >>> (8 * i);
            const slot = offset / 4;
            masks.set(offset + i, {
              writable: (writable >>> (8 * i)) & 0xff,
              clear: (clear >>> (8 * i)) & 0xff,
              slot,
            });
          }
        }
        for (const { at, size: width, value } of accesses) {
          told.length = 0;
          space.write(at, width, value);
          const touched = new Set<number>();
          for (let i = 0; i < width; i++) {
            const byte = (value >>> (8 * i)) & 0xff;
            const mask = masks.get(at + i);
            if (mask === undefined) continue;
            touched.add(mask.slot);
            const before = bytes[at + i] ?? 0;
            bytes[at + i] =
              ((before & ~mask.writable) | (byte & mask.writable)) & ~(byte & mask.clear);
          }
          expect(told).toEqual([...touched]);
        }
        for (let at = 0; at < 256; at++) {
          for (const width of [1, 2, 4] as const) {
            let expected = 0;
            for (let i = width - 1; i >= 0; i--) expected = expected * 256 + (bytes[at + i] ?? 0);
            expect(space.read(at, width)).toBe(expected);
          }
        }
        const again = new ConfigSpace(false, list);
        again.restore(space.snapshot());
        expect(again.snapshot()).toEqual(space.snapshot());
      },
    ),
    { numRuns: 150 },
  );
});

/** Three functions on the root bus and one behind a port; each BAR is filled with its own number. */
function hostOf(): {
  host: PciHost;
  bars: { rid: number; at: number; size: number; id: number }[];
} {
  const { dma } = memory();
  const host = new PciHost({
    segment: 0,
    buses: { start: 0, end: 1 },
    windows: [{ start: 0x1_0000n, end: 0x7f_ffffn }],
  });
  const bars: { rid: number; at: number; size: number; id: number }[] = [];
  const make = (rid: number, sizes: readonly number[]): PciFunction => {
    const regions = sizes.map((bytes, index) => {
      const id = bars.length + 1;
      const region = new Scratch(bytes);
      region.bytes.fill(id);
      bars.push({ rid, at: 0x10 + 4 * index, size: bytes, id });
      return { index, kind: 'mem32' as const, size: bytes, region };
    });
    const identity = { vendorId: 1, deviceId: 2, classCode: PCI_CLASS_SP_OTHER };
    return new PciFunction({ ...identity, name: `${rid}`, bars: regions, dma });
  };
  const port = new RootPort({ name: 'port', dma });
  host.root.plug(0x08, make(0x08, [0x100, 0x1_0000]));
  host.root.plug(0x10, port);
  port.install(make(0x100, [0x1000, 0x10_0000]));
  host.root.plug(0x18, make(0x18, [0x4000]));
  host.configWrite(0x10, 0x18, 4, 0x0001_0100);
  return { host, bars };
}

test('an address leads to the BAR that a walk through all of them finds', () => {
  const action = fc.oneof(
    fc.record({ bar: fc.nat(4), base: fc.nat(0x8f) }),
    fc.record({
      rid: fc.constantFrom(0x08, 0x10, 0x18, 0x100),
      command: fc.constantFrom(0, 2, 2, 2),
    }),
    fc.record({ low: fc.nat(8), high: fc.nat(8) }),
  );
  fc.assert(
    fc.property(fc.array(action, { minLength: 8, maxLength: 30 }), (actions) => {
      const { host, bars } = hostOf();
      for (const rid of [0x08, 0x10, 0x18, 0x100]) host.configWrite(rid, 4, 2, 2);
      // The prefetchable window is closed throughout.
      host.configWrite(0x10, 0x24, 4, 0x0000_fff0);
      for (const each of actions) {
        if ('bar' in each) {
          const bar = bars[each.bar];
          if (bar) host.configWrite(bar.rid, bar.at, 4, each.base * 0x1_0000 + each.bar * 0x40);
        } else if ('rid' in each) host.configWrite(each.rid, 4, 2, each.command);
        else host.configWrite(0x10, 0x20, 4, ((each.high << 4) << 16) | (each.low << 4));
        const decodes = (rid: number): boolean => (host.configRead(rid, 4, 2) & 2) !== 0;
        const limits = host.configRead(0x10, 0x20, 4);
        const start = (limits & 0xfff0) * 0x1_0000;
        const end = ((limits >>> 16) & 0xfff0) * 0x1_0000 + 0xf_ffff;
        for (let address = 0; address < 0x90_0000; address += 0x1_0000) {
          for (const at of [address, address + 0xff, address + 0x100, address + 0xffff]) {
            const order = [...bars.slice(0, 2), ...bars.slice(2, 4), ...bars.slice(4)];
            const owner = order.find(({ rid, at: register, size: bytes }) => {
              const base = (host.configRead(rid, register, 4) & ~0xf) >>> 0;
              const forwarded = rid !== 0x100 || (decodes(0x10) && at >= start && at <= end);
              return base > 0 && decodes(rid) && forwarded && at >= base && at < base + bytes;
            });
            const inside = at >= 0x1_0000 && at <= 0x7f_ffff;
            expect(host.read(at, 1)).toBe(inside ? (owner?.id ?? 0xff) : 0xff);
          }
        }
      }
    }),
    { numRuns: 15 },
  );
});
