import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LinuxSys } from '../../../src/vfio-user/ffi.ts';
import { AGAIN, BROKEN, CLOSED } from '../../../src/vfio-user/sys.ts';
import { ServerUnavailable } from '../../../src/vfio-user/unavailable.ts';
import {
  closeFd,
  connectTo,
  makeEventfd,
  mapShared,
  memfd,
  receiveSome,
  sendAll,
  takeCount,
} from '../../support/vfio-ffi.ts';

const MIB = 2 ** 20;

describe('Linux', () => {
  let sys: LinuxSys;
  let directory: string;

  beforeEach(() => {
    sys = new LinuxSys();
    directory = mkdtempSync(join(tmpdir(), 'vfio-'));
  });

  afterEach(() => {
    sys.end();
    rmSync(directory, { recursive: true });
  });

  function pair(): { client: number; fd: number; close: () => void } {
    const path = join(directory, 's');
    const listener = sys.listen(path);
    const client = connectTo(path);
    const fd = sys.accept(listener);
    return {
      client,
      fd,
      close: () => {
        sys.unlisten(listener, path);
        sys.close(fd);
      },
    };
  }

  test('bytes and descriptors come over a socket, and bytes go back', () => {
    const { client, fd, close } = pair();
    expect(sys.receive(fd)).toBe(AGAIN);
    const file = memfd(MIB);
    sendAll(client, Buffer.from('hello'), [file, file]);
    expect(sys.receive(fd)).toBe(5);
    expect(Buffer.from(sys.rx.subarray(0, 5)).toString()).toBe('hello');
    expect(sys.fds).toHaveLength(2);
    const [first = -1, second = -1] = sys.fds;
    expect(sys.identify(first)).toEqual(sys.identify(second));
    expect(sys.identify(first)).toMatchObject({ size: MIB, regular: true });
    sys.tx.set(Buffer.from('hello to you'));
    expect(sys.send(fd, 12)).toBe(12);
    expect(Buffer.from(receiveSome(client, 1000) ?? []).toString()).toBe('hello to you');
    for (const one of [first, second, file, client]) closeFd(one);
    expect([sys.receive(fd), sys.send(fd, 1)]).toEqual([CLOSED, BROKEN]);
    close();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('what is sent to nobody who reads does not block', () => {
    const { client, fd, close } = pair();
    let sent = 0;
    for (let got = 0; got >= 0; sent += got) {
      got = sys.send(fd, sys.tx.length);
      if (got < 0) expect(got).toBe(AGAIN);
      if (got < 0) break;
    }
    expect(sent).toBeGreaterThan(0);
    closeFd(client);
    close();
  });

  test('poll waits for what is there, and no longer than it may', () => {
    const wake = sys.eventfd();
    const entry = { fd: wake, wantsToSend: false, ready: true };
    expect([sys.poll([entry], 1), entry.ready]).toEqual([0, false]);
    sys.signal(wake);
    expect([sys.poll([entry], 10_000), entry.ready]).toEqual([1, true]);
    sys.drain(wake);
    expect(sys.poll([entry], 0)).toBe(0);
    sys.close(wake);
  });

  test('an eventfd is told from other descriptors', () => {
    const event = makeEventfd();
    const file = memfd(4096);
    expect([event, file, 9999].map((fd) => sys.isEventfd(fd))).toEqual([true, false, false]);
    sys.signal(event);
    sys.signal(event);
    expect(takeCount(event)).toBe(2);
    closeFd(event);
    closeFd(file);
  });

  test('a part of a file is shared, both ways; afterwards zeros are there, and no crash', () => {
    const file = memfd(4 * MIB);
    const { bytes, release } = mapShared(file, 4 * MIB);
    const mapped = sys.map(file, MIB, 2 * MIB, true);
    if (mapped === undefined) throw new Error('not mapped');
    bytes[MIB + 5] = 9;
    mapped[2 * MIB - 1] = 7;
    expect([mapped[5], bytes[3 * MIB - 1], mapped.length]).toEqual([9, 7, 2 * MIB]);
    sys.unmap(mapped);
    expect([mapped[5], bytes[MIB + 5]]).toEqual([0, 9]);
    // The next of that size takes its place, and the view with it.
    expect(sys.map(file, 0, 2 * MIB, true)).toBe(mapped);
    bytes[0] = 3;
    expect(mapped[0]).toBe(3);
    const maps = (): number =>
      readFileSync('/proc/self/maps', 'utf8').split('memfd:guest').length - 1;
    expect(maps()).toBe(2);
    sys.unmap(mapped);
    expect(maps()).toBe(1);
    release();
    closeFd(file);
  });

  test('what cannot be mapped is said, not thrown', () => {
    const device = openSync('/dev/null', 'r');
    const event = makeEventfd();
    for (const fd of [event, 9999]) expect(sys.map(fd, 0, 4096, true)).toBeUndefined();
    expect(sys.identify(9999)).toBeUndefined();
    expect(sys.identify(device)?.regular).toBe(false);
    const own = openSync(import.meta.filename, 'r');
    // Open for reading only.
    expect(sys.map(own, 0, 4096, true)).toBeUndefined();
    for (const fd of [device, own]) closeSync(fd);
    closeFd(event);
  });

  test('a path that is taken, or none, is an error that names it', () => {
    const path = join(directory, 's');
    const fd = sys.listen(path);
    expect(() => sys.listen(path)).toThrow(path);
    expect(() => sys.listen(join(directory, 'no', 'such'))).toThrow('no/such');
    expect(() => sys.listen(`/${'x'.repeat(108)}`)).toThrow('longer');
    sys.unlisten(fd, path);
  });
});

test('on another system it is said what to do instead', () => {
  const platform = vi.spyOn(process, 'platform', 'get').mockReturnValue('darwin');
  try {
    expect(() => new LinuxSys()).toThrow(ServerUnavailable);
    expect(() => new LinuxSys()).toThrow('darwin');
  } finally {
    platform.mockRestore();
  }
});
