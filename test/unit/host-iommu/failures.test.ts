import { describe, expect, test } from 'vitest';
import {
  HostContainer,
  HostPort,
  HostTranslator,
  type ContainerOptions,
} from '../../../src/host-iommu/index.ts';
import { IommuDebug } from '../../../src/iommu/index.ts';
import { GuestMemory, TranslatedDma } from '../../../src/memory/index.ts';
import { IOERR, OK, RANGE, Rig, UNSUPP, type RigOptions } from '../../support/iommu-rig.ts';

const NEEDS_RESET = 0x40;

/** Endpoints 1 and 2 behind containers `a` and `b`. */
function passed(options: RigOptions = {}): { rig: Rig; a: HostContainer; b: HostContainer } {
  const memory = new GuestMemory();
  const [a, b] = [new HostContainer(), new HostContainer()];
  const endpoints = [
    { id: 1, port: new HostPort(a, memory) },
    { id: 2, port: new HostPort(b, memory) },
  ];
  return { rig: new Rig({ bootBypass: false, memory, endpoints, ...options }), a, b };
}

const held = (container: HostContainer): string[] =>
  container.list().map(({ iova, access }) => `${iova.start.toString(16)}:${access}`);

const needsReset = (rig: Rig): boolean => (rig.core.status & NEEDS_RESET) !== 0;

describe('hosts that fail', () => {
  test('a DETACH that the host refuses is told, and the endpoint stays attached', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    a.inject('unmap-all', 'EIO');
    expect(rig.detach(1, 1)).toBe(IOERR);
    expect(rig.device.state.endpoints.get(1)?.domain?.id).toBe(1);
    expect(held(a)).toEqual(['0:3']);
    expect(rig.detach(1, 1)).toBe(OK);
    expect(held(a)).toEqual([]);
    expect(needsReset(rig)).toBe(false);
  });

  test('a DETACH into bypass gives the endpoint all of memory', () => {
    const { rig, a } = passed({ bootBypass: true });
    expect(held(a)).toEqual(['0:3']);
    rig.attach(1, 1);
    rig.map(1, 0x5000n, 0x5fffn, 0n);
    expect(held(a)).toEqual(['5000:3']);
    expect(rig.detach(1, 1)).toBe(OK);
    expect(held(a)).toEqual(['0:3']);
  });

  test('an ATTACH whose host does not even let go of the old content changes nothing', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    a.inject('unmap-all', 'EBUSY');
    expect(rig.attach(2, 1)).toBe(UNSUPP);
    expect(held(a)).toEqual(['0:3']);
    expect(needsReset(rig)).toBe(false);
  });

  test('an UNMAP that the second host refuses and the first cannot undo: DEVICE_NEEDS_RESET', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    rig.attach(1, 2);
    rig.map(1, 0n, 0xfffn, 0n);
    b.inject('unmap', 'EIO');
    a.inject('map', 'EIO');
    expect(rig.unmap(1, 0n, 0xfffn)).toBe(IOERR);
    expect(needsReset(rig)).toBe(true);
  });

  test('no request is taken from the queue after that one', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    rig.attach(1, 2);
    b.inject('map', 'EIO');
    a.inject('unmap', 'EIO');
    // A MAP and an UNMAP in one kick: the first one breaks the device.
    const before = rig.device.state.counters.requests;
    const [map, detach] = [0xa_0000, 0xa_0100];
    rig.ram.set([3, 0, 0, 0, 1], map);
    rig.ram.set([0xff, 0x0f], map + 16);
    rig.ram.set([3], map + 32);
    rig.ram.set([2, 0, 0, 0, 1, 0, 0, 0, 1], detach);
    rig.request.add([{ hi: 0, lo: map, length: 36 }], [{ hi: 0, lo: 0xb_0000, length: 4 }]);
    rig.request.add([{ hi: 0, lo: detach, length: 20 }], [{ hi: 0, lo: 0xb_0010, length: 4 }]);
    rig.core.notify(0);
    expect(needsReset(rig)).toBe(true);
    expect(rig.device.state.counters.requests).toBe(before + 1);
    expect(rig.request.poll()?.length).toBe(4);
    expect(rig.request.poll()).toBe(undefined);
    expect(rig.device.state.endpoints.get(1)?.domain?.id).toBe(1);
  });

  test('a host that keeps a removed endpoint`s mappings: DEVICE_NEEDS_RESET', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    a.inject('unmap-all', 'EIO');
    rig.device.removeEndpoint(1);
    expect(needsReset(rig)).toBe(true);
  });

  test('a host that does not follow a change of bypass: DEVICE_NEEDS_RESET', () => {
    const { rig, a } = passed();
    a.inject('map', 'EIO');
    rig.setBypass(1);
    expect(needsReset(rig)).toBe(true);
    expect(held(a)).toEqual([]);
    a.heal();
    rig.boot();
    expect(needsReset(rig)).toBe(false);
    expect(held(a)).toEqual(['0:3']);
  });

  test('UNMAP of nothing does not ask the host', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    expect(rig.unmap(1, 0x1234n, 0x5678n)).toBe(OK);
    expect(a.calls.unmap).toBe(0);
  });
});

