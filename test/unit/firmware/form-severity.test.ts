import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inspect } from '../../../src/firmware/index.ts';
import { checkFacts, DEFAULT_KERNEL } from '../../../src/topology/index.ts';

const golden = join(import.meta.dirname, '../../golden/acpi/viot/q35-basic.aml');

/** `severity code` of what the reader finds, and `severity` of what `viot-damaged` makes of it. */
function judged(change: (bytes: Buffer) => void, keepSum = true): [string[], string[]] {
  const bytes = Buffer.from(readFileSync(golden));
  change(bytes);
  const sum = bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
  if (keepSum) bytes[9] = ((bytes[9] ?? 0) - sum) & 0xff;
  const found = inspect(bytes, 'viot.aml');
  if (found.format !== 'viot') throw new Error('no VIOT');
  const diagnostics = checkFacts({ viot: found.viot, kernel: DEFAULT_KERNEL, guestPage: 4096n });
  return [
    found.viot.formProblems.map(({ code, severity }) => `${severity} ${code}`),
    diagnostics.filter(({ rule }) => rule === 'viot-damaged').map(({ severity }) => severity),
  ];
}

test('the severity that the reader gave is that of the diagnostic', () => {
  expect(judged(() => undefined)).toEqual([[], []]);
  const revision = judged((bytes) => bytes.writeUInt8(7, 8));
  expect(revision).toEqual([['warning viot/revision'], ['warning']]);
  const reserved = judged((bytes) => bytes.writeUInt8(1, 40));
  expect(reserved).toEqual([['warning viot/reserved'], ['warning']]);
  const checksum = judged((bytes) => bytes.writeUInt8((bytes[9] ?? 0) ^ 0xff, 9), false);
  expect(checksum).toEqual([['warning viot/checksum'], ['warning']]);
  const empty = judged((bytes) => bytes.writeUInt16LE(0, 50));
  expect(empty).toEqual([['error viot/empty-node'], ['error']]);
});
