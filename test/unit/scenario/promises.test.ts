import { describe, expect, test } from 'vitest';
import {
  AccessAudit,
  PROMISES,
  judge,
  type DeviceEvent,
  type GuestObservation,
  type Item,
  type Observation,
  type Outcome,
} from '../../../src/scenario/index.ts';
import type { Model, ReservedRegion } from '../../../src/topology/index.ts';
import {
  FAULT_LINE,
  endpoint,
  sampleDevices,
  sampleEvents,
  sampleGuest,
  sampleModel,
  sampleObservation,
} from './samples.ts';
import { passingObservation, variedModel, variedObservation } from './varied.ts';

function items(
  id: string,
  observation: Observation,
  model: Model = sampleModel(),
): readonly Item[] {
  const promise = PROMISES.find((candidate) => candidate.id === id);
  if (promise === undefined) throw new Error(`no promise ${id}`);
  return promise.judge(model, observation);
}

function outcomes(id: string, observation: Observation, model?: Model): Record<string, Outcome> {
  return Object.fromEntries(
    items(id, observation, model).map(({ subject, outcome }) => [
      subject.replace(/ \(.*/u, ''),
      outcome,
    ]),
  );
}

const guest = (changes: Partial<GuestObservation>): Observation =>
  sampleObservation({ guest: sampleGuest(changes) });

/** The sample's devices with one of them changed. */
function devicesWith(name: string, change: (device: object) => object): Observation {
  return guest({
    devices: sampleDevices().map((device) =>
      device.name === name ? (change({ ...device }) as never) : device,
    ),
  });
}

function without(...keys: readonly string[]): (device: object) => object {
  return (device) =>
    Object.fromEntries(Object.entries(device).filter(([key]) => !keys.includes(key)));
}

const silent: Observation = sampleObservation({
  guest: sampleGuest({
    started: false,
    completed: false,
    iommus: [],
    groups: [],
    devices: [],
    disks: [],
    nics: [],
    faultChecks: [],
    log: [],
  }),
  capabilities: new Set(),
  events: [],
  firmware: [{ name: 'device tree', outcome: 'missing', differences: [], edited: [] }],
  ending: { kind: 'silent', detail: 'no word for 60 s', tail: ['Starting kernel'] },
});

const HOLE: ReservedRegion = {
  id: 'hole0',
  range: { start: 0xe000_0000n, end: 0xefff_ffffn },
  type: 'reserved',
  via: ['probe'],
  endpoints: ['disk0'],
  place: { kind: 'file', file: 'sample.yaml' },
};

test('the good boot keeps every promise', () => {
  const verdict = judge(sampleModel(), sampleObservation());
  expect(verdict.promises.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
  expect(verdict.outcome).toBe('pass');
  expect(verdict.causes).toEqual([]);
  expect(verdict.summary).toMatch(/^PASS sample \(sample, 1\.5 s\): \d+ promises kept$/u);
});

test('ids are unique, and every promise has been seen to pass', () => {
  const ids = PROMISES.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const model = sampleModel({
    expect: { endpoints: {}, log: { present: ['Translated'], absent: ['panic'] } },
    // Of nobody, so that no group must show it.
    reserved: [{ ...HOLE, endpoints: [] }],
  });
  const boots: [Model, Observation][] = [
    [model, sampleObservation()],
    [variedModel('strict'), variedObservation()],
    [variedModel('identity'), passingObservation()],
  ];
  const passed = boots.flatMap(([of, seen]) =>
    judge(of, seen)
      .promises.filter(({ outcome }) => outcome === 'pass')
      .map(({ id }) => id),
  );
  // Those of user space, of the host and of transfers have tests of their own.
  const elsewhere = ids.filter((id) => /^(?:userspace|host|transfer)-/u.test(id));
  expect(new Set([...passed, ...elsewhere])).toEqual(new Set(ids));
});

test('a guest that says nothing fails the boot and hides the rest', () => {
  const verdict = judge(sampleModel(), silent);
  expect(verdict.promises.find(({ id }) => id === 'guest-completed')?.outcome).toBe('fail');
  for (const id of [
    'firmware-identical',
    'viommus-present',
    'behind-is-grouped',
    'bypass-is-not-grouped',
    'probe-seen',
    'attach-seen',
    'map-seen',
    'mapped-before-access',
    'bypass-not-translated',
    'msi-works',
    'no-unexpected-fault',
    'no-failed-request',
    'no-kernel-trouble',
  ]) {
    expect([id, verdict.promises.find((promise) => promise.id === id)?.outcome]).toEqual([
      id,
      'not-observable',
    ]);
  }
});

describe('firmware-identical', () => {
  test.each([
    ['different', 'fail'],
    ['unreadable', 'fail'],
    ['missing', 'fail'],
    ['identical', 'pass'],
  ] as const)('%s: %s', (outcome, expected) => {
    const comparison = { name: 'VIOT', outcome, differences: ['/x'], edited: [] };
    expect(outcomes('firmware-identical', sampleObservation({ firmware: [comparison] }))).toEqual({
      VIOT: expected,
    });
  });
});

describe('grouping', () => {
  test('an endpoint in no group', () => {
    const seen = devicesWith('0000:00:02.0', without('group', 'iommu'));
    expect(outcomes('behind-is-grouped', seen)).toMatchObject({ disk0: 'fail', nic0: 'pass' });
  });

  test('a bypassing endpoint in a group', () => {
    const seen = devicesWith('0000:00:08.0', (device) => ({ ...device, group: 7 }));
    expect(outcomes('bypass-is-not-grouped', seen)).toEqual({ disk1: 'fail' });
  });

  test('a device that is not there', () => {
    const seen = guest({ devices: sampleDevices().slice(0, 2) });
    expect(outcomes('behind-is-grouped', seen)).toMatchObject({ disk0: 'pass', nic0: 'fail' });
  });

  test('the wrong one of two vIOMMUs', () => {
    const [first] = sampleModel().viommus;
    if (first === undefined) throw new Error('no vIOMMU');
    const second = {
      ...first,
      id: 'viommu1',
      transport: { kind: 'mmio', base: 0xa000000n, size: 0x200n, interrupt: 16, legacy: false },
    } as const;
    const model = sampleModel({ viommus: [first, second] });
    const iommus = [
      { name: '0000:00:01.0', device: '0000:00:01.0', endpoints: [] },
      { name: 'a000000.virtio_mmio', device: 'a000000.virtio_mmio', endpoints: [] },
    ];
    const devices = sampleDevices().map((device) =>
      device.name === '0000:00:02.0' ? { ...device, iommu: 'a000000.virtio_mmio' } : device,
    );
    const seen = guest({ iommus, devices });
    const [disk0] = items('behind-is-grouped', seen, model);
    expect(disk0).toMatchObject({ outcome: 'fail', seen: 'in group 0 of viommu1 (0xa000000)' });
    expect(outcomes('viommus-present', seen, model)).toEqual({ viommu0: 'pass', viommu1: 'pass' });
    expect(outcomes('viommus-present', seen)).toMatchObject({ 'a000000.virtio_mmio': 'fail' });
  });

  test('expect.endpoints overrides the topology', () => {
    const expectation = { endpoints: { disk0: { translated: false, place: sampleModel().place } } };
    const model = sampleModel({ expect: { ...expectation, log: { present: [], absent: [] } } });
    const seen = devicesWith('0000:00:02.0', without('group', 'iommu'));
    expect(outcomes('bypass-is-not-grouped', seen, model)).toMatchObject({ disk0: 'pass' });
    expect(outcomes('behind-is-grouped', seen, model)).not.toHaveProperty('disk0');
  });
});

describe('groups', () => {
  const model = sampleModel({
    endpoints: [endpoint('a', 0x10, 'virtio-blk'), endpoint('b', 0x11, 'virtio-net')],
  });
  const devices = (group: number): Observation =>
    guest({
      devices: [
        { name: '0000:00:02.0', group: 0, iommu: '0000:00:01.0' },
        { name: '0000:00:02.1', group, iommu: '0000:00:01.0' },
      ],
    });

  test('functions of one slot share a group', () => {
    expect(Object.values(outcomes('group-composition', devices(0), model))).toEqual(['pass']);
    expect(Object.values(outcomes('group-composition', devices(1), model))).toContain('fail');
  });

  test('two slots in one group', () => {
    const seen = devicesWith('0000:00:03.0', (device) => ({ ...device, group: 0 }));
    expect(outcomes('group-composition', seen)).toMatchObject({ 'group 0': 'fail' });
  });

  test('an identity domain where translation was promised', () => {
    const groups = sampleGuest().groups.map((group) =>
      group.id === 0 ? { ...group, type: 'identity' } : group,
    );
    expect(outcomes('domain-type', guest({ groups }))).toMatchObject({
      'group 0': 'fail',
      'group 1': 'pass',
    });
  });

  test('the exact set of reserved regions', () => {
    const regions = (reserved: GuestObservation['groups'][number]['reserved']): Outcome[] => {
      const groups = sampleGuest().groups.map((group) => ({ ...group, reserved }));
      return items('reserved-regions', guest({ groups })).map(({ outcome }) => outcome);
    };
    const its = { range: { start: 0x809_0000n, end: 0x809_ffffn }, type: 'msi' };
    const other = { range: { start: 0x1000n, end: 0x1fffn }, type: 'reserved' };
    expect(regions([its])).toEqual(['pass', 'pass', 'pass']);
    expect(regions([])).toEqual(['fail', 'fail', 'fail']);
    expect(regions([its, other])).toEqual(['fail', 'fail', 'fail']);
    expect(regions([{ ...its, type: 'reserved' }])).toEqual(['fail', 'fail', 'fail']);
  });

  test('declared regions, and the window that Linux adds where no MSI region is', () => {
    const [doorbell] = sampleModel().doorbells;
    if (doorbell === undefined) throw new Error('no doorbell');
    const region = {
      id: 'hole',
      range: { start: 0x1000n, end: 0x1fffn },
      type: 'reserved',
      via: ['probe'],
      endpoints: [],
      viommu: 'viommu0',
      place: doorbell.place,
    } as const;
    const mapped = sampleModel({
      doorbells: [{ ...doorbell, delivery: 'mapped' }],
      reserved: [region],
    });
    const [first] = items('reserved-regions', sampleObservation(), mapped);
    expect(first?.expected).toBe('0x1000-0x1fff reserved, 0x8000000-0x80fffff msi');
  });
});

describe('requests', () => {
  const dropping = (kind: DeviceEvent['kind'], id: number): Observation =>
    sampleObservation({
      events: sampleEvents().filter(
        (event) => !(event.kind === kind && 'endpoint' in event && event.endpoint === id),
      ),
    });

  test.each([
    ['probe-seen', 'probe'],
    ['attach-seen', 'attach'],
  ] as const)('%s', (id, kind) => {
    expect(outcomes(id, dropping(kind, 0x10))).toEqual({
      disk0: 'fail',
      nic0: 'pass',
      edu0: 'pass',
    });
  });

  test('a MAP counts for the domain the endpoint is attached to', () => {
    expect(outcomes('map-seen', sampleObservation())).toEqual({ disk0: 'pass', nic0: 'pass' });
    const moved = sampleEvents().map((event) =>
      event.kind === 'map' && event.domain === 0 ? { ...event, domain: 9 } : event,
    );
    expect(outcomes('map-seen', sampleObservation({ events: moved }))).toEqual({
      disk0: 'fail',
      nic0: 'pass',
    });
  });

  test('a refused MAP is none', () => {
    const events = sampleEvents().map((event) =>
      event.kind === 'map' ? { ...event, status: 4 } : event,
    );
    const seen = sampleObservation({ events });
    expect(outcomes('map-seen', seen)).toEqual({ disk0: 'fail', nic0: 'fail' });
    expect(outcomes('no-failed-request', seen)).toEqual({ 'all vIOMMUs': 'fail' });
  });

  test('access before MAP', () => {
    const events = sampleEvents();
    const access = events.findIndex((event) => event.kind === 'access');
    const early = events.map((event, index) =>
      index === access ? { ...event, order: -1 } : event,
    );
    const [disk0] = items('mapped-before-access', sampleObservation({ events: early }));
    expect(disk0).toMatchObject({
      outcome: 'fail',
      seen: 'access, then ATTACH, then MAP (once)',
    });
  });

  test('no translated access at all', () => {
    const events = sampleEvents().filter((event) => event.kind !== 'access');
    expect(outcomes('mapped-before-access', sampleObservation({ events }))).toEqual({
      disk0: 'fail',
      nic0: 'fail',
    });
  });

  test('an ATTACH of a bypassing endpoint', () => {
    const attach = { kind: 'attach', domain: 5, endpoint: 0x40, order: 99 } as const;
    const seen = sampleObservation({ events: [...sampleEvents(), attach] });
    expect(outcomes('bypass-not-translated', seen)).toEqual({ disk1: 'fail' });
    expect(outcomes('bypass-not-translated', sampleObservation())).toEqual({ disk1: 'pass' });
  });

  test('a backend that shows a PROBE only by its regions', () => {
    const events = sampleEvents().filter((event) => event.kind !== 'probe');
    const seen = sampleObservation({ events, capabilities: new Set(['probe-regions']) });
    expect(outcomes('probe-seen', seen)).toMatchObject({ disk0: 'not-observable' });
  });
});

describe('traffic', () => {
  test('a wrong checksum, an error, and a disk that was not found', () => {
    const [first] = sampleGuest().disks;
    if (first === undefined) throw new Error('no disk');
    const wrong = { ...first, read: { bytes: 512, sha256: 'cc'.repeat(32) } };
    expect(outcomes('disks-read', guest({ disks: [wrong] }))).toEqual({
      disk0: 'fail',
      disk1: 'fail',
    });
    const broken = { device: first.device, error: 'timeout' };
    expect(items('disks-read', guest({ disks: [broken] }))[0]).toMatchObject({
      outcome: 'fail',
      seen: 'timeout',
    });
    const unknown = { device: first.device, ...(first.read ? { read: first.read } : {}) };
    expect(outcomes('disks-read', guest({ disks: [unknown] }))).toMatchObject({
      disk0: 'not-observable',
    });
  });

  test('works: false turns a failure into what was asked for', () => {
    const works = { endpoints: { disk0: { works: false, place: sampleModel().place } } };
    const model = sampleModel({ expect: { ...works, log: { present: [], absent: [] } } });
    const broken = guest({ disks: [{ device: '0000:00:02.0', error: 'timeout' }] });
    expect(outcomes('disks-read', broken, model)).toMatchObject({ disk0: 'pass' });
    expect(outcomes('disks-read', sampleObservation(), model)).toMatchObject({ disk0: 'fail' });
  });

  test.each([
    [{ readBackSha256: undefined }, 'fail'],
    [{ readBackSha256: 'dd' }, 'fail'],
    [{ backingSha256: 'dd' }, 'fail'],
    [{ backingSha256: undefined }, 'pass'],
  ] as const)('a write with %o: %s', (change, expected) => {
    const disks = sampleGuest().disks.map((disk) => ({
      ...disk,
      write: Object.fromEntries(
        Object.entries({ ...disk.write, ...change }).filter(([, value]) => value !== undefined),
      ),
    }));
    expect(outcomes('disks-write', guest({ disks: disks as never }))).toMatchObject({
      disk0: expected,
    });
  });

  test('a NIC without an answer', () => {
    const nics = [{ device: '0000:00:03.0', sent: 3, received: 0, method: 'ping', ok: false }];
    expect(outcomes('nics-pass-traffic', guest({ nics }))).toEqual({ nic0: 'fail' });
    expect(outcomes('nics-pass-traffic', guest({ nics: [] }))).toEqual({ nic0: 'fail' });
  });

  test('a device that waits for ever', () => {
    const deferred = [{ device: '0000:00:02.0', reason: 'wait for supplier' }];
    expect(items('drivers-bound', guest({ deferred }))[0]).toMatchObject({
      outcome: 'fail',
      seen: 'deferred: wait for supplier',
    });
    const unbound = devicesWith('0000:00:02.0', without('driver'));
    expect(outcomes('drivers-bound', unbound)).toMatchObject({ disk0: 'fail', nic0: 'pass' });
  });

  test.each([
    [{ kind: 'none', vectors: 0 }, 'fail'],
    [{ kind: 'msi-x', vectors: 2, count: 0 }, 'fail'],
    [{ kind: 'msi-x', vectors: 2 }, 'pass'],
    [{ kind: 'msi', vectors: 1, count: 4 }, 'pass'],
  ] as const)('interrupts %o: %s', (interrupts, expected) => {
    const seen = devicesWith('0000:00:02.0', (device) => ({ ...device, interrupts }));
    expect(outcomes('msi-works', seen)).toMatchObject({ disk0: expected });
  });
});

describe('trouble', () => {
  test('a fault nobody provoked', () => {
    const line = {
      text: 'virtio_iommu virtio0: unknown fault from EP 16 at 0x5b661002 []',
      meaning: { code: 'iommu-fault', endpoint: 16, address: 0x5b66_1002n },
    } as const;
    const seen = guest({ log: [line, FAULT_LINE] });
    expect(outcomes('no-unexpected-fault', seen)).toEqual({ disk0: 'fail' });
    const elsewhere = {
      ...FAULT_LINE,
      meaning: { code: 'iommu-fault', endpoint: 32, address: 1n },
    };
    expect(outcomes('no-unexpected-fault', guest({ log: [elsewhere as never] }))).toEqual({
      edu0: 'fail',
    });
  });

  test.each([
    ['oops', 'Unable to handle kernel NULL pointer dereference'],
    ['warning', 'WARNING: CPU: 0 PID: 1 at drivers/iommu/x.c:1 f+0x0/0x1'],
    ['deferred-timeout', 'virtio-pci 0000:00:02.0: deferred probe timeout'],
    ['viot', 'ACPI: VIOT: Could not find PCI IOMMU'],
    ['io-error', 'I/O error, dev vda, sector 0'],
  ] as const)('%s in the log', (code, text) => {
    const log = [{ text, meaning: { code } }];
    expect(Object.values(outcomes('no-kernel-trouble', guest({ log })))).toEqual(['fail']);
    const excused = sampleModel({
      expect: { endpoints: {}, log: { present: [text.slice(0, 12)], absent: [] } },
    });
    expect(Object.values(outcomes('no-kernel-trouble', guest({ log }), excused))).toEqual(['pass']);
  });

  test('the line that every ACPI machine with a VIOT prints is no trouble', () => {
    const log = [
      {
        text: 'ACPI: VIOT 0x000000001FFE2329 000058 (v00 BOCHS  BXPC     00000001 BXPC 00000001)',
        meaning: { code: 'viot' },
      },
    ] as const;
    expect(Object.values(outcomes('no-kernel-trouble', guest({ log })))).toEqual(['pass']);
  });

  test('lines asked for and forbidden', () => {
    const model = sampleModel({
      expect: { endpoints: {}, log: { present: ['Translated', 'Passthrough'], absent: ['fault'] } },
    });
    expect(outcomes('log-expectations', sampleObservation(), model)).toEqual({
      '/Translated/': 'pass',
      '/Passthrough/': 'fail',
      '/fault/': 'fail',
    });
  });
});

describe('provoked faults', () => {
  const [check] = sampleGuest().faultChecks;

  test('not reported, reported for another endpoint, not run', () => {
    expect(outcomes('fault-reported', guest({ log: [] }))).toEqual({ edu0: 'fail' });
    const wrong = {
      ...FAULT_LINE,
      meaning: { code: 'iommu-fault', endpoint: 33, address: 0x1000_0000n },
    };
    expect(outcomes('fault-reported', guest({ log: [wrong as never] }))).toEqual({ edu0: 'fail' });
    expect(outcomes('fault-reported', guest({ faultChecks: [] }))).toEqual({ edu0: 'fail' });
    const stuck = [{ ...check, ran: false }] as never;
    expect(outcomes('fault-reported', guest({ faultChecks: stuck }))).toEqual({ edu0: 'fail' });
  });

  test('memory that changed', () => {
    const faultChecks = [{ ...check, memoryUnchanged: false }] as never;
    expect(outcomes('fault-changes-nothing', guest({ faultChecks }))).toEqual({ edu0: 'fail' });
  });
});

describe('what only a second bookkeeping can tell', () => {
  const event = (changes: object): DeviceEvent =>
    ({ order: 100, endpoint: 0x10, ...changes }) as DeviceEvent;
  const withEvent = (changes: object): Observation =>
    sampleObservation({ events: [...sampleEvents(), event(changes)] });

  test('an access where nothing is mapped', () => {
    const stray = { kind: 'access', iova: 0x1000n, length: 4, write: true, how: 'translated' };
    const [item] = items('accesses-mapped', withEvent(stray));
    expect(item).toMatchObject({ outcome: 'fail', seen: '1 of 3 accesses looked at' });
    expect(item?.evidence[0]?.text).toContain('nothing is mapped at 0x1000');
  });

  test('an access in a reserved region, though it is mapped', () => {
    const model = sampleModel({ reserved: [HOLE] });
    const audit = new AccessAudit(model);
    const virt = { start: HOLE.range.start, end: HOLE.range.start + 0xfffn };
    for (const one of [
      event({ kind: 'attach', domain: 0 }),
      event({ kind: 'map', domain: 0, virt, phys: 0n, flags: 3 }),
      event({ kind: 'access', iova: virt.start, write: false, how: 'translated' }),
    ])
      audit.add({ viommu: 'viommu0', ...one });
    const good = sampleObservation();
    const seen = { ...good, device: { ...good.device, audit: audit.finish() } };
    expect(items('reserved-untouched', seen, model)[0]?.outcome).toBe('fail');
    expect(items('accesses-mapped', seen, model)[0]?.outcome).toBe('pass');
  });

  test('an MSI somewhere else', () => {
    const good = items('msi-through-doorbell', sampleObservation());
    expect(good.map(({ outcome }) => outcome)).toEqual(['pass', 'pass']);
    const seen = items('msi-through-doorbell', withEvent({ kind: 'msi', address: 0x802_0040n }));
    expect(seen.map(({ outcome }) => outcome)).toEqual(['fail', 'pass']);
  });

  test('nothing is promised where the events are not complete', () => {
    const { audit: _, ...device } = sampleObservation().device;
    for (const id of ['accesses-mapped', 'reserved-untouched', 'msi-through-doorbell']) {
      expect(items(id, sampleObservation({ device }))).toEqual([]);
    }
  });
});
