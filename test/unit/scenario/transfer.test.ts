import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { planName } from '../../../src/backends/plan.ts';
import { sentCrc32, transfers, transfersOf } from '../../../src/backends/transfer.ts';
import { patternBytes, patternCrc32 } from '../../../src/endpoints/index.ts';
import { parseReport } from '../../../src/guest/index.ts';
import { PROMISES, type TransferObservation } from '../../../src/scenario/index.ts';
import { shippedModel } from '../../support/model-guest.ts';
import { sampleObservation } from './samples.ts';

const shipped = shippedModel('net-transfer');
const model = { ...shipped, guest: { ...shipped.guest, transferSize: 1_000_000n } };
const SENT = sentCrc32('net0', 1_000_000n);
const TAKEN = patternCrc32(1_000_000n);

const LINES = [
  'step=dhcp status=0 address=10.0.2.15 server=10.0.2.2 error=',
  'step=ping status=0 error=',
  `step=send status=0 bytes=1000000 crc=${SENT} from=1.00 to=1.50 error=`,
  `step=take status=0 bytes=1000000 crc=${TAKEN} from=1.50 to=1.50 error=`,
  'step=down status=0 rx=1 tx=1',
];

function seen(lines: readonly string[]): TransferObservation[] {
  const text = lines
    .map((line, index) => `VT1 ${index + 1} transfer at=0000:00:02.0 ${line}\n`)
    .join('');
  return transfersOf(model, parseReport(text), planName, (at) => at);
}

function judged(
  observed: readonly TransferObservation[] | undefined,
  skipped: readonly 'transfer'[] = [],
): string[] {
  const sample = sampleObservation();
  const guest = { ...sample.guest, ...(observed === undefined ? {} : { transfers: observed }) };
  const promise = PROMISES.find(({ id }) => id === 'transfer-works');
  return (promise?.judge(model, { ...sample, guest, skipped }) ?? []).map(
    ({ outcome, seen: words }) => `${outcome}: ${words}`,
  );
}

function changed(index: number, line: string): TransferObservation[] {
  return seen(LINES.map((one, at) => (at === index ? line : one)));
}

describe('a transfer', () => {
  test('is kept when all four parts of it are', () => {
    expect(judged(seen(LINES))).toEqual([
      'pass: 10.0.2.15',
      'pass: answered',
      `pass: CRC-32 ${SENT}, 2 MB/s of the guest's time`,
      `pass: CRC-32 ${TAKEN}`,
    ]);
  });

  test('fails by the part that is wrong', () => {
    expect(judged(changed(0, 'step=dhcp status=1 address= server= error=no%20lease'))[0]).toBe(
      'fail: no lease',
    );
    expect(judged(changed(1, 'step=ping status=1 error='))[1]).toBe('fail: no answer');
    const wrong = 'step=send status=0 bytes=1000000 crc=00000000 from=1.00 to=2.00 error=';
    expect(judged(changed(2, wrong))[2]).toBe("fail: CRC-32 00000000, 1 MB/s of the guest's time");
    const silent = 'step=take status=timeout bytes=1000000 crc= from=1.00 to=2.00 error=';
    expect(judged(changed(3, silent))[3]).toBe('fail: timeout');
    expect(judged(seen(LINES.slice(0, 2))).slice(2)).toEqual([
      'fail: the guest did not come to it',
      'fail: the guest did not come to it',
    ]);
    expect(judged([])).toEqual(['fail: the guest did not come to it']);
  });

  test('is not seen where nobody tries it', () => {
    expect(judged(undefined)).toEqual(['not-observable: this backend does not try it']);
    expect(judged(undefined, ['transfer'])).toEqual([
      'not-observable: this backend does not try it',
    ]);
  });

  test('is planned for each virtio-net, if the topology asks, with time in proportion', () => {
    expect(transfers(shipped, planName)).toEqual([
      { verb: 'transfer', at: '0000:00:02.0', bytes: 64 << 20, seed: 'net0', timeout: 68 },
    ]);
    expect(transfers(shippedModel('several-endpoints'), planName)).toEqual([]);
  });
});

test('the sums are of what is really sent', () => {
  const block = Buffer.alloc(65_536, 'net0\n');
  const hex = (data: Uint8Array): string => crc32(data).toString(16).padStart(8, '0');
  for (const size of [1, 65_535, 65_536, 200_001]) {
    const sent = Buffer.concat(Array.from({ length: 4 }, () => block)).subarray(0, size);
    expect(sentCrc32('net0', BigInt(size))).toBe(hex(sent));
    expect(patternCrc32(BigInt(size))).toBe(hex(patternBytes(0, size)));
  }
});
