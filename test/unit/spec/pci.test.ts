import { expect, test } from 'vitest';
import fc from 'fast-check';
import { linuxPciName, requesterId, showBdf, splitRequesterId } from '../../../src/spec/pci.ts';

test('requester IDs split and join', () => {
  expect(requesterId(0, 1, 0)).toBe(0x8);
  expect(requesterId(0xff, 0x1f, 7)).toBe(0xffff);
  fc.assert(
    fc.property(fc.nat(0xffff), (rid) => {
      const { bus, device, fn } = splitRequesterId(rid);
      expect(requesterId(bus, device, fn)).toBe(rid);
    }),
  );
});

test('names', () => {
  expect(showBdf(0x18)).toBe('00:03.0');
  expect(showBdf(0x1fff, 1)).toBe('0001:1f:1f.7');
  expect(linuxPciName(0x18, 0)).toBe('0000:00:03.0');
});
