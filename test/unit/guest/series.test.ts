import { expect, test } from 'vitest';
import { inSeries } from '../../../src/guest/fetch.ts';

test('a series is one minor version; with a plus, that or newer', () => {
  expect(inSeries('6.12.95-1~bpo12+1', '6.12')).toBe(true);
  expect(inSeries('6.1.140-1', '6.12')).toBe(false);
  expect(inSeries('6.120.1-1', '6.12')).toBe(false);
  expect(inSeries('7.3.4-1~bpo13+1', '7.3+')).toBe(true);
  expect(inSeries('7.10.1-1', '7.3+')).toBe(true);
  expect(inSeries('7.2.13-1', '7.3+')).toBe(false);
  expect(inSeries('8.0-1', '7.3+')).toBe(true);
  expect(inSeries('7.3~rc7-1', '7.3')).toBe(true);
});
