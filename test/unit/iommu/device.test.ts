import { describe, expect, test } from 'vitest';
import {
  IommuDebug,
  IommuDevice,
  listDomains,
  listEndpoints,
  listMappings,
  showEvent,
  translateSpan,
  type IommuEvent,
  type PassthroughPort,
  type RequestType,
} from '../../../src/iommu/index.ts';
import { TranslatedDma } from '../../../src/memory/index.ts';
import {
  attachBytes,
  mapBytes,
  OK,
  RANGE,
  Rig,
  unmapBytes,
  UNSUPP,
  words,
} from '../../support/iommu-rig.ts';

const attached = (options: ConstructorParameters<typeof Rig>[0] = {}): Rig => {
  const rig = new Rig({ bootBypass: false, ...options });
  rig.attach(1, 1);
  rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
  return rig;
};

describe('work per kick', () => {
  test('is bounded; the rest is done when the device is given time', () => {
    const rig = new Rig({ limits: { requestsPerKick: 3 } });
    const at = 0xa_0000;
    rig.ram.set(attachBytes(1, 1), at);
    for (let i = 0; i < 8; i++) {
      const writable = [{ hi: 0, lo: 0xb_0000 + 8 * i, length: 4 }];
      rig.request.add([{ hi: 0, lo: at, length: 20 }], writable);
    }
    const done = (): number => rig.device.state.counters.requests;
    rig.core.notify(0);
    expect(done()).toBe(3);
    expect(rig.core.runPending()).toBe(true);
    expect(done()).toBe(6);
    expect(rig.core.runPending()).toBe(false);
    expect(done()).toBe(8);
  });

  test('requests behind one that waits are done in order when it is answered', () => {
    const rig = attached();
    const pin = rig.device.endpoints.pin(1, 0x1000n, 1n);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    const at = 0xa_0000;
    rig.ram.set(mapBytes(1, 0x1000n, 0x1fffn, 0x3000n), at);
    rig.request.add([{ hi: 0, lo: at, length: 36 }], [{ hi: 0, lo: 0xb_0000, length: 4 }]);
    rig.core.notify(0);
    expect(rig.answer()).toBe(undefined);
    if (pin) rig.device.endpoints.release(pin);
    expect(rig.answer()?.status).toBe(OK);
    rig.core.runPending();
    expect(rig.request.poll()?.length).toBe(4);
    expect(rig.ram[0xb_0000]).toBe(OK);
    expect(rig.write(1, 0x1000n, 7)).toBe(true);
    expect(rig.ram[0x3000]).toBe(7);
  });
});

describe('the stream of events', () => {
  test('tells requests with fields, status and used length, and what changes', () => {
    const rig = new Rig({ bootBypass: false });
    rig.attach(1, 1);
    rig.map(1, 0x1000n, 0x1fffn, 0x2000n, 1);
    rig.unmap(1, 0x1800n, 0x1fffn);
    rig.send(words(0x77), 4);
    rig.write(1, 0x1000n);
    rig.detach(1, 1);
    rig.setBypass(1);
    rig.device.removeEndpoint(2);
    const virt = { start: 0x1000n, end: 0x1fffn };
    const base = { kind: 'request', used: 4 };
    const want: Partial<IommuEvent>[] = [
      { kind: 'attach', endpoint: 1, domain: 1, bypass: false },
      {
        ...base,
        name: 'attach',
        type: 1,
        fields: { domain: 1, endpoint: 1, flags: 0 },
        status: OK,
      },
      { ...base, name: 'map', fields: { domain: 1, virt, phys: 0x2000n, flags: 1 }, status: OK },
      { ...base, name: 'unmap', status: RANGE },
      { kind: 'request', name: 'unknown', type: 0x77, used: 0 },
      {
        kind: 'fault',
        reason: 'mapping',
        endpoint: 1,
        address: 0x1000n,
        access: 2,
        report: 'queued',
      },
      { kind: 'detach', endpoint: 1, domain: 1 },
      { ...base, name: 'detach', status: OK },
      { kind: 'bypass', value: true, cause: 'driver' },
      { kind: 'endpoint', endpoint: 2, present: false },
    ] as never;
    expect(rig.events.filter(({ kind }) => kind !== 'reset')).toMatchObject(want);
  });

  test('of translations is given only to who asks for it', () => {
    const rig = attached();
    const seen: IommuEvent[] = [];
    const end = rig.device.stream.subscribe((event) => seen.push(event), ['translation']);
    rig.read(1, 0x1004n);
    end();
    rig.read(1, 0x1004n);
    const iova = 0x1004n;
    expect(seen).toEqual([
      { kind: 'translation', endpoint: 1, iova, length: 1, access: 1, how: 'translated' },
    ]);
    expect(rig.events.some(({ kind }) => kind === 'translation')).toBe(false);
  });
});

