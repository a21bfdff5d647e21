import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { structBytes } from '../../../src/bytes/index.ts';
import {
  BlockDriver,
  Domain,
  faultLine,
  IommuMapper,
  KernelLog,
  parseProperties,
  type ProbedRegion,
  type Viommu,
} from '../../../src/driver/index.ts';
import {
  VIRTIO_IOMMU_ATTACH_F_BYPASS,
  VIRTIO_IOMMU_CONFIG,
  VIRTIO_IOMMU_F_BYPASS,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_F_DOMAIN_RANGE,
  VIRTIO_IOMMU_F_INPUT_RANGE,
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_F_PROBE,
  VIRTIO_IOMMU_FAULT,
  VIRTIO_IOMMU_FAULT_F_ADDRESS,
  VIRTIO_IOMMU_FAULT_F_WRITE,
  VIRTIO_IOMMU_MAP_F_MMIO,
  VIRTIO_IOMMU_MAP_F_READ,
  VIRTIO_IOMMU_MAP_F_WRITE,
  VIRTIO_IOMMU_PROBE_RESV_MEM,
  VIRTIO_IOMMU_REQ_ATTACH,
  VIRTIO_IOMMU_REQ_DETACH,
  VIRTIO_IOMMU_REQ_MAP,
  VIRTIO_IOMMU_REQ_PROBE,
  VIRTIO_IOMMU_REQ_UNMAP,
  VIRTIO_IOMMU_S_INVAL,
  VIRTIO_IOMMU_S_IOERR,
  VIRTIO_IOMMU_S_NOENT,
  VIRTIO_IOMMU_S_OK,
  VIRTIO_IOMMU_S_RANGE,
} from '../../../src/spec/virtio-iommu.ts';
import { VIRTIO_CONFIG_S_FAILED } from '../../../src/spec/virtio.ts';
import { featureBits } from '../../../src/virtio/index.ts';
import { fakeRig, type FakeIommu } from '../../support/fake-iommu.ts';
import { bootModel, requests, shippedModel } from '../../support/model-guest.ts';

/** The driver requirements of VIRTIO 1.3, "IOMMU Device", each by its number. */

const ALL = featureBits(
  VIRTIO_IOMMU_F_INPUT_RANGE,
  VIRTIO_IOMMU_F_DOMAIN_RANGE,
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_F_PROBE,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
);

type Config = Parameters<typeof fakeRig>[1];

function rig(features = ALL, config: Config = {}): { viommu: Viommu; fake: FakeIommu } {
  const { viommu, fake } = fakeRig(features, config);
  if (viommu === undefined) throw new Error('not bound');
  return { viommu, fake };
}

const page = (number: number): { start: bigint; end: bigint } => ({
  start: BigInt(number) * 4096n,
  end: BigInt(number) * 4096n + 4095n,
});

const sent = ({ requests: seen }: FakeIommu): number => seen.length;

describe('features and configuration', () => {
  test('R1: INPUT_RANGE, DOMAIN_RANGE and PROBE are accepted when offered', () => {
    const { core } = fakeRig(ALL);
    expect(core.features & 0x7fn).toBe(ALL);
    const offered = ALL | featureBits(VIRTIO_IOMMU_F_BYPASS);
    expect(fakeRig(offered).core.features & 0x7fn).toBe(ALL);
  });

  test('R2: bypass is written only when BYPASS_CONFIG was negotiated, and no other field ever', () => {
    const without = rig(ALL & ~featureBits(VIRTIO_IOMMU_F_BYPASS_CONFIG));
    expect(without.viommu.setBypass(false)).toBe(false);
    expect(without.fake.configWrites).toEqual([]);
    const { viommu, fake } = rig();
    expect(viommu.setBypass(true)).toBe(true);
    const { bypass } = VIRTIO_IOMMU_CONFIG.offsets;
    expect(fake.configWrites).toEqual([{ offset: bypass, size: 1, value: 1 }]);
  });

  test('R3: bypass is written as 0 or 1', () => {
    const { viommu, fake } = rig();
    viommu.setBypass(true);
    viommu.setBypass(false);
    expect(fake.configWrites.map(({ value }) => value)).toEqual([1, 0]);
  });

  test('R4: a device without MAP_UNMAP is not driven', () => {
    const { viommu, core } = fakeRig(ALL & ~featureBits(VIRTIO_IOMMU_F_MAP_UNMAP));
    expect(viommu).toBeUndefined();
    expect(core.status & VIRTIO_CONFIG_S_FAILED).not.toBe(0);
  });

  test('a device without page sizes is not driven', () => {
    expect(fakeRig(ALL, { page_size_mask: 0n }).viommu).toBeUndefined();
  });
});

