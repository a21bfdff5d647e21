import { describe, expect, test } from 'vitest';
import { HostContainer, HostPort, HostTranslator } from '../../../src/host-iommu/index.ts';
import type { PassthroughPort } from '../../../src/iommu/index.ts';
import { GuestMemory, TranslatedDma } from '../../../src/memory/index.ts';
import {
  DEVERR,
  IOERR,
  NOMEM,
  OK,
  RANGE,
  Rig,
  UNSUPP,
  type RigOptions,
} from '../../support/iommu-rig.ts';

const ALL = (1n << 64n) - 1n;

interface Passed {
  readonly rig: Rig;
  readonly a: HostContainer;
  readonly b: HostContainer;
}

/** Endpoints 1 and 2 passed through with a container each, 3 emulated. */
function passed(options: RigOptions = {}, containers: Partial<Passed> = {}): Passed {
  const memory = new GuestMemory([{ gpa: 0x10_0000n, bytes: new Uint8Array(0x10_0000) }]);
  const { a = new HostContainer(), b = new HostContainer() } = containers;
  // The vIOMMU's idea of a port is the host's, though neither room knows the other.
  const ports: PassthroughPort[] = [new HostPort(a, memory), new HostPort(b, memory)];
  const endpoints = [...ports.map((port, i) => ({ id: i + 1, port })), { id: 3 }];
  const rig = new Rig({ bootBypass: false, memory, endpoints, ...options });
  return { rig, a, b };
}

const held = (container: HostContainer): string[] =>
  container.list().map(({ iova, access }) => `${iova.start.toString(16)}:${access}`);

