import { expect, test } from 'vitest';
import { RootPort, type PciHost } from '../../../src/pci/index.ts';
import { PCI_CAP_ID_MSIX } from '../../../src/spec/pci-config.ts';
import { DOORBELL, host, memory, sample, type Message } from './fixture.ts';
import { PciGuest } from './guest.ts';

function machine(): {
  bus: PciHost;
  messages: Message[];
  lines: boolean[];
  fn: ReturnType<typeof sample>['fn'];
} {
  const { dma, messages } = memory();
  const lines: boolean[] = [];
  const bus = host((_, level) => void lines.push(level));
  const port = new RootPort({ name: 'port', dma, hotplug: true });
  const { fn } = sample(dma);
  port.install(fn);
  bus.root.plug(0x08, port);
  bus.root.plug(0x10, sample(dma).fn);
  return { bus, messages, lines, fn };
}

test('a host with everything in it goes on in another where it stopped', () => {
  const one = machine();
  const guest = new PciGuest(one.bus, 0x1000_0000);
  guest.scan(0);
  const base = guest.assign(0x0100).get(1) ?? 0;
  guest.openWindow(0x0008, 0x1000_0000, 0x100f_ffff);
  const control = guest.capability(0x0100, PCI_CAP_ID_MSIX) + 2;
  guest.host.write(base, 4, DOORBELL);
  guest.host.write(base + 8, 4, 99);
  guest.write(0x0100, control, 2, 0x8000);
  one.fn.message(0);
  one.bus.root.at(0x10)?.setIntx(true);

  const state = structuredClone(one.bus.snapshot());
  const two = machine();
  two.bus.restore(state);
  expect(two.bus.snapshot()).toEqual(state);
  expect(two.lines).toEqual([true]);
  // Decoding, bus numbers, the mask and what was pending are there: unmasking sends.
  expect(two.bus.read(base + 8, 4)).toBe(99);
  expect(two.fn.requesterId).toBe(0x0100);
  expect(two.messages).toEqual([]);
  two.bus.write(base + 12, 4, 0);
  expect(two.messages).toEqual([{ address: DOORBELL, value: 99 }]);
});

test('a state of other functions is refused', () => {
  const one = machine();
  const state = one.bus.snapshot();
  one.bus.root.unplug(0x10);
  expect(() => one.bus.restore(state)).toThrow(RangeError);
  const { bus } = machine();
  const { '02.0': missing, ...less } = state.functions;
  expect(missing).toBeDefined();
  expect(() => bus.restore({ functions: less })).toThrow(/02\.0/u);
});