describe('a host that fails before a transport is there', () => {
  test('makes the device ask for a reset as soon as one is, which tries again', () => {
    const a = new HostContainer();
    a.inject('map', 'EIO');
    const memory = new GuestMemory();
    memory.addWindow({ gpa: 0x10_0000n, bytes: new Uint8Array(0x1000) });
    const endpoints = [{ id: 1, port: new HostPort(a, memory) }];
    const rig = new Rig({ bootBypass: true, memory, endpoints, asleep: true });
    expect([needsReset(rig), held(a)]).toEqual([true, []]);
    rig.core.writeStatus(0);
    expect([needsReset(rig), held(a)]).toEqual([false, ['0:3', '100000:3']]);
  });
});

describe('groups and domains', () => {
  test('the rest of a group keeps what the host holds when one of it goes', () => {
    const memory = new GuestMemory();
    const port = new HostPort(new HostContainer(), memory);
    const endpoints = [
      { id: 1, port },
      { id: 2, port },
    ];
    const rig = new Rig({ bootBypass: false, memory, endpoints, quiet: true });
    rig.attach(1, 1);
    rig.attach(1, 2);
    rig.map(1, 0n, 0xfffn, 0n);
    rig.device.removeEndpoint(1);
    expect(held(port.container)).toEqual(['0:3']);
    rig.detach(1, 2);
    expect(held(port.container)).toEqual([]);
    const lines = new IommuDebug(rig.device).list();
    expect(lines).toEqual([expect.stringMatching(/0x2: unattached, blocked, passed through/)]);
  });

  test('what is left of a group decides what its host holds', () => {
    const memory = new GuestMemory();
    const port = new HostPort(new HostContainer(), memory);
    const endpoints = [
      { id: 1, port },
      { id: 2, port },
    ];
    const rig = new Rig({ bootBypass: false, memory, endpoints });
    rig.attach(1, 1, { flags: 1 });
    expect(held(port.container)).toEqual(['0:3']);
    // The second one is in no domain: the host follows the first while it is there.
    for (const bypass of [1, 0]) rig.setBypass(bypass);
    expect(held(port.container)).toEqual(['0:3']);
    rig.device.removeEndpoint(1);
    expect(held(port.container)).toEqual([]);
    rig.device.removeEndpoint(2);
    expect(held(port.container)).toEqual([]);
  });
});

