import { describe, expect, test } from 'vitest';
import { ByteView } from '../../src/bytes/index.ts';
import { IommuDevice, type PropertySource } from '../../src/iommu/index.ts';
import {
  VIRTIO_IOMMU_PROBE_PROPERTY,
  VIRTIO_IOMMU_PROBE_RESV_MEM,
} from '../../src/spec/virtio-iommu.ts';
import { FILLER, INVAL, NOENT, OK, probeBytes, Rig } from '../support/iommu-rig.ts';

const MSI = { range: { start: 0xfee0_0000n, end: 0xfeef_ffffn }, type: 'msi' } as const;
const LOW = { range: { start: 0n, end: 0xfffn }, type: 'reserved' } as const;
const HIGH = { range: { start: 1n << 48n, end: (1n << 64n) - 1n }, type: 'reserved' } as const;

const withRegions = (probeSize = 128): Rig =>
  new Rig({ probeSize, endpoints: [{ id: 1, reserved: [HIGH, MSI, LOW] }, { id: 2 }] });

/** VIRTIO 1.3, IOMMU Device / PROBE request. */
describe('PROBE', () => {
  test('D42: reserved is ignored', () => {
    const rig = withRegions();
    const request = probeBytes(1, { reserved: new Uint8Array(64).fill(0xff) });
    expect(rig.send(request, 132)).toEqual(rig.probe(1, 128));
  });

  test('D43: no such endpoint: NOENT, no property', () => {
    const answer = withRegions().probe(0x1_0001, 128);
    expect(answer).toMatchObject({ used: 132, status: NOENT });
    expect(answer.bytes.slice(0, 128).every((byte) => byte === 0)).toBe(true);
  });

  test('D44: without PROBE the request comes back unwritten', () => {
    const rig = new Rig({ features: ['MAP_UNMAP'] });
    const answer = rig.send(probeBytes(1), 516);
    expect(answer.used).toBe(0);
    expect(answer.bytes.every((byte) => byte === FILLER)).toBe(true);
    expect(new DataView(rig.device.config.buffer).getUint32(32, true)).toBe(0);
  });

  test('D45: the upper four bits of a type are zero', () => {
    const view = new ByteView(withRegions().probe(1, 128).bytes, 'le', 'probe');
    for (const at of [0, 24, 48]) expect(view.u16(at)).toBe(1);
  });

  test('D46, D47: length excludes the header, and the next property follows at once', () => {
    const view = new ByteView(withRegions().probe(1, 128).bytes, 'le', 'probe');
    const seen: bigint[] = [];
    let at = 0;
    for (;;) {
      const { type, length } = VIRTIO_IOMMU_PROBE_PROPERTY.read(view, at);
      if (type === 0) break;
      expect(length).toBe(20);
      seen.push(VIRTIO_IOMMU_PROBE_RESV_MEM.read(view, at).start);
      at += length + 4;
    }
    expect(seen).toEqual([0n, 0xfee0_0000n, 1n << 48n]);
  });

  test('D47: properties of other types stand beside them', () => {
    const own: PropertySource = {
      type: 0x123,
      write: (endpoint, sink) => sink.u16(0x123).u16(6).u32(endpoint.id).u16(7),
    };
    const rig = new Rig({ probeSize: 64, extensions: { properties: [own] } });
    const view = new ByteView(rig.probe(2, 64).bytes, 'le', 'probe');
    expect([view.u16(0), view.u16(2), view.u32(4), view.u16(8), view.u16(10)]).toEqual([
      0x123, 6, 2, 7, 0,
    ]);
  });

  test.each([0, 1, 24, 127])('D48: %i bytes for properties are too few: INVAL, none', (room) => {
    const rig = withRegions();
    const answer = rig.send(probeBytes(1), room + 4);
    expect(answer.used).toBe(room + 4);
    expect(answer.status).toBe(INVAL);
    expect([...answer.bytes]).toEqual([...new Uint8Array(room), INVAL, 0, 0, 0]);
  });

  test('D49: the rest of the area is zero, whatever was there or came before', () => {
    const rig = withRegions();
    rig.probe(1, 128);
    expect(rig.probe(2, 128).bytes.every((byte) => byte === 0)).toBe(true);
    const { bytes } = rig.probe(1, 128);
    expect(bytes.slice(72, 128).every((byte) => byte === 0)).toBe(true);
  });

  test('D50: the reserved bytes of RESV_MEM are zero, subtype and range as configured', () => {
    const view = new ByteView(withRegions().probe(1, 128).bytes, 'le', 'probe');
    const regions = [0, 24, 48].map((at) => VIRTIO_IOMMU_PROBE_RESV_MEM.read(view, at));
    expect(regions.map(({ subtype }) => subtype)).toEqual([0, 1, 0]);
    for (const { reserved } of regions) expect([...reserved]).toEqual([0, 0, 0]);
    expect(regions[2]).toMatchObject({ start: 1n << 48n, end: (1n << 64n) - 1n });
  });

  test('D51: two MSI regions for one endpoint are the VMM`s mistake', () => {
    const device = new IommuDevice();
    const other = { range: { start: 0x1000n, end: 0x1fffn }, type: 'msi' } as const;
    expect(() => device.addEndpoint({ id: 1, reserved: [MSI, other] })).toThrow(/MSI/);
    expect(device.endpoints.get(1)).toBe(undefined);
  });

  test('D52: regions of one endpoint that overlap are refused', () => {
    const device = new IommuDevice();
    const inside = { range: { start: 0xfff_fn, end: 0x2_0000n }, type: 'reserved' } as const;
    const low = { range: { start: 0n, end: 0xffffn }, type: 'reserved' } as const;
    expect(() => device.addEndpoint({ id: 1, reserved: [inside, low] })).toThrow(/overlap/);
    // The same region for two endpoints is fine.
    device.addEndpoint({ id: 2, reserved: [low] });
    device.addEndpoint({ id: 3, reserved: [low] });
  });

  test('D53: an access into a RESERVED region touches nothing', () => {
    const rig = new Rig({ endpoints: [{ id: 1, reserved: [LOW, MSI] }] });
    rig.attach(1, 1);
    expect(rig.write(1, 0x123n)).toBe(false);
    expect(rig.read(1, 0x123n)).toBe(undefined);
    rig.attach(2, 1, { flags: 1 });
    // In a bypass domain too, up to its very borders.
    expect(rig.write(1, 0xfffn)).toBe(false);
    expect(rig.write(1, 0x1000n)).toBe(true);
    expect(rig.ram[0x123]).toBe(0);
    const open = new Rig({
      endpoints: [{ id: 1, reserved: [LOW] }],
      choices: { reservedInBypass: 'pass' },
    });
    open.attach(2, 1, { flags: 1 });
    expect(open.write(1, 0x123n)).toBe(true);
  });

  test('writes to the MSI window go to the doorbell as they are, reads do not', () => {
    const rig = new Rig({ endpoints: [{ id: 1, reserved: [MSI] }] });
    rig.attach(1, 1);
    const { translation } = rig.device;
    expect(translation.translate(1, 0, 0xfee0_1004, 4, 2)).toBe(2);
    expect([translation.startLo, translation.endLo]).toEqual([0xfee0_0000, 0xfeef_ffff]);
    expect(translation.translate(1, 0, 0xfee0_1004, 4, 1)).toBe(1);
    rig.setBypass(0);
    rig.detach(1, 1);
    expect(translation.translate(1, 0, 0xfee0_1004, 4, 2)).toBe(1);
  });

  test('regions that do not fit in probe_size are the VMM`s mistake', () => {
    const device = new IommuDevice({ probeSize: 40 });
    device.addEndpoint({ id: 1, reserved: [LOW] });
    expect(() => device.addEndpoint({ id: 2, reserved: [LOW, MSI] })).toThrow(/probe_size/);
    const rig = new Rig({ probeSize: 24, endpoints: [{ id: 1, reserved: [LOW] }] });
    expect(rig.probe(1, 24)).toMatchObject({ used: 28, status: OK });
  });
});
