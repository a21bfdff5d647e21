import { describe, expect, test } from 'vitest';
import {
  EINVAL,
  VFIO_USER_DEVICE_GET_INFO,
  VFIO_USER_DMA_MAP,
  VFIO_USER_REGION_READ,
} from '../../../src/spec/vfio-user.ts';
import { accessBody, mapBody, message } from '../../support/vfio-client.ts';
import { rig, type Rig } from '../../support/vfio-session.ts';

const INFO = message(1, VFIO_USER_DEVICE_GET_INFO);
const REPLY = 32;

/** Bytes that come back for chunks that come one after the other. */
function feed(
  one: Rig,
  chunks: readonly Uint8Array[],
  fds: readonly (readonly number[])[] = [],
): number {
  one.sys.sent.length = 0;
  for (const [index, bytes] of chunks.entries()) {
    one.sys.incoming.push({ bytes, fds: fds[index] ?? [] });
    one.connection.work();
  }
  return one.sys.sent.length;
}

describe('a stream of messages', () => {
  test('several in one chunk, and one in many', () => {
    const one = rig();
    expect(feed(one, [Buffer.concat([INFO, INFO, INFO])])).toBe(3 * REPLY);
    const bytes = [...INFO].map((byte) => Uint8Array.of(byte));
    expect(feed(one, bytes)).toBe(REPLY);
  });

  test('whatever the chunks are, the answers are the same', () => {
    const stream = Buffer.concat([
      INFO,
      message(2, VFIO_USER_REGION_READ, accessBody(7, 0, 64)),
      message(3, 99),
      INFO,
    ]);
    const whole = rig();
    feed(whole, [stream]);
    for (let cut = 1; cut < stream.length; cut += 4) {
      const parted = rig();
      feed(parted, [stream.subarray(0, cut), stream.subarray(cut)]);
      expect(parted.sys.sent).toEqual(whole.sys.sent);
    }
  });

  test('descriptors belong to the message of the last byte that came with them', () => {
    const one = rig();
    const start = one.machine.model.memory[0]?.start ?? 0n;
    const map = message(2, VFIO_USER_DMA_MAP, mapBody(start, 4096n));
    const before = one.sys.open.size;
    // Behind another message in the chunk.
    feed(one, [Buffer.concat([INFO, map])], [[one.sys.file(4096)]]);
    expect(one.maps.size).toBe(1);
    one.maps.unmapAll();
    // With the beginning of a message that is not whole yet.
    feed(
      one,
      [Buffer.concat([INFO, map.subarray(0, 20)]), map.subarray(20)],
      [[one.sys.file(4096)]],
    );
    expect(one.maps.size).toBe(1);
    expect(one.sys.open.size).toBe(before);
  });

  test('descriptors that nobody asked for are closed', () => {
    const one = rig();
    const before = one.sys.open.size;
    feed(one, [INFO, INFO], [[one.sys.file(1)], [one.sys.eventfd(), one.sys.eventfd()]]);
    expect(one.sys.open.size).toBe(before);
  });

  test('the client dies in the middle of a message: what came with it is closed', () => {
    const one = rig();
    const before = one.sys.open.size;
    feed(one, [INFO.subarray(0, 10)], [[one.sys.file(1)]]);
    expect(one.sys.open.size).toBe(before + 1);
    one.sys.hungUp = true;
    expect(one.connection.work()).toBe(false);
    one.connection.close();
    expect(one.sys.open.size).toBe(before - 1);
  });

  test('descriptors that pile up before a message end the connection', () => {
    const one = rig();
    feed(
      one,
      Array.from({ length: 15 }, (_, i) => INFO.subarray(i, i + 1)),
      Array.from({ length: 15 }, () => Array.from({ length: 16 }, () => one.sys.file(1))),
    );
    expect(one.session.over).toBe(true);
    one.connection.close();
    expect(one.sys.open.size).toBe(0);
  });

  test.each([
    ['a size below a header', [0, 0, 4, 0, 15, 0, 0, 0]],
    ['a size of 4 GiB', [0, 0, 4, 0, 0xff, 0xff, 0xff, 0xff]],
  ])('%s is answered and ends the connection', (_what, start) => {
    const one = rig();
    const bytes = Uint8Array.from([...start, ...Array.from({ length: 8 }, () => 0)]);
    feed(one, [bytes]);
    expect(Buffer.from(one.sys.sent).readUInt32LE(12)).toBe(EINVAL);
    expect(one.session.over).toBe(true);
    expect(one.problems[0]?.code).toBe('vfio-user/protocol');
  });

  test('a reply to nothing ends the connection', () => {
    const one = rig();
    feed(one, [message(1, VFIO_USER_DEVICE_GET_INFO, undefined, 1)]);
    expect(one.session.over).toBe(true);
  });
});

describe('a client that reads slowly', () => {
  test('gets the rest when there is room, in order', () => {
    const one = rig();
    one.sys.room = 40;
    expect(feed(one, [Buffer.concat([INFO, message(2, VFIO_USER_DEVICE_GET_INFO)])])).toBe(40);
    expect(one.connection.entry.wantsToSend).toBe(true);
    one.sys.room = Infinity;
    one.connection.work();
    expect(one.sys.sent).toHaveLength(2 * REPLY);
    expect(one.sys.sent[REPLY]).toBe(2);
    expect(one.connection.entry.wantsToSend).toBe(false);
  });

  test('is not read from meanwhile', () => {
    const one = rig();
    one.sys.room = 0;
    feed(one, [INFO, INFO]);
    expect(one.sys.incoming).toHaveLength(1);
  });

  test('one that never reads is cut off, with a bound on what waits', () => {
    const one = rig();
    one.sys.room = 0;
    const read = message(1, VFIO_USER_REGION_READ, accessBody(4, 0, 0x4000));
    feed(one, [Buffer.concat(Array.from({ length: 1000 }, () => read))]);
    expect(one.session.over).toBe(true);
    expect(one.problems.at(-1)?.message).toContain('does not read');
  });
});