describe('HostPort', () => {
  const ROM = new Uint8Array(0x1000);
  const memory = new GuestMemory([
    { gpa: 0x1000n, bytes: new Uint8Array(0x1000) },
    { gpa: 0x2000n, bytes: ROM, writable: false },
    { gpa: 0x4000n, bytes: new Uint8Array(0x1000) },
  ]);

  test('memory that may only be read is mapped for reading, or not at all', () => {
    const port = new HostPort(new HostContainer(), memory);
    expect(port.map({ start: 0x1000n, end: 0x2fffn }, 0x1000n, 3)).toBe('ok');
    expect(held(port.container)).toEqual(['1000:3', '2000:1']);
    expect(port.unmap({ start: 0x1000n, end: 0x2fffn })).toBe('ok');
    expect(port.map({ start: 0x1000n, end: 0x2fffn }, 0x1000n, 2)).toBe('ok');
    expect(held(port.container)).toEqual(['1000:2']);
    port.unmapAll();
    expect(port.mapIdentity()).toBe('ok');
    expect(held(port.container)).toEqual(['1000:3', '2000:1', '4000:3']);
  });

  test('a hole between windows is out of range, at either end and in the middle', () => {
    const port = new HostPort(new HostContainer(), memory);
    const map = (gpa: bigint, end: bigint): string => port.map({ start: gpa, end }, gpa, 3);
    expect([map(0n, 0x1fffn), map(0x2000n, 0x4fffn), map(0x4000n, 0x5fffn)]).toEqual([
      'out-of-range',
      'out-of-range',
      'out-of-range',
    ]);
    expect(held(port.container)).toEqual([]);
  });
});

describe('HostContainer', () => {
  const page = { start: 0x1000n, end: 0x1fffn };

  test.each<ContainerOptions>([{ pageSizeMask: 0n }, { pageSizeMask: -1n }])(
    'has page sizes: %o is none',
    (options) => {
      expect(() => new HostContainer(options)).toThrow(RangeError);
    },
  );

  test('refuses its own windows, unaligned unmaps, and what is injected', () => {
    const container = new HostContainer({ reserved: [{ range: page, type: 'msi' }] });
    expect(container.map({ iova: page, vaddr: 0n, access: 3 })).toBe('EINVAL');
    expect(container.unmap({ start: 1n, end: 0xfffn })).toBe('EINVAL');
    expect(container.unmap({ start: 0x1000n, end: 0xfffn })).toBe('EINVAL');
    container.inject('unmap-all', 'EIO', 1, 2);
    const results = [1, 2, 3, 4].map(() => container.unmapAll());
    expect(results).toEqual([undefined, 'EIO', 'EIO', undefined]);
    container.inject('unmap', 'EIO', 0, 9);
    container.heal();
    expect(container.unmap(page)).toBe(undefined);
  });

  test('finds a mapping by its first address, its last, and not past it', () => {
    const container = new HostContainer();
    container.map({ iova: page, vaddr: 0n, access: 3 });
    const found = [0xfffn, 0x1000n, 0x1fffn, 0x2000n].map((at) => container.find(at)?.iova.start);
    expect(found).toEqual([undefined, 0x1000n, 0x1000n, undefined]);
  });
});

describe('HostTranslator', () => {
  test('tells of accesses that the container, or memory behind it, refuses', () => {
    const container = new HostContainer();
    const memory = new GuestMemory([{ gpa: 0n, bytes: new Uint8Array(0x1000) }]);
    const port = new HostPort(container, memory);
    port.map({ start: 0x1000n, end: 0x1fffn }, 0n, 3);
    const faults: string[] = [];
    const translator = new HostTranslator(container, (endpoint, iova, access) =>
      faults.push(`${endpoint} ${iova.toString(16)} ${access}`),
    );
    const dma = new TranslatedDma(memory, translator, 4);
    expect(dma.readU8(0, 0x5000)).toBe(-1);
    memory.removeWindow(0n);
    expect(dma.readU8(0, 0x1004)).toBe(-1);
    expect(faults).toEqual(['4 5000 1', '4 1004 1']);
  });

  test('a status is a status: RANGE for what no window backs', () => {
    const { rig } = passed();
    rig.attach(1, 1);
    expect(rig.map(1, 0n, 0xfffn, 0x8000_0000n)).toBe(RANGE);
  });
});