describe('requests', () => {
  test('R5: each endpoint is probed before it is attached', () => {
    const { events } = bootModel(shippedModel('several-endpoints'));
    const probed = new Set<number | undefined>();
    let attached = 0;
    for (const { name, endpoint } of requests(events)) {
      if (name === 'probe') probed.add(endpoint);
      if (name !== 'attach') continue;
      attached++;
      expect(probed.has(endpoint)).toBe(true);
    }
    expect(attached).toBe(5);
  });

  test('R6: head.reserved is zero, tail.reserved is ignored', () => {
    const { viommu, fake } = rig();
    fake.answer = ({ room }) => ({
      bytes: Uint8Array.from({ length: room }, (_, i) => (i === room - 4 ? 0 : 0xff)),
    });
    const domain = new Domain(viommu, 1);
    expect(domain.attach(5)).toBe(VIRTIO_IOMMU_S_OK);
    expect(domain.map(page(1), 0x4000_0000n, VIRTIO_IOMMU_MAP_F_READ)).toBe(VIRTIO_IOMMU_S_OK);
    expect(domain.unmap(page(1))).toBe(VIRTIO_IOMMU_S_OK);
    expect(domain.detach(5)).toBe(VIRTIO_IOMMU_S_OK);
    viommu.probe(5);
    expect(sent(fake)).toBe(5);
    for (const { bytes } of fake.requests) expect([...bytes.subarray(1, 4)]).toEqual([0, 0, 0]);
  });

  test('R7: a used length of 0 is a failure, and so is one that ends before the tail', () => {
    const { viommu, fake } = rig();
    const domain = new Domain(viommu, 1);
    for (const used of [0, 1, 3]) {
      fake.answer = ({ room }) => ({ bytes: new Uint8Array(room), used });
      expect(domain.attach(5)).toBe(VIRTIO_IOMMU_S_IOERR);
    }
    expect(domain.endpoints.size).toBe(0);
    expect(viommu.probe(5)).toBeUndefined();
  });

  test('R8: nothing outside input_range is mapped, no domain outside domain_range is named', () => {
    const config = {
      input_range_start: 0x10_0000n,
      input_range_end: 0x1f_ffffn,
      domain_range_start: 7,
      domain_range_end: 8,
    };
    const { viommu, fake } = rig(ALL, config);
    const id = viommu.takeDomain() ?? 0;
    expect([id, viommu.takeDomain(), viommu.takeDomain()]).toEqual([7, 8, undefined]);
    const domain = new Domain(viommu, id);
    domain.attach(5);
    const before = sent(fake);
    for (const number of [0x0ff, 0x200]) {
      expect(domain.map(page(number), 0n, VIRTIO_IOMMU_MAP_F_READ)).toBe(VIRTIO_IOMMU_S_RANGE);
    }
    expect(sent(fake)).toBe(before);
    expect(domain.map(page(0x100), 0n, VIRTIO_IOMMU_MAP_F_READ)).toBe(VIRTIO_IOMMU_S_OK);
  });
});

