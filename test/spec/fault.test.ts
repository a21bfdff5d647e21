import { describe, expect, test } from 'vitest';
import { ByteView } from '../../src/bytes/index.ts';
import { IommuDebug, type PassthroughPort } from '../../src/iommu/index.ts';
import { VIRTIO_IOMMU_FAULT } from '../../src/spec/virtio-iommu.ts';
import { OK, Rig } from '../support/iommu-rig.ts';

const record = (bytes: Uint8Array): ReturnType<typeof VIRTIO_IOMMU_FAULT.read> =>
  VIRTIO_IOMMU_FAULT.read(new ByteView(bytes, 'le', 'fault'), 0);

const faulting = (options: ConstructorParameters<typeof Rig>[0] = {}): Rig => {
  const rig = new Rig({ bootBypass: false, ...options });
  rig.attach(1, 1);
  return rig;
};

/** VIRTIO 1.3, IOMMU Device / Fault reporting. */
describe('fault reports', () => {
  test('reason, direction, endpoint and address are reported', () => {
    const rig = faulting();
    rig.map(1, 0x1000n, 0x1fffn, 0x2000n, 1);
    rig.read(2, 0x1_0000_0007n);
    rig.read(1, 0xfffn);
    rig.write(1, 0x1fffn);
    const READ = 1;
    const WRITE = 2;
    const ADDRESS = 1 << 8;
    expect(rig.faults().map(record)).toMatchObject([
      { reason: 1, flags: READ | ADDRESS, endpoint: 2, address: 0x1_0000_0007n },
      { reason: 2, flags: READ | ADDRESS, endpoint: 1, address: 0xfffn },
      { reason: 2, flags: WRITE | ADDRESS, endpoint: 1, address: 0x1fffn },
    ]);
  });

  test('D54: without a buffer reports wait, and the request queue does not', () => {
    const rig = faulting({ eventBuffers: [24] });
    for (let i = 0; i < 5; i++) rig.read(1, BigInt(i));
    expect(rig.faults()).toHaveLength(1);
    expect(rig.map(1, 0x1000n, 0x1fffn, 0n)).toBe(OK);
    rig.giveEventBuffer();
    rig.giveEventBuffer(24, true);
    expect(rig.faults().map((bytes) => record(bytes).address)).toEqual([1n, 2n]);
    // Without a notification, as Linux does it: with the next thing that happens.
    rig.giveEventBuffer();
    rig.map(1, 0x2000n, 0x2fffn, 0n);
    expect(rig.faults().map((bytes) => record(bytes).address)).toEqual([3n]);
  });

  test('D54: or they are dropped and counted, if made so', () => {
    const rig = faulting({ eventBuffers: [24], choices: { faultsWithoutBuffer: 'drop' } });
    for (let i = 0; i < 5; i++) rig.read(1, BigInt(i));
    expect(rig.faults()).toHaveLength(1);
    rig.giveEventBuffer(24, true);
    expect(rig.faults()).toHaveLength(0);
    expect(rig.device.state.counters.reportsDropped).toBe(4);
    rig.read(1, 9n);
    expect(rig.faults().map((bytes) => record(bytes).address)).toEqual([9n]);
  });

  test('D54: those that wait are bounded', () => {
    const rig = faulting({ eventBuffers: [], limits: { pendingFaults: 3 } });
    for (let i = 0; i < 10; i++) rig.read(1, BigInt(i));
    expect(rig.device.state.faults.size).toBe(3);
    expect(rig.device.state.counters.reportsDropped).toBe(7);
  });

  test('D55: reserved bytes and undefined flags are zero', () => {
    const rig = faulting();
    rig.write(1, 5n);
    rig.device.translation.translate(1, 0, 0, 8, 0xff);
    const records = rig.faults().map(record);
    expect(records).toHaveLength(2);
    for (const { reserved, reserved1, flags } of records) {
      expect([...reserved, reserved1, flags & ~0x103]).toEqual([0, 0, 0, 0, 0]);
    }
  });

  test('D56: there is no record for an endpoint that does not exist', () => {
    const rig = faulting();
    expect(rig.read(77, 0n)).toBe(undefined);
    expect(rig.faults()).toHaveLength(0);
    expect(rig.device.state.counters.strangers).toBe(1);
    expect(rig.events.at(-1)).toMatchObject({ kind: 'fault', endpoint: 77, report: 'silent' });
    const dma = rig.dma(1);
    rig.device.removeEndpoint(1);
    expect(dma.readU8(0, 0)).toBe(-1);
    expect(rig.faults()).toHaveLength(0);
  });

  test('D57: ADDRESS is set whenever address means something, which is always', () => {
    const rig = faulting();
    rig.read(1, 0n);
    expect(rig.faults().map(record)).toMatchObject([{ flags: 0x101, address: 0n }]);
  });

  test.each([1, 8, 16, 23])('D58: a buffer of %i bytes gets that much of one record', (size) => {
    const rig = faulting({ eventBuffers: [size, 24] });
    rig.write(1, 0x1234n);
    rig.write(1, 0x5678n);
    const [short, full] = rig.faults();
    expect(short?.length).toBe(size);
    expect(short?.[0]).toBe(2);
    expect(full?.length).toBe(24);
    expect(record(full ?? new Uint8Array(24)).address).toBe(0x5678n);
  });

  test('D58: a buffer that cannot be written at all is passed over', () => {
    const rig = faulting({ eventBuffers: [0, 0, 24] });
    rig.write(1, 0x1234n);
    expect(rig.faults().map(({ length }) => length)).toEqual([0, 0, 24]);
  });

  test('D58: no driver keeps the device busy with such buffers', () => {
    const rig = faulting({ eventBuffers: [0, 0, 0, 0, 24], eventQueueSize: 4 });
    rig.write(1, 0x1234n);
    for (let i = 0; i < 4; i++) rig.giveEventBuffer(i === 3 ? 24 : 0);
    rig.core.runPending();
    rig.core.notify(1);
    expect(rig.faults().map(({ length }) => length)).toContain(0);
    rig.giveEventBuffer(24, true);
    expect(rig.device.state.faults.size).toBe(0);
  });

  test('D59: what is nobody`s fault in particular asks for a reset, and is no event', () => {
    const port: PassthroughPort = {
      pageSizeMask: 0x1000n,
      aperture: [{ start: 0n, end: (1n << 64n) - 1n }],
      reserved: [],
      map: () => 'lost',
      unmap: () => 'ok',
      unmapAll: () => 'ok',
      mapIdentity: () => 'ok',
    };
    const rig = faulting({ endpoints: [{ id: 1, port }] });
    rig.map(1, 0n, 0xfffn, 0n);
    expect(rig.core.status & 0x40).toBe(0x40);
    expect(rig.virtioEvents).toContainEqual({
      kind: 'needs-reset',
      why: expect.stringContaining('MAP') as string,
    });
    expect(rig.faults()).toHaveLength(0);
  });

  test('reports are held until the first request, which Linux needs', () => {
    const rig = new Rig({ bootBypass: false });
    rig.read(1, 0x77n);
    expect(rig.faults()).toHaveLength(0);
    rig.probe(1);
    expect(rig.faults().map(record)).toMatchObject([{ address: 0x77n }]);
    const eager = new Rig({ bootBypass: false, choices: { holdReports: false } });
    eager.read(1, 0x77n);
    expect(eager.faults()).toHaveLength(1);
  });

  test('faults before the driver came are told once it has, those before a reset never', () => {
    const rig = new Rig({ bootBypass: false, asleep: true });
    rig.read(1, 0x77n);
    rig.core.writeStatus(0);
    rig.read(1, 0x88n);
    rig.core.writeStatus(1);
    expect(rig.device.state.faults.size).toBe(1);
  });

  test('injected faults look like any other', () => {
    const rig = faulting();
    const debug = new IommuDebug(rig.device);
    rig.map(1, 0n, 0xfffn, 0n);
    debug.fault({ reason: 'mapping', endpoint: 1, address: 0xabcn, access: 2 });
    expect(debug.failAccesses(1)).toBe(true);
    expect(debug.failAccesses(77)).toBe(false);
    expect([rig.read(1, 0n), rig.read(1, 0n)]).toEqual([undefined, 0]);
    expect(rig.faults().map(record)).toMatchObject([
      { reason: 2, flags: 0x102, address: 0xabcn },
      { reason: 0, flags: 0x101, address: 0n },
    ]);
  });
});
