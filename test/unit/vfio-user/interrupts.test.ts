import { describe, expect, test } from 'vitest';
import {
  EBADF,
  EINVAL,
  ENOTSUP,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_USER_DEVICE_SET_IRQS,
} from '../../../src/spec/vfio-user.ts';
import { irqBody } from '../../support/vfio-client.ts';
import { rig, type Rig } from '../../support/vfio-session.ts';

const FDS = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
const OFF = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE;
const UNMASK = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE;
const MSIX = VFIO_PCI_MSIX_IRQ_INDEX;
const INTX = VFIO_PCI_INTX_IRQ_INDEX;

function set(
  one: Rig,
  flags: number,
  index: number,
  { start = 0, count = 1, fds = [] as number[], data = [] as number[] } = {},
): number {
  const body = Buffer.concat([irqBody(flags, index, start, count), Uint8Array.from(data)]);
  return one.request(VFIO_USER_DEVICE_SET_IRQS, body, fds).errno;
}

/** MSI-X on, as a guest does it through configuration space. */
function enableMsix({ device }: Rig, on = true): void {
  const { config } = device.fn;
  const register = config.registers.find(({ name }) => name === 'Message Control');
  config.write(register?.offset ?? 0, 2, on ? 0x8000 : 0);
}

describe('MSI-X', () => {
  test('a message is a count on the eventfd of its vector', () => {
    const one = rig();
    enableMsix(one);
    const fds = [one.sys.eventfd(), one.sys.eventfd()];
    expect(set(one, FDS, MSIX, { count: 2, fds })).toBe(0);
    one.device.fn.message(1);
    one.device.fn.message(1);
    expect(fds.map((fd) => one.sys.counts.get(fd))).toEqual([0, 2]);
    expect(one.device.irqs.held).toBe(2);
  });

  test('the way QEMU takes when the guest switches MSI-X on', () => {
    const one = rig();
    enableMsix(one);
    expect(set(one, FDS, MSIX)).toBe(0);
    expect(set(one, OFF, MSIX, { count: 0 })).toBe(0);
    // Between taking all away and setting them anew: the message is not lost.
    one.device.fn.message(0);
    const fds = [one.sys.eventfd(), one.sys.eventfd()];
    expect(set(one, FDS, MSIX, { count: 2, fds })).toBe(0);
    expect(one.sys.counts.get(fds[0] ?? 0)).toBe(1);
  });

  test('what was owed is forgotten when messages are switched off', () => {
    const one = rig();
    enableMsix(one);
    one.device.fn.message(0);
    enableMsix(one, false);
    set(one, OFF, MSIX, { count: 0 });
    const fd = one.sys.eventfd();
    set(one, FDS, MSIX, { fds: [fd] });
    expect(one.sys.counts.get(fd)).toBe(0);
  });

  test('vectors can be set and taken one by one; nothing leaks', () => {
    const one = rig();
    const before = one.sys.open.size;
    for (let i = 0; i < 20; i++) set(one, FDS, MSIX, { start: 1, fds: [one.sys.eventfd()] });
    expect(one.sys.open.size).toBe(before + 1);
    set(one, FDS, MSIX, { start: 1 });
    expect(one.sys.open.size).toBe(before);
  });

  test('a VMM can trigger a vector itself', () => {
    const one = rig();
    const fds = [one.sys.eventfd(), one.sys.eventfd()];
    set(one, FDS, MSIX, { count: 2, fds });
    set(one, OFF, MSIX, { start: 1 });
    const bools = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_BOOL;
    expect(set(one, bools, MSIX, { count: 2, data: [0, 1] })).toBe(0);
    expect(fds.map((fd) => one.sys.counts.get(fd))).toEqual([0, 2]);
    expect(set(one, bools, MSIX, { count: 2, data: [1] })).toBe(EINVAL);
  });

  test('the device is told of each message, and whether it went', () => {
    const one = rig();
    const seen: boolean[] = [];
    one.device.fn.onMessage = ({ delivered }) => void seen.push(delivered);
    enableMsix(one);
    one.device.fn.message(0);
    set(one, FDS, MSIX, { fds: [one.sys.eventfd()] });
    one.device.fn.message(0);
    expect(seen).toEqual([false, true]);
  });
});