describe('ATTACH and DETACH', () => {
  test('R9, R12: reserved is zero', () => {
    const { viommu, fake } = rig();
    const domain = new Domain(viommu, 3);
    domain.attach(0x1_0008);
    domain.detach(0x1_0008);
    const [attach, detach] = fake.requests.map(({ bytes }) => bytes);
    expect(attach).toEqual(
      structBytes(VIRTIO_IOMMU_REQ_ATTACH, 'le', { type: 1, domain: 3, endpoint: 0x1_0008 }),
    );
    expect(detach).toEqual(
      structBytes(VIRTIO_IOMMU_REQ_DETACH, 'le', { type: 2, domain: 3, endpoint: 0x1_0008 }),
    );
  });

  test('R10: endpoints that cannot be isolated share a domain, others do not', () => {
    const { events } = bootModel(shippedModel('several-endpoints'));
    const domains = new Map(
      requests(events).flatMap(({ name, endpoint, domain }) =>
        name === 'attach' ? [[endpoint, domain] as const] : [],
      ),
    );
    expect(domains.get(0x28)).toBe(domains.get(0x29));
    expect(new Set(domains.values()).size).toBe(4);
  });

  test('R11: every endpoint of a domain comes with the flag that the domain has', () => {
    const { guest, events } = bootModel(shippedModel('several-endpoints'), {
      defaultDomain: 'identity',
    });
    const attached = requests(events).filter(({ name }) => name === 'attach');
    expect(attached.length).toBe(5);
    for (const { flags, status } of attached) {
      expect([flags, status]).toEqual([VIRTIO_IOMMU_ATTACH_F_BYPASS, VIRTIO_IOMMU_S_OK]);
    }
    const disk = guest.device('0000:00:02.0')?.driver;
    expect(disk instanceof BlockDriver && disk.read(0n, 4096)).toBeInstanceOf(Uint8Array);
  });
});

