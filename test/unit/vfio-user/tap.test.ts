import { describe, expect, test } from 'vitest';
import { buildMachine } from '../../../src/machine/index.ts';
import { GuestMemory } from '../../../src/memory/index.ts';
import { Server, type ServerReport } from '../../../src/vfio-user/server.ts';
import { GONE, isTapName, NO_FRAME, openTap, TapUnavailable } from '../../../src/vfio-user/tap.ts';
import { TAP_ERRNO } from '../../../src/vfio-user/tap-sys.ts';
import { FakeTaps } from '../../support/fake-taps.ts';
import { shippedModel } from '../../support/model-guest.ts';
import { FakeSys } from '../../support/vfio-fake-sys.ts';

const EBADFD = 77;

function refusal(sys: FakeTaps, name = 'tap0'): TapUnavailable {
  try {
    openTap(name, sys);
  } catch (error) {
    if (error instanceof TapUnavailable) return error;
    throw error;
  }
  throw new Error('it was opened');
}

describe('a TAP interface', () => {
  test('takes frames and gives them, each the reader’s to keep', () => {
    const sys = new FakeTaps();
    const tap = openTap('tap0', sys);
    expect([...sys.held.values()]).toEqual(['tap0']);
    sys.incoming.push(Uint8Array.of(1, 2, 3), Uint8Array.of(4));
    const first = tap.receive();
    expect([first, tap.receive(), tap.receive()]).toEqual([
      Uint8Array.of(1, 2, 3),
      Uint8Array.of(4),
      NO_FRAME,
    ]);
    tap.send(Uint8Array.of(9));
    expect(sys.written).toEqual([Uint8Array.of(9)]);
    expect([tap.lost, tap.lostDown]).toEqual([0, 0]);
    tap.close();
    expect(sys.held.size).toBe(0);
  });

  test('counts what Linux does not take, and notices that it was deleted', () => {
    const sys = new FakeTaps();
    const tap = openTap('tap0', sys);
    sys.writeError = TAP_ERRNO.EIO;
    tap.send(Uint8Array.of(1));
    tap.send(Uint8Array.of(1));
    sys.writeError = TAP_ERRNO.EAGAIN;
    tap.send(Uint8Array.of(1));
    expect([tap.lostDown, tap.lost]).toEqual([2, 1]);
    sys.readError = EBADFD;
    expect(tap.receive()).toBe(GONE);
  });

  test.each([
    [TAP_ERRNO.ENOENT, 'there is no /dev/net/tun', 'modprobe tun'],
    [TAP_ERRNO.ENXIO, 'no driver behind /dev/net/tun', 'CONFIG_TUN'],
    [TAP_ERRNO.ENODEV, 'no driver behind /dev/net/tun', 'CONFIG_TUN'],
    [TAP_ERRNO.EACCES, 'you may not open /dev/net/tun', 'chmod'],
    [24, 'error 24', 'man 3 errno'],
  ])('a device that cannot be opened (%i) is told with its cure', (errno, what, cure) => {
    const sys = new FakeTaps();
    sys.openError = errno;
    const error = refusal(sys);
    expect(error.message).toContain('tap0');
    expect(error.message).toContain(what);
    expect(error.cure).toContain(cure);
  });

  test.each([
    [TAP_ERRNO.EPERM, 'CAP_NET_ADMIN', 'sudo ip tuntap add dev tap0 mode tap user "$USER"'],
    [TAP_ERRNO.EBUSY, 'another program has it open', 'end that program'],
    [TAP_ERRNO.EINVAL, 'it is no TAP interface', 'ip tuntap add'],
    [12, 'TUNSETIFF: error 12', 'man 3 errno'],
  ])('one that cannot be had (%i) is told with its cure, and nothing stays open', (...given) => {
    const [errno, what, cure] = given;
    const sys = new FakeTaps();
    sys.attachError = errno;
    const error = refusal(sys);
    expect(error.message).toContain(what);
    expect(error.cure).toContain(cure);
    expect(sys.held.size).toBe(0);
  });

  test('names are those that Linux takes as they are', () => {
    for (const name of ['tap0', 'a', 'br-lan.7_x', 'fifteen-letters']) {
      expect([name, isTapName(name)]).toEqual([name, true]);
    }
    for (const name of ['', '.', '..', 'tap%d', 'a/b', 'a b', 'a:1', 'sixteen-letters!', 'täp']) {
      expect([name, isTapName(name)]).toEqual([name, false]);
    }
    expect(isTapName('x'.repeat(16))).toBe(false);
    const sys = new FakeTaps();
    expect(refusal(sys, 'tap%d').message).toContain('"tap%d" is no name of an interface');
    expect(sys.held.size).toBe(0);
  });
});

describe('what a server listens to besides its sockets', () => {
  function server(): { server: Server; reports: ServerReport[] } {
    const machine = buildMachine(shippedModel('its'), { memory: new GuestMemory() });
    const reports: ServerReport[] = [];
    return { server: new Server(new FakeSys(), machine, (one) => void reports.push(one)), reports };
  }

  test('is asked whenever it is ready, until it says that it is over', () => {
    const { server: one } = server();
    let asked = 0;
    one.listenTo({ fd: 7, work: () => ++asked < 3 });
    for (let i = 0; i < 5; i++) one.step(0);
    expect(asked).toBe(3);
    one.stop();
  });

  test('waits while the devices are held', () => {
    const { server: one } = server();
    let asked = 0;
    one.listenTo({ fd: 7, work: () => ++asked > 0 });
    one.hold();
    one.step(0);
    expect(asked).toBe(0);
    one.release();
    one.step(0);
    expect(asked).toBe(1);
    one.stop();
  });

  test('is given up when it throws, which is reported once', () => {
    const { server: one, reports } = server();
    one.listenTo({
      fd: 7,
      work: () => {
        throw new Error('planted');
      },
    });
    for (let i = 0; i < 3; i++) one.step(0);
    expect(reports).toHaveLength(1);
    expect(JSON.stringify(reports)).toContain('planted');
    one.stop();
  });
});