describe('mappings of passed-through endpoints', () => {
  test('MAP and UNMAP reach every host of the domain, and ATTACH replays', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    expect(rig.map(1, 0x1000n, 0x1fffn, 0x2000n)).toBe(OK);
    expect(rig.map(1, 0x3000n, 0x3fffn, 0x4000n, 1)).toBe(OK);
    expect([held(a), held(b)]).toEqual([['1000:3', '3000:1'], []]);
    rig.attach(1, 2);
    expect(held(b)).toEqual(['1000:3', '3000:1']);
    // A guest need not align an UNMAP.
    expect(rig.unmap(1, 0x0n, 0x2345n)).toBe(OK);
    expect([held(a), held(b)]).toEqual([['3000:1'], ['3000:1']]);
    rig.detach(1, 2);
    expect([held(a), held(b)]).toEqual([['3000:1'], []]);
    rig.attach(2, 1);
    expect(held(a)).toEqual([]);
  });

  test('the device behind the host reaches exactly what the guest mapped', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    rig.map(1, 0x1000n, 0x1fffn, 0x2000n, 1);
    const dma = new TranslatedDma(rig.memory, new HostTranslator(a), 1);
    rig.ram[0x2004] = 9;
    expect(dma.readU8(0, 0x1004)).toBe(9);
    expect(dma.writeU8(0, 0x1004, 1)).toBe(false);
    expect(dma.readU8(0, 0x2004)).toBe(-1);
    rig.unmap(1, 0x1000n, 0x1fffn);
    expect(dma.readU8(0, 0x1004)).toBe(-1);
  });

  test('a MAP over two memory windows is two host mappings; bypass maps all windows', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    expect(rig.map(1, 0x7000_0000n, 0x7001_ffffn, 0xf_0000n)).toBe(OK);
    expect(held(a)).toEqual(['70000000:3', '70010000:3']);
    expect(rig.map(1, 0n, 0xfffn, 0x8000_0000n)).toBe(RANGE);
    expect(rig.attach(2, 1, { flags: 1 })).toBe(OK);
    expect(held(a)).toEqual(['0:3', '100000:3']);
    rig.detach(2, 1);
    expect(held(a)).toEqual([]);
    rig.setBypass(1);
    expect(held(a)).toEqual(['0:3', '100000:3']);
  });

  test('a MAP that fails half-way leaves nothing, in that host or any other', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    rig.attach(1, 2);
    b.inject('map', 'ENOMEM', 1);
    // Two pieces for each: the second of the second host fails.
    expect(rig.map(1, 0x7000_0000n, 0x7001_ffffn, 0xf_0000n)).toBe(NOMEM);
    expect([held(a), held(b)]).toEqual([[], []]);
    expect(rig.device.state.mappings).toBe(0);
    expect(rig.map(1, 0x7000_0000n, 0x7001_ffffn, 0xf_0000n)).toBe(OK);
  });

  test.each([
    ['ENOSPC', NOMEM],
    ['EINVAL', RANGE],
    ['EIO', IOERR],
    ['EBUSY', DEVERR],
  ] as const)('a host`s %s becomes a status', (errno, status) => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    a.inject('map', errno);
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(status);
    rig.map(1, 0n, 0xfffn, 0n);
    a.inject('unmap', errno);
    expect(rig.unmap(1, 0n, 0xfffn)).toBe(status);
    expect(rig.device.state.mappings).toBe(1);
    expect(held(a)).toEqual(['0:3']);
  });

  test('an UNMAP that the second host refuses is undone on the first', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    rig.attach(1, 2);
    for (const at of [0n, 0x1000n, 0x2000n]) rig.map(1, at, at + 0xfffn, 0n);
    b.inject('unmap', 'EIO');
    expect(rig.unmap(1, 0x1000n, 0x2fffn)).toBe(IOERR);
    expect(held(a)).toEqual(held(b));
    expect(held(a)).toHaveLength(3);
    expect(rig.core.status & 0x40).toBe(0);
  });

  test('a host that loses its old mappings in a failed ATTACH makes the device ask for a reset', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    rig.attach(2, 3);
    rig.map(2, 0n, 0xfffn, 0n);
    // Neither the new domain nor, afterwards, the old one.
    a.inject('map', 'EIO', 0, 2);
    expect(rig.attach(2, 1)).toBe(UNSUPP);
    expect(rig.core.status & 0x40).toBe(0x40);
    expect(rig.device.state.endpoints.get(1)?.domain?.id).toBe(1);
    rig.boot();
    expect(rig.attach(1, 1)).toBe(OK);
  });

  test('a host that does not take back its own half of a MAP makes it ask for one too', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    a.inject('map', 'EIO', 1);
    a.inject('unmap', 'EIO');
    expect(rig.map(1, 0x7000_0000n, 0x7001_ffffn, 0xf_0000n)).toBe(DEVERR);
    expect(rig.core.status & 0x40).toBe(0x40);
  });

  test('an own region wins over the host`s window, and one MSI region is left', () => {
    const own = { range: { start: 0xfee1_0000n, end: 0xfee1_ffffn }, type: 'msi' } as const;
    const window = { range: { start: 0xfee0_0000n, end: 0xfeef_ffffn }, type: 'msi' } as const;
    const host = new HostContainer({ reserved: [window], aperture: [{ start: 0n, end: ALL }] });
    const port = new HostPort(host, new GuestMemory());
    const rig = new Rig({ endpoints: [{ id: 1, reserved: [own], port }] });
    expect(rig.device.endpoints.get(1)?.regions.list).toEqual([
      { range: { start: 0xfee0_0000n, end: 0xfee0_ffffn }, type: 'reserved' },
      own,
      { range: { start: 0xfee2_0000n, end: 0xfeef_ffffn }, type: 'reserved' },
    ]);
    const hole = { range: { start: 0xfee1_0000n, end: 0xfee1_ffffn }, type: 'reserved' } as const;
    const cut = new Rig({ endpoints: [{ id: 1, reserved: [hole], port }] });
    const types = cut.device.endpoints.get(1)?.regions.list.map(({ type }) => type);
    expect(types).toEqual(['reserved', 'reserved', 'reserved']);
  });

  test('a host that does not let itself be undone makes the device ask for a reset', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    rig.attach(1, 2);
    b.inject('map', 'EIO');
    a.inject('unmap', 'EIO');
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(IOERR);
    expect(rig.core.status & 0x40).toBe(0x40);
    // And a reset puts it right.
    rig.boot();
    expect(held(a)).toEqual([]);
    expect(rig.attach(1, 1)).toBe(OK);
  });

  test('an ATTACH whose replay fails leaves the endpoint where it was', () => {
    const { rig, a, b } = passed();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    rig.map(1, 0x1000n, 0x1fffn, 0n);
    rig.attach(2, 2);
    rig.map(2, 0x5000n, 0x5fffn, 0n);
    b.inject('map', 'ENOSPC', 1);
    expect(rig.attach(1, 2)).toBe(UNSUPP);
    expect(rig.device.state.endpoints.get(2)?.domain?.id).toBe(2);
    expect(held(b)).toEqual(['5000:3']);
    // From nowhere the host's own reason is told.
    rig.detach(2, 2);
    b.inject('map', 'ENOSPC', 1);
    expect(rig.attach(1, 2)).toBe(NOMEM);
    expect(held(b)).toEqual([]);
    expect(rig.attach(1, 2)).toBe(OK);
    expect(held(b)).toEqual(held(a));
  });

  test('the mapping limit of the host is a NOMEM of the guest', () => {
    const { rig } = passed({}, { a: new HostContainer({ mappings: 2 }) });
    rig.attach(1, 1);
    const status = [0n, 1n, 2n].map((i) => rig.map(1, i << 12n, (i << 12n) + 0xfffn, 0n));
    expect(status).toEqual([OK, OK, NOMEM]);
  });

  test('host windows and holes of the aperture are reserved regions of PROBE', () => {
    const msi = { range: { start: 0xfee0_0000n, end: 0xfeef_ffffn }, type: 'msi' } as const;
    const a = new HostContainer({
      aperture: [{ start: 0x1000n, end: (1n << 39n) - 1n }],
      reserved: [msi],
    });
    const { rig } = passed({}, { a });
    const { bytes } = rig.probe(1);
    const view = new DataView(bytes.buffer);
    const regions = [0, 24, 48].map((at) => [
      view.getUint8(at + 4),
      view.getBigUint64(at + 8, true),
      view.getBigUint64(at + 16, true),
    ]);
    expect(regions).toEqual([
      [0, 0n, 0xfffn],
      [1, msi.range.start, msi.range.end],
      [0, 1n << 39n, (1n << 64n) - 1n],
    ]);
    expect(view.getUint32(72, true)).toBe(0);
  });

  test('the host`s page size narrows ours before a driver, and refuses it later', () => {
    const { rig } = passed({}, { a: new HostContainer({ pageSizeMask: 0x1_0000n }) });
    expect(rig.device.state.settings.pageSizeMask & 0xf_ffffn).toBe(0xf_0000n);
    rig.attach(1, 1);
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(RANGE);
    expect(rig.map(1, 0n, 0xffffn, 0n)).toBe(OK);
    const late = new HostContainer({ pageSizeMask: 1n << 21n });
    rig.device.addEndpoint({ id: 9, port: new HostPort(late, rig.memory) });
    expect(rig.attach(1, 9)).toBe(UNSUPP);
    expect(rig.attach(5, 9, { flags: 1 })).toBe(RANGE);
  });

  test('endpoints of one host group cannot be in two domains', () => {
    const memory = new GuestMemory();
    const port = new HostPort(new HostContainer(), memory);
    const endpoints = [
      { id: 1, port },
      { id: 2, port },
    ];
    const rig = new Rig({ bootBypass: false, memory, endpoints });
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    expect(rig.attach(2, 2)).toBe(UNSUPP);
    expect(rig.attach(1, 2)).toBe(OK);
    rig.detach(1, 1);
    expect(held(port.container)).toEqual(['0:3']);
    rig.device.removeEndpoint(2);
    expect(held(port.container)).toEqual([]);
  });

  test('a device reset empties the hosts', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0n);
    rig.core.writeStatus(0);
    expect(held(a)).toEqual([]);
  });

  test('device memory and mappings without rights are not relayed', () => {
    const { rig, a } = passed();
    rig.attach(1, 1);
    expect(rig.map(1, 0n, 0xfffn, 0x8000_0000n, 6)).toBe(OK);
    expect(rig.map(1, 0x1000n, 0x1fffn, 0n, 0)).toBe(OK);
    expect(held(a)).toEqual([]);
    expect(rig.unmap(1, 0n, 0x1fffn)).toBe(OK);
  });
});