describe('MAP', () => {
  const attached = (features = ALL): { domain: Domain; fake: FakeIommu } => {
    const { viommu, fake } = rig(features);
    const domain = new Domain(viommu, 1);
    domain.attach(5);
    fake.requests.length = 0;
    return { domain, fake };
  };

  test('R13: undefined flags are never sent', () => {
    const { domain, fake } = attached();
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 0x7fff_ffff }), (flags) => {
        expect(domain.map(page(1), 0n, flags)).toBe(VIRTIO_IOMMU_S_INVAL);
      }),
    );
    expect(sent(fake)).toBe(0);
  });

  test('R14, R22: nothing is mapped or unmapped in a bypass domain', () => {
    const { viommu, fake } = rig();
    const domain = new Domain(viommu, 1, true);
    domain.attach(5);
    expect(domain.map(page(1), 0n, VIRTIO_IOMMU_MAP_F_READ)).toBe(VIRTIO_IOMMU_S_INVAL);
    expect(domain.unmap(page(1))).toBe(VIRTIO_IOMMU_S_INVAL);
    expect(sent(fake)).toBe(1);
  });

  test('R15: virt_end is above virt_start', () => {
    const { domain, fake } = attached();
    for (const range of [
      { start: 4096n, end: 4096n },
      { start: 8192n, end: 4095n },
    ]) {
      expect(domain.map(range, 0n, VIRTIO_IOMMU_MAP_F_READ)).toBe(VIRTIO_IOMMU_S_INVAL);
    }
    expect(sent(fake)).toBe(0);
  });

  test('R16: the doorbell is mapped with MMIO, memory without', () => {
    const { events } = bootModel(shippedModel('software-doorbell'));
    const doorbells: bigint[] = [];
    for (const one of events) {
      if (one.source !== 'viommu' || one.event.kind !== 'request') continue;
      const { name, fields } = one.event;
      if (name !== 'map') continue;
      const { flags = 0, phys = 0n } = fields;
      const isDoorbell = phys === 0x809_0000n;
      expect((flags & VIRTIO_IOMMU_MAP_F_MMIO) !== 0).toBe(isDoorbell);
      if (isDoorbell) doorbells.push(phys);
    }
    expect(doorbells).toEqual([0x809_0000n]);
  });

  test('R17: what a device reads is mapped for reading', () => {
    const { viommu, fake } = rig();
    const { kernel } = fakeRig(ALL);
    const domain = new Domain(viommu, 1);
    domain.attach(5);
    const mapper = new IommuMapper(domain, kernel.ram, viommu.inputRange);
    fake.requests.length = 0;
    for (const direction of ['to-device', 'from-device', 'both'] as const) {
      mapper.map([{ gpa: 0x4000_0000n, length: 4096 }], direction);
    }
    const at = VIRTIO_IOMMU_REQ_MAP.offsets.flags;
    expect(fake.requests.map(({ bytes }) => bytes[at])).toEqual([
      VIRTIO_IOMMU_MAP_F_READ,
      VIRTIO_IOMMU_MAP_F_WRITE,
      VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE,
    ]);
  });

  test('R18: MMIO is not used when it was not negotiated', () => {
    const { domain, fake } = attached(ALL & ~featureBits(VIRTIO_IOMMU_F_MMIO));
    const flags = VIRTIO_IOMMU_MAP_F_WRITE | VIRTIO_IOMMU_MAP_F_MMIO;
    expect(domain.map(page(1), 0x809_0000n, flags)).toBe(VIRTIO_IOMMU_S_INVAL);
    expect(sent(fake)).toBe(0);
  });

  test('R18: without it a software-mapped doorbell leaves devices with INTx', () => {
    const model = shippedModel('software-doorbell');
    const viommus = model.viommus.map((viommu) => ({
      ...viommu,
      features: viommu.features.filter((feature) => feature !== 'MMIO'),
    }));
    const { guest } = bootModel({ ...model, viommus });
    const device = guest.device('0000:00:02.0');
    expect(device?.interrupts.kind).toBe('none');
    expect(device?.driver instanceof BlockDriver && device.driver.read(0n, 4096)).toBeInstanceOf(
      Uint8Array,
    );
  });

  test('misaligned mappings are not sent', () => {
    const { domain, fake } = attached();
    const misaligned = [
      [{ start: 1n, end: 4096n }, 0n],
      [{ start: 0n, end: 4096n }, 0n],
      [page(1), 8n],
    ] as const;
    for (const [range, phys] of misaligned) {
      expect(domain.map(range, phys, VIRTIO_IOMMU_MAP_F_READ)).toBe(VIRTIO_IOMMU_S_RANGE);
    }
    expect(sent(fake)).toBe(0);
  });
});

describe('UNMAP', () => {
  test('R19: reserved is zero', () => {
    const { viommu, fake } = rig();
    const domain = new Domain(viommu, 1);
    domain.attach(5);
    domain.map(page(1), 0n, VIRTIO_IOMMU_MAP_F_READ);
    domain.unmap(page(1));
    expect(fake.requests.at(-1)?.bytes).toEqual(
      structBytes(VIRTIO_IOMMU_REQ_UNMAP, 'le', {
        type: 4,
        domain: 1,
        virt_start: page(1).start,
        virt_end: page(1).end,
      }),
    );
  });

  test('R20, R21: whole mappings and holes; a range that would split one is not sent', () => {
    const { viommu, fake } = rig();
    const domain = new Domain(viommu, 1);
    domain.attach(5);
    domain.map({ start: page(1).start, end: page(2).end }, 0n, VIRTIO_IOMMU_MAP_F_READ);
    domain.map(page(4), 0n, VIRTIO_IOMMU_MAP_F_READ);
    const before = sent(fake);
    for (const range of [page(1), page(2), { start: page(2).start, end: page(4).end }]) {
      expect(domain.unmap(range)).toBe(VIRTIO_IOMMU_S_RANGE);
    }
    expect(sent(fake)).toBe(before);
    expect(domain.unmap({ start: page(0).start, end: page(9).end })).toBe(VIRTIO_IOMMU_S_OK);
    expect(domain.mappings()).toEqual([]);
    expect(sent(fake)).toBe(before + 1);
  });
});

