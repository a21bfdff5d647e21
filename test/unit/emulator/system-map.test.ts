import { expect, test } from 'vitest';
import { SystemMap } from '../../../src/emulator/index.ts';

const MAP = `0000000000000000 A _kernel_flags_le_hi32
ffff800080000000 T _text
ffff800080010000 T cpu_do_idle
ffff800080010000 t __cpu_do_idle
ffff800080010040 T next
ffff800082000000 B _end
`;

test('an address is the symbol before it and the distance', () => {
  const map = SystemMap.parse(MAP);
  expect(map.at(0xffff_8000_8001_0014n)).toBe('cpu_do_idle+0x14');
  expect(map.at(0xffff_8000_8001_0040n)).toBe('next+0x0');
  expect(map.at(0xffff_8000_8000_ffffn)).toBe('_text+0xffff');
});

test('modules lie behind the image and have no name', () => {
  expect(SystemMap.parse(MAP).at(0xffff_8000_8200_0000n)).toBeUndefined();
  const later = MAP.split('\n').slice(1).join('\n');
  expect(SystemMap.parse(later).at(0x4000_0000n)).toBeUndefined();
});

test('the order of the file does not matter', () => {
  const reversed = `${MAP.trim().split('\n').toReversed().join('\n')}\n`;
  expect(SystemMap.parse(reversed).at(0xffff_8000_8001_0044n)).toBe('next+0x4');
});

test.each([
  ['system-map/empty', ''],
  ['system-map/line', 'ffff800080000000 T _text\nELF\n'],
  ['system-map/line', '\u007fELF\u0000\u0001'],
  ['system-map/line', 'ffff800080000000 T two words\n'],
])('%s is refused', (code, text) => {
  expect(() => SystemMap.parse(text)).toThrow(expect.objectContaining({ code }));
});

test("Debian's stand-in names the package that has the real one", () => {
  const stub =
    'ffffffffffffffff B The real System.map is in the linux-image-6.12-arm64-dbg package\n';
  expect(() => SystemMap.parse(stub)).toThrow(/elsewhere: the linux-image-6\.12-arm64-dbg package/);
});