describe('HostContainer', () => {
  const page = (at: bigint, pages = 1n): { start: bigint; end: bigint } => ({
    start: at << 12n,
    end: ((at + pages) << 12n) - 1n,
  });

  test('keeps the rules of VFIO type 1 version 2', () => {
    const container = new HostContainer({ mappings: 3 });
    const map = (iova: { start: bigint; end: bigint }, access = 3): unknown =>
      container.map({ iova, vaddr: 0n, access });
    expect(map(page(1n, 4n))).toBe(undefined);
    expect([map(page(4n)), map(page(0n, 2n)), map(page(2n))]).toEqual([
      'EEXIST',
      'EEXIST',
      'EEXIST',
    ]);
    expect(map({ start: 1n, end: 0xfffn })).toBe('EINVAL');
    expect(map(page(9n), 0)).toBe('EINVAL');
    expect(map({ start: 1n << 48n, end: (1n << 48n) + 0xfffn })).toBe('EINVAL');
    expect(container.unmap(page(2n))).toBe('EINVAL');
    expect(container.unmap(page(0n, 2n))).toBe('EINVAL');
    expect(container.unmap(page(9n))).toBe(undefined);
    expect([map(page(9n)), map(page(10n)), map(page(11n))]).toEqual([
      undefined,
      undefined,
      'ENOSPC',
    ]);
    expect(container.find(0x4fffn)?.iova.start).toBe(0x1000n);
    expect(container.find(0x5000n)).toBe(undefined);
    expect(container.unmap(page(0n, 100n))).toBe(undefined);
    expect(container.size).toBe(0);
  });
});