describe('PROBE', () => {
  const log = new KernelLog();
  const parse = (bytes: Uint8Array): ProbedRegion[] | undefined =>
    parseProperties(bytes, { log, device: 'virtio0' });
  const region = (
    values: Partial<ReturnType<typeof VIRTIO_IOMMU_PROBE_RESV_MEM.read>>,
  ): Uint8Array =>
    structBytes(VIRTIO_IOMMU_PROBE_RESV_MEM, 'le', { type: 1, length: 20, ...values });
  const some = region({ start: 0x1000n, end: 0x1fffn });
  const found = { range: { start: 0x1000n, end: 0x1fffn }, type: 'reserved' };

  test('R23, R24: properties have probe_size bytes, reserved is zero', () => {
    const { viommu, fake } = rig(ALL, { probe_size: 200 });
    expect(viommu.probe(0x18)).toEqual([]);
    const [request] = fake.requests;
    expect(request?.room).toBe(204);
    expect(request?.bytes).toEqual(
      structBytes(VIRTIO_IOMMU_REQ_PROBE, 'le', { type: 5, endpoint: 0x18 }),
    );
  });

  test('R25: properties of unknown types are passed over', () => {
    const unknown = Uint8Array.of(0x23, 0x01, 3, 0, 1, 2, 3);
    expect(parse(Buffer.concat([unknown, some]))).toEqual([found]);
    expect(log.lines).toContain('virtio0: unknown viommu prop 0x123');
  });

  test('R26: length says where the next property is, whatever the type', () => {
    const long = Buffer.concat([region({ length: 28, start: 0n, end: 0xfffn }), new Uint8Array(8)]);
    expect(parse(Buffer.concat([long, some]))?.map(({ range }) => range.start)).toEqual([
      0n,
      0x1000n,
    ]);
  });

  test('R27: a property with reserved bits is ignored', () => {
    const odd = region({ type: 0x1001, start: 0x5000n, end: 0x5fffn });
    expect(parse(Buffer.concat([odd, some]))).toEqual([found]);
  });

  test('R28: reserved regions are never mapped', () => {
    const { viommu, fake } = rig();
    const { kernel } = fakeRig(ALL);
    const domain = new Domain(viommu, 1);
    domain.attach(5);
    const reserved = { start: 0xffff_0000n, end: 0xffff_ffffn };
    domain.reserved.push(reserved);
    expect(domain.map({ start: 0xffff_f000n, end: 0xffff_ffffn }, 0n, 1)).toBe(
      VIRTIO_IOMMU_S_INVAL,
    );
    const mapper = new IommuMapper(domain, kernel.ram, viommu.inputRange);
    mapper.reserve(reserved, false);
    const [segment] = mapper.map([{ gpa: 0x4000_0000n, length: 4096 }], 'both') ?? [];
    expect(segment).toEqual({ hi: 0, lo: 0xfffe_f000, length: 4096 });
    expect(sent(fake)).toBe(2);
  });

  test('R29: reserved of RESV_MEM is ignored', () => {
    const dirty = region({ reserved: Uint8Array.of(1, 2, 3), start: 0x1000n, end: 0x1fffn });
    expect(parse(dirty)).toEqual([found]);
  });

  test('R30: an unknown subtype counts as RESERVED', () => {
    expect(parse(region({ subtype: 77, start: 0x1000n, end: 0x1fffn }))).toEqual([found]);
    expect(parse(region({ subtype: 1, start: 0x1000n, end: 0x1fffn }))?.[0]?.type).toBe('msi');
  });

  test('a reversed region makes the endpoint unusable', () => {
    expect(parse(region({ start: 0x2000n, end: 0x1fffn }))).toBeUndefined();
    expect(log.lines).toContain('virtio0: failed to parse viommu prop 0x1');
  });

  test('an endpoint that is not there is known by its status', () => {
    const { viommu, fake } = rig();
    fake.answer = ({ room }) => {
      const bytes = new Uint8Array(room);
      bytes[room - 4] = VIRTIO_IOMMU_S_NOENT;
      return { bytes };
    };
    expect(viommu.probe(9)).toBeUndefined();
  });

  test('no bytes make it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 128 }), (bytes) => {
        parse(bytes);
      }),
    );
  });
});