describe('debug and queries', () => {
  test('list, dump, stat, print, flood and noprint', () => {
    const msi = { range: { start: 0xfee0_0000n, end: 0xfeef_ffffn }, type: 'msi' } as const;
    const rig = attached({ endpoints: [{ id: 1, reserved: [msi] }, { id: 0x20 }] });
    const debug = new IommuDebug(rig.device);
    expect(debug.list()).toEqual([
      'endpoint 0x1: domain 1, translated msi 0xfee00000-0xfeefffff',
      'endpoint 0x20: unattached, blocked',
    ]);
    rig.map(1, 0x3000n, 0x3fffn, 0n, 1);
    expect(debug.dump()).toEqual([
      'domain 1: endpoints 0x1',
      '  0x1000-0x1fff -> 0x2000 RW-',
      '  0x3000-0x3fff -> 0x0 R--',
    ]);
    expect(debug.dump(1).at(-1)).toBe('  ... 1 more');
    expect(debug.stat()).toMatchObject({ attach: 1, map: 2, mapped: 2, requests: 3, kicks: 3 });
    expect(debug.stat().residentBytes).toBeGreaterThan(0);
    const lines: string[] = [];
    debug.print((line) => lines.push(line));
    rig.unmap(1, 0x3000n, 0x3fffn);
    rig.read(1, 0x1000n);
    debug.flood((line) => lines.push(line));
    rig.read(1, 0x1001n);
    rig.read(1, 0x9000n);
    debug.noprint();
    rig.read(1, 0x1000n);
    expect(lines).toEqual([
      'unmap: domain 1 0x3000-0x3fff = OK, used 4',
      'translated: endpoint 0x1 read 0x1001+1',
      'fault: mapping, endpoint 0x1 read 0x9000, report queued',
    ]);
  });

  test('endpoints, domains, mappings and spans can be asked for', () => {
    const rig = attached();
    rig.map(1, 0x2000n, 0x3fffn, 0x8000n);
    const { state, translation } = rig.device;
    expect(listEndpoints(state)).toMatchObject([
      { id: 1, domain: 1, path: 'translated', pins: 0, passedThrough: false },
      { id: 2, path: 'blocked' },
    ]);
    expect(listDomains(state)).toMatchObject([
      { id: 1, bypass: false, endpoints: [1], mappings: 2 },
    ]);
    const within = { start: 0x1fffn, end: 0x1fffn };
    expect([...listMappings(state, 1, within)]).toEqual([
      { start: 0x1000n, end: 0x1fffn, physical: 0x2000n, flags: 3 },
    ]);
    expect([...listMappings(state, 77)]).toEqual([]);
    expect(translateSpan(state, translation, 1, 0x1ff0n, 0x20n, 2)).toEqual({
      pieces: [
        { iova: 0x1ff0n, length: 16n, physical: 0x2ff0n, how: 'memory' },
        { iova: 0x2000n, length: 16n, physical: 0x8000n, how: 'memory' },
      ],
    });
    expect(translateSpan(state, translation, 1, 0x3ff0n, 0x20n, 2)).toEqual({ fault: 0x4000n });
    expect(translateSpan(state, translation, 77, 0n, 1n, 1)).toEqual({ fault: 0n });
    expect(state.counters.faultsMapping).toBe(0);
  });
});

describe('events as lines', () => {
  test.each<[IommuEvent, string]>([
    [
      { kind: 'attach', endpoint: 1, domain: 2, bypass: true },
      'attach: endpoint 0x1 to bypass domain 2',
    ],
    [{ kind: 'attach', endpoint: 1, domain: 2, bypass: false }, 'attach: endpoint 0x1 to domain 2'],
    [{ kind: 'detach', endpoint: 1, domain: 2 }, 'detach: endpoint 0x1 from domain 2'],
    [{ kind: 'bypass', value: true, cause: 'driver' }, 'bypass: on (driver)'],
    [{ kind: 'bypass', value: false, cause: 'restore' }, 'bypass: off (restore)'],
    [{ kind: 'reset', system: true }, 'system reset'],
    [{ kind: 'reset', system: false }, 'device reset'],
    [{ kind: 'endpoint', endpoint: 9, present: true }, 'endpoint 0x9 added'],
    [{ kind: 'endpoint', endpoint: 9, present: false }, 'endpoint 0x9 removed'],
    [
      { kind: 'request', name: 'unknown', type: 77, fields: {}, used: 0 },
      'unknown type 77: = not answered, used 0',
    ],
    [
      {
        kind: 'request',
        name: 'map',
        type: 3,
        fields: { domain: 1, virt: { start: 0n, end: 9n }, phys: 5n, flags: 3 },
        status: 8,
        used: 4,
      },
      'map: domain 1 0x0-0x9 -> 0x5 flags 3 = NOMEM, used 4',
    ],
    [
      { kind: 'request', name: 'probe', type: 5, fields: { endpoint: 1 }, status: 99, used: 4 },
      'probe: endpoint 0x1 = ?, used 4',
    ],
    [
      { kind: 'fault', endpoint: 1, reason: 'domain', address: 7n, access: 0, report: 'dropped' },
      'fault: domain, endpoint 0x1 access 0x7, report dropped',
    ],
    [
      { kind: 'translation', endpoint: 1, iova: 7n, length: 4, access: 2, how: 'msi' },
      'msi: endpoint 0x1 write 0x7+4',
    ],
  ])('%o', (event, line) => {
    expect(showEvent(event)).toBe(line);
  });
});

