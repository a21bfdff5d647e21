import { describe, expect, test } from 'vitest';
import { ByteView } from '../../src/bytes/index.ts';
import { IommuDevice, type FeatureName } from '../../src/iommu/index.ts';
import { VIRTIO_IOMMU_CONFIG } from '../../src/spec/virtio-iommu.ts';
import { INVAL, NOENT, OK, RANGE, Rig } from '../support/iommu-rig.ts';

const config = (device: IommuDevice): ReturnType<typeof VIRTIO_IOMMU_CONFIG.read> =>
  VIRTIO_IOMMU_CONFIG.read(new ByteView(device.config, 'le', 'config'), 0);

/** VIRTIO 1.3, IOMMU Device / Feature bits, Device configuration layout, Device initialization. */
describe('features and configuration', () => {
  test('D1: MAP_UNMAP is offered by default', () => {
    expect(new IommuDevice().features & 4n).toBe(4n);
  });

  test('D2: BYPASS is offered only on demand, and never together with BYPASS_CONFIG', () => {
    expect(new IommuDevice().features & 8n).toBe(0n);
    expect(new IommuDevice({ features: ['MAP_UNMAP', 'BYPASS'] }).features).toBe(0b1100n);
    const both: FeatureName[] = ['MAP_UNMAP', 'BYPASS', 'BYPASS_CONFIG'];
    expect(() => new IommuDevice({ features: both })).toThrow(RangeError);
  });

  test('D3: page_size_mask has a bit set, and its lowest one is the granule', () => {
    expect(() => new IommuDevice({ pageSizeMask: 0n })).toThrow(RangeError);
    expect(config(new IommuDevice()).page_size_mask).toBe(0xffff_ffff_ffff_f000n);
    for (const shift of [0n, 1n, 12n, 16n, 31n, 32n, 40n, 63n]) {
      const size = 1n << shift;
      const rig = new Rig({ pageSizeMask: size | (1n << 63n) });
      expect(config(rig.device).page_size_mask).toBe(size | (1n << 63n));
      rig.attach(1, 1);
      expect(rig.map(1, size, 2n * size - 1n, 0n)).toBe(OK);
      if (size > 1n) expect(rig.map(1, 0n, size / 2n - 1n, 0n)).toBe(RANGE);
    }
  });

  test('D4: bypass starts as configured, outlives a device reset, not a system reset', () => {
    expect(config(new IommuDevice()).bypass).toBe(1);
    const rig = new Rig({ bootBypass: false });
    expect(config(rig.device).bypass).toBe(0);
    rig.setBypass(1);
    rig.core.writeStatus(0);
    expect(config(rig.device).bypass).toBe(1);
    rig.core.systemReset();
    expect(config(rig.device).bypass).toBe(0);
    expect(rig.events).toContainEqual({ kind: 'bypass', value: false, cause: 'system-reset' });
  });

  test('D5: bypass is never anything but 0 or 1, whatever is written', () => {
    const rig = new Rig();
    for (const value of [2, 3, 0x80, 0xff]) {
      rig.setBypass(value);
      expect(config(rig.device).bypass).toBe(1);
    }
    // A wider write reaches it too; the reserved bytes beside it keep their zeros.
    rig.core.configWrite(36, 4, 0xffff_ff00);
    expect(config(rig.device).bypass).toBe(0);
    expect(Array.from(rig.device.config.slice(37))).toEqual([0, 0, 0]);
    rig.core.configWrite(34, 2, 0xffff);
    expect(config(rig.device).probe_size).toBe(512);
  });

  test('D5: bypass cannot be written without BYPASS_CONFIG', () => {
    const rig = new Rig({ negotiate: 0b110111n });
    rig.setBypass(0);
    expect(config(rig.device).bypass).toBe(1);
    const old = new Rig({ features: ['MAP_UNMAP'] });
    expect(config(old.device).bypass).toBe(0);
    old.setBypass(1);
    expect(config(old.device).bypass).toBe(0);
  });

  test('D6: a device reset leaves no endpoint attached and no domain', () => {
    const rig = new Rig({ bootBypass: false });
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    expect(rig.read(1, 0n)).toBe(0);
    rig.core.writeStatus(0);
    expect(rig.device.state.domains.size).toBe(0);
    expect(rig.read(1, 0n)).toBe(undefined);
    rig.boot();
    expect(rig.read(1, 0n)).toBe(undefined);
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(NOENT);
    // The domain ID begins anew: as a bypass domain this time.
    expect(rig.attach(1, 1, { flags: 1 })).toBe(OK);
  });

  test('D7: DOMAIN_RANGE bounds domain IDs when offered, INPUT_RANGE the IOVAs', () => {
    const bounded = new Rig({
      domainRange: { start: 5, end: 9 },
      inputRange: { start: 0x10_0000n, end: 0x1f_ffffn },
    });
    expect(config(bounded.device)).toMatchObject({
      domain_range_start: 5,
      domain_range_end: 9,
      input_range_start: 0x10_0000n,
      input_range_end: 0x1f_ffffn,
    });
    expect([4, 10, 5, 9].map((domain) => bounded.attach(domain, 1))).toEqual([
      RANGE,
      RANGE,
      OK,
      OK,
    ]);
    expect(bounded.map(9, 0xf_f000n, 0x10_0fffn, 0n)).toBe(RANGE);
    expect(bounded.map(9, 0x1f_f000n, 0x20_0fffn, 0n)).toBe(RANGE);
    expect(bounded.map(9, 0x10_0000n, 0x10_0fffn, 0n)).toBe(OK);
    expect(bounded.map(9, 0x1f_f000n, 0x1f_ffffn, 0n)).toBe(OK);
  });

  test('D7: without the features every 32-bit domain and every 64-bit address is valid', () => {
    const free = new Rig({
      features: ['MAP_UNMAP'],
      domainRange: { start: 5, end: 9 },
      inputRange: { start: 0x1000n, end: 0x1fffn },
    });
    expect(config(free.device)).toMatchObject({ domain_range_end: 0, input_range_end: 0n });
    expect(free.attach(0xffff_ffff, 1)).toBe(OK);
    expect(free.attach(0, 2)).toBe(OK);
    const top = (1n << 64n) - 1n;
    expect(free.map(0, top - 0xfffn, top, 0n)).toBe(OK);
    expect(free.map(0xffff_ffff, 0n, 0xfffn, 0n)).toBe(OK);
    expect(free.map(0xffff_ffff, 0n, 0xfffn, 0n)).toBe(INVAL);
  });
});