describe('fault reports', () => {
  const fault = (values: Partial<ReturnType<typeof VIRTIO_IOMMU_FAULT.read>>): Uint8Array =>
    structBytes(VIRTIO_IOMMU_FAULT, 'le', {
      reason: 2,
      flags: VIRTIO_IOMMU_FAULT_F_WRITE | VIRTIO_IOMMU_FAULT_F_ADDRESS,
      endpoint: 16,
      address: 0xabcd_0000n,
      ...values,
    });
  const said = (record: Uint8Array): { lines: string[]; viommu: Viommu } => {
    const { viommu, kernel, fake } = fakeRig(ALL);
    if (viommu === undefined) throw new Error('not bound');
    const before = kernel.log.lines.length;
    fake.report(record);
    kernel.idle();
    return { lines: kernel.log.lines.slice(before), viommu };
  };

  test('are printed as Linux prints them', () => {
    expect(said(fault({})).lines).toEqual([
      'virtio_iommu virtio0: page fault from EP 16 at 0xabcd0000 [W]',
    ]);
    expect(said(fault({ reason: 1, flags: 1 })).lines).toEqual([
      'virtio_iommu virtio0: domain fault from EP 16 [R]',
    ]);
  });

  test('R31: a report whose reserved is not zero is ignored', () => {
    const { lines, viommu } = said(fault({ reserved: Uint8Array.of(0, 0, 1) }));
    expect(lines).toEqual([]);
    expect([viommu.faults, viommu.ignoredFaults]).toEqual([0, 1]);
  });

  test('R32: reserved1 and undefined flags say nothing', () => {
    const flags = 0xffff_fefc | VIRTIO_IOMMU_FAULT_F_ADDRESS | VIRTIO_IOMMU_FAULT_F_WRITE;
    const { lines } = said(fault({ reserved1: 0xffff_ffff, flags: flags >>> 0 }));
    expect(lines).toEqual(['virtio_iommu virtio0: page fault from EP 16 at 0xabcd0000 [W]']);
  });

  test('R33: an unknown reason is UNKNOWN', () => {
    expect(said(fault({ reason: 200 })).lines[0]).toContain('unknown fault');
    const reserved = new Uint8Array(3);
    const record = { reason: 0, reserved, flags: 0, endpoint: 1, reserved1: 0, address: 0n };
    expect(faultLine(record)).toBe('unknown fault from EP 1 []');
  });

  test('buffers come back: more reports than buffers are all heard', () => {
    const { viommu, kernel, fake } = fakeRig(ALL);
    for (let i = 0; i < 100; i++) {
      fake.report(fault({ endpoint: i }));
      kernel.idle();
    }
    expect(viommu?.faults).toBe(100);
  });
});

test('each of R1 to R33 has a test', () => {
  const text = readFileSync(import.meta.filename, 'utf8');
  const titled = new Set(
    [...text.matchAll(/test\('((?:R\d+(?:, )?)+):/gu)].flatMap(([, ids = '']) => ids.split(', ')),
  );
  const wanted = Array.from({ length: 33 }, (_, i) => `R${i + 1}`);
  expect(wanted.filter((id) => !titled.has(id))).toEqual([]);
});