describe('several vIOMMUs, and endpoints that come and go', () => {
  test('the same IDs in two devices have nothing to do with each other', () => {
    const a = attached();
    const b = attached();
    b.unmap(1, 0n, 0xffffn);
    expect([a.read(1, 0x1000n), b.read(1, 0x1000n)]).toEqual([0, undefined]);
  });

  test('a removed endpoint reaches nothing; one added with its ID begins anew', () => {
    const rig = attached();
    const dma: TranslatedDma = rig.dma(1);
    expect(dma.readU8(0, 0x1000)).toBe(0);
    expect(rig.device.removeEndpoint(1)).toBe(true);
    expect(rig.device.removeEndpoint(1)).toBe(false);
    expect(dma.readU8(0, 0x1000)).toBe(-1);
    rig.device.addEndpoint({ id: 1 });
    expect(dma.readU8(0, 0x1000)).toBe(-1);
    expect(() => rig.device.addEndpoint({ id: 1 })).toThrow(/exists/);
    expect(() => rig.device.addEndpoint({ id: 2 ** 32 })).toThrow(RangeError);
  });
});

describe('extension points', () => {
  test('a request type more is a table entry', () => {
    const echo: RequestType = {
      type: 0x77,
      name: 'echo',
      size: 8,
      isKnown: () => true,
      replySize: () => 4,
      decode: (from, into) => (into.domain = from.getUint32(4, true)),
      decide: (_context, request) => (request.domain === 0 ? RANGE : OK),
      apply: ({ reply }, request) => {
        reply.fill(request.domain);
        return OK;
      },
      show: ({ domain }) => ({ domain }),
    };
    const rig = new Rig({ probeSize: 16, extensions: { requests: [echo] } });
    expect([...rig.send(words(0x77, 9), 8).bytes]).toEqual([9, 9, 9, 9, OK, 0, 0, 0]);
    expect([...rig.send(words(0x77, 0), 8).bytes]).toEqual([0, 0, 0, 0, RANGE, 0, 0, 0]);
    expect(rig.events.at(-1)).toMatchObject({ name: 'echo', status: RANGE, used: 8 });
    expect(rig.probe(1, 16)).toMatchObject({ used: 20, status: OK });
    expect(() => new IommuDevice({}, { requests: [echo, echo] })).toThrow(RangeError);
  });
});

describe('options', () => {
  test.each([
    { pageSizeMask: 1n << 64n },
    { inputRange: { start: 5n, end: 4n } },
    { domainRange: { start: 0, end: 2 ** 32 } },
    { probeSize: -1 },
    { probeSize: 1.5 },
    { limits: { domains: 0 } },
    { physicalRange: { start: -1n, end: 4n } },
  ])('%o describes no device', (options) => {
    expect(() => new IommuDevice(options)).toThrow(RangeError);
  });
});

describe('bypass and resets', () => {
  test.each([
    { bootBypass: true, quiet: true },
    { bootBypass: true },
    { bootBypass: false },
    { bootBypass: true, features: ['MAP_UNMAP'] as const, after: 0 },
  ])('a system reset restores the first value: %o', ({ after, ...options }) => {
    const rig = new Rig(options);
    const boots = after ?? (options.bootBypass ? 1 : 0);
    expect(rig.device.state.bypass).toBe(boots);
    for (const written of [1, 0, 0]) rig.setBypass(written);
    rig.core.systemReset();
    expect(rig.device.state.bypass).toBe(boots);
    expect(rig.device.config[36]).toBe(boots);
  });

  test('a reset of the event queue, or of an idle request queue, loses nothing', () => {
    const rig = attached({ ring: (1n << 32n) | (1n << 40n) });
    const pin = rig.device.endpoints.pin(1, 0x1000n, 1n);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    rig.core.resetQueue(1);
    expect(rig.device.isWaiting).toBe(true);
    if (pin) rig.device.endpoints.release(pin);
    expect(rig.answer()?.status).toBe(OK);
    rig.core.resetQueue(0);
    rig.reopen();
    expect(rig.map(1, 0x1000n, 0x1fffn, 0x2000n)).toBe(OK);
  });

  test('a device that no transport has taken can be configured, and does nothing', () => {
    const device = new IommuDevice({ bootBypass: false });
    device.addEndpoint({ id: 1 });
    device.configWrite(36, 1, 1);
    device.kick(0);
    device.state.fault('domain', 1, 1, 0, 0);
    device.systemReset();
    expect(device.config[36]).toBe(0);
    expect(device.state.faults.size).toBe(1);
  });
});

