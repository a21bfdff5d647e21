import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/bytes/index.ts';
import type { PlainState } from '../../../src/virtio/index.ts';
import { OK, Rig } from '../../support/iommu-rig.ts';

const attached = (options: ConstructorParameters<typeof Rig>[0] = {}): Rig => {
  const rig = new Rig({ bootBypass: false, ...options });
  rig.attach(1, 1);
  rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
  return rig;
};

describe('snapshots', () => {
  test('of a device with mappings, faults and pins are the same after a restore', () => {
    const rig = attached({ eventBuffers: [] });
    rig.attach(4, 2, { flags: 1 });
    rig.read(1, 0x9999n);
    rig.device.endpoints.pin(1, 0x1000n, 8n);
    rig.setBypass(1);
    const saved = rig.core.snapshot();
    const before = rig.ram.slice();
    rig.migrate();
    expect(rig.core.snapshot()).toEqual(saved);
    expect(Buffer.compare(rig.ram, before)).toBe(0);
    expect(rig.read(1, 0x1000n)).toBe(0);
    expect(rig.map(1, 0x1000n, 0x1fffn, 0n)).not.toBe(OK);
  });

  test('that are damaged throw FormatError and change nothing', () => {
    const rig = attached();
    const good = rig.device.snapshot() as Record<string, PlainState>;
    const now = (): PlainState => rig.device.snapshot();
    const domain = (good['domains'] as Record<string, PlainState>[])[0];
    const twice = domain?.['mappings'] as Uint8Array;
    const bad: PlainState[] = [
      undefined,
      7,
      [],
      { ...good, version: 2 },
      { ...good, bypass: 'x' },
      { ...good, endpoints: [] },
      {
        ...good,
        endpoints: [
          { id: 1, injected: 0 },
          { id: 77, injected: 0 },
        ],
      },
      { ...good, domains: [{ ...domain, endpoints: [] }] },
      { ...good, domains: [{ ...domain, endpoints: [1, 77] }] },
      { ...good, domains: [domain ?? null, { ...domain, id: 2 }] },
      { ...good, domains: [domain ?? null, { ...domain, endpoints: [2] }] },
      { ...good, domains: [{ ...domain, mappings: twice.slice(1) }] },
      { ...good, domains: [{ ...domain, mappings: new Uint8Array([...twice, ...twice]) }] },
      { ...good, pageSizeMask: 1n },
      { ...good, faults: 1 },
      { ...good, counters: {} },
      { ...good, pins: [{ endpoint: 77 }] },
      { ...good, pins: [{ endpoint: 1 }] },
      { ...good, parked: 3 },
    ];
    for (const state of bad) {
      expect(() => rig.device.restore(state)).toThrow(FormatError);
      expect(now()).toEqual(good);
    }
    rig.device.restore(good);
    expect(now()).toEqual(good);
  });
});