describe('INTx', () => {
  function level(one: Rig, on: boolean): void {
    one.device.fn.setIntx(on);
  }

  test('signals once, masks itself, and again at UNMASK while the line is up', () => {
    const one = rig();
    const fd = one.sys.eventfd();
    expect(set(one, FDS, INTX, { fds: [fd] })).toBe(0);
    level(one, true);
    level(one, false);
    level(one, true);
    expect(one.sys.counts.get(fd)).toBe(1);
    expect(set(one, UNMASK, INTX)).toBe(0);
    expect(one.sys.counts.get(fd)).toBe(2);
    level(one, false);
    set(one, UNMASK, INTX);
    expect(one.sys.counts.get(fd)).toBe(2);
  });

  test('a line that is up already is told of when the eventfd comes', () => {
    const one = rig();
    level(one, true);
    const fd = one.sys.eventfd();
    set(one, FDS, INTX, { fds: [fd] });
    expect(one.sys.counts.get(fd)).toBe(1);
  });

  test('MASK holds it back', () => {
    const one = rig();
    const fd = one.sys.eventfd();
    set(one, FDS, INTX, { fds: [fd] });
    expect(set(one, VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_DATA_NONE, INTX)).toBe(0);
    level(one, true);
    expect(one.sys.counts.get(fd)).toBe(0);
    set(one, VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_BOOL, INTX, { data: [1] });
    expect(one.sys.counts.get(fd)).toBe(1);
  });

  test("an eventfd for unmasking is KVM's, and refused", () => {
    const one = rig();
    const flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_EVENTFD;
    const before = one.sys.open.size;
    expect(set(one, flags, INTX, { fds: [one.sys.eventfd()] })).toBe(ENOTSUP);
    expect(one.sys.open.size).toBe(before);
  });
});

describe('what is no interrupt', () => {
  test.each([
    ['a vector that there is not', FDS, MSIX, { start: 2 }, EINVAL],
    ['more than there are', FDS, MSIX, { count: 3 }, EINVAL],
    ['a count near 2^32', OFF, MSIX, { start: 0xffff_ffff, count: 0xffff_ffff }, EINVAL],
    ['the error interrupt', OFF, VFIO_PCI_ERR_IRQ_INDEX, { count: 0 }, EINVAL],
    ['an index that there is not', OFF, 77, {}, EINVAL],
    ['no action', VFIO_IRQ_SET_DATA_NONE, MSIX, {}, EINVAL],
    ['two actions', OFF | VFIO_IRQ_SET_ACTION_MASK, MSIX, {}, EINVAL],
    ['masking of MSI-X', VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_DATA_NONE, MSIX, {}, EINVAL],
  ])('%s is refused', (_what, flags, index, more, errno) => {
    expect(set(rig(), flags, index, more)).toBe(errno);
  });

  test('descriptors that are no eventfds, or not as many as said, are refused and closed', () => {
    const one = rig();
    const before = one.sys.open.size;
    expect(set(one, FDS, MSIX, { fds: [one.sys.file(4096)] })).toBe(EBADF);
    const fds = [one.sys.eventfd(), one.sys.eventfd()];
    expect(set(one, FDS, MSIX, { count: 1, fds })).toBe(EINVAL);
    expect(one.sys.open.size).toBe(before);
  });

  test('all eventfds are given back when the client goes', () => {
    const one = rig();
    const before = one.sys.open.size;
    set(one, FDS, MSIX, { count: 2, fds: [one.sys.eventfd(), one.sys.eventfd()] });
    set(one, FDS, INTX, { fds: [one.sys.eventfd()] });
    one.device.abandon();
    expect(one.sys.open.size).toBe(before);
  });
});