describe('the event queue', () => {
  test('as many reports as it has buffers go in one run', () => {
    const rig = new Rig({ bootBypass: false, eventQueueSize: 2, eventBuffers: [24, 24] });
    // Held until the first request.
    rig.read(1, 0x1000n);
    rig.read(1, 0x2000n);
    rig.probe(1);
    expect(rig.faults()).toHaveLength(2);
    expect(rig.core.runPending()).toBe(false);
  });
});

describe('a request that memory does not hold', () => {
  test('is told of without the type of the one before', () => {
    const rig = attached();
    rig.request.add([{ hi: 0, lo: 0x20_0000, length: 20 }], [{ hi: 0, lo: 0x9_0000, length: 4 }]);
    rig.core.notify(0);
    expect(rig.events.at(-1)).toEqual({
      kind: 'request',
      name: 'unknown',
      type: -1,
      fields: {},
      used: 0,
    });
  });
});

describe('the driver`s view of page sizes', () => {
  const port = (pageSizeMask: bigint): PassthroughPort => ({
    pageSizeMask,
    aperture: [{ start: 0n, end: (1n << 64n) - 1n }],
    reserved: [],
    map: () => 'ok',
    unmap: () => 'ok',
    unmapAll: () => 'ok',
    mapIdentity: () => 'ok',
  });

  test('is settled by FEATURES_OK: an endpoint added then cannot narrow them', () => {
    const rig = new Rig({ asleep: true });
    const mask = (): bigint => new DataView(rig.device.config.buffer).getBigUint64(0, true);
    rig.device.addEndpoint({ id: 7, port: port(0x4000n) });
    expect(mask() & 0xffffn).toBe(0xc000n);
    rig.core.writeStatus(1);
    rig.core.writeStatus(3);
    rig.core.choose(1, 1);
    rig.core.writeStatus(0xb);
    rig.device.addEndpoint({ id: 8, port: port(0x1_0000n) });
    expect(mask() & 0xffffn).toBe(0xc000n);
    rig.boot();
    expect([rig.attach(1, 7), rig.attach(1, 8)]).toEqual([OK, UNSUPP]);
  });

  test('a host with no size in common is refused', () => {
    const device = new IommuDevice({ pageSizeMask: 0x1000n });
    expect(() => device.addEndpoint({ id: 1, port: port(0x1_0000n) })).toThrow(/no page size/);
    expect(device.endpoints.get(1)).toBe(undefined);
  });
});

describe('lists', () => {
  test('are in order of IDs and say where each endpoint stands', () => {
    const rig = new Rig({ endpoints: [{ id: 3 }, { id: 2 }, { id: 1 }] });
    for (const [domain, endpoint, flags] of [
      [7, 3, 0],
      [7, 2, 0],
      [5, 1, 1],
    ] as const) {
      rig.attach(domain, endpoint, { flags });
    }
    const { state } = rig.device;
    expect(listDomains(state)).toMatchObject([
      { id: 5, bypass: true, endpoints: [1] },
      { id: 7, bypass: false, endpoints: [2, 3] },
    ]);
    rig.detach(7, 3);
    expect(listEndpoints(state).map(({ path }) => path)).toEqual([
      'bypassed',
      'translated',
      'bypassed',
    ]);
    expect(new IommuDebug(rig.device).dump()).toContain('domain 5 (bypass): endpoints 0x1');
  });

  test('an injected report that finds no room is dropped, and counted', () => {
    const rig = new Rig({ eventBuffers: [], limits: { pendingFaults: 1 } });
    const debug = new IommuDebug(rig.device);
    const fault = { reason: 'mapping', endpoint: 1, address: 0x1000n } as const;
    expect([debug.fault(fault), debug.fault(fault)]).toEqual([true, false]);
    expect(rig.device.state.counters.reportsDropped).toBe(1);
  });
});
