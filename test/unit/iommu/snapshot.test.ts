import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/bytes/index.ts';
import type { PlainState } from '../../../src/virtio/index.ts';
import { OK, Rig, unmapBytes } from '../../support/iommu-rig.ts';

const attached = (options: ConstructorParameters<typeof Rig>[0] = {}): Rig => {
  const rig = new Rig({ bootBypass: false, ...options });
  rig.attach(1, 1);
  rig.map(1, 0x1000n, 0x1fffn, 0x2000n);
  return rig;
};

describe('snapshots', () => {
  test('of a device with mappings, faults and pins are the same after a restore', () => {
    const endpoints = [{ id: 1 }, { id: 2 }, { id: 3 }];
    const rig = attached({ eventBuffers: [], endpoints });
    for (const endpoint of [3, 2]) rig.attach(4, endpoint, { flags: 1 });
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
    const aPin = {
      id: 1,
      endpoint: 1,
      domain: 1,
      current: true,
      range: [0, 0x1000, 0, 0x1000],
      waitedFor: false,
    };
    good['nextPin'] = 2;
    rig.device.restore(good);
    const bytes = new Uint8Array(4);
    const someParked = { used: 4, readable: 20, request: bytes, reply: bytes, status: 0 };
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
      { ...good, requestSeen: 1 },
      { ...good, domains: [{ ...domain, mappings: 'none' }] },
      { ...good, domains: [{ ...domain, endpoints: ['1'] }] },
      { ...good, nextPin: 1, pins: [aPin] },
      { ...good, pins: [aPin, aPin] },
      { ...good, pins: [{ ...aPin, domain: 99 }] },
      { ...good, pins: [{ ...aPin, range: [0, 1, 2] }] },
      { ...good, pins: [{ ...aPin, range: [0, 1, 2, -1] }] },
      { ...good, pins: [{ ...aPin, waitedFor: true }] },
      { ...good, pins: [aPin], parked: someParked },
      // No request is out that could wait.
      { ...good, pins: [{ ...aPin, waitedFor: true }], parked: someParked },
    ];
    for (const state of bad) {
      expect(() => rig.device.restore(state)).toThrow(FormatError);
      expect(now()).toEqual(good);
    }
    rig.device.restore(good);
    expect(now()).toEqual(good);
  });

  test('whose answer is longer than the buffer that waits for it are damaged', () => {
    const rig = attached();
    rig.device.endpoints.pin(1, 0x1000n, 1n);
    rig.submit(unmapBytes(1, 0x1000n, 0x1fffn));
    const good = rig.device.snapshot() as Record<string, PlainState>;
    for (const used of [5, 2 ** 40]) {
      const parked = { ...(good['parked'] as Record<string, PlainState>), used };
      expect(() => rig.device.restore({ ...good, parked })).toThrow(FormatError);
    }
    expect(rig.device.snapshot()).toEqual(good);
  });

  test('at every point of a stream of requests: the rest goes as if nothing had happened', () => {
    for (let at = 0; at < 9; at++) {
      const [plain, moved] = [attached(), attached()] as const;
      const seen = [plain, moved].map((rig) => {
        const answers: unknown[] = [];
        const steps: (() => unknown)[] = [
          () => rig.read(1, 0x9000n),
          () => rig.map(1, 0x2000n, 0x4fffn, 0x5000n),
          () => rig.device.endpoints.pin(1, 0x2000n, 1n)?.id,
          () => rig.submit(unmapBytes(1, 0x0n, 0xffffn)),
          () => rig.read(1, 0x2000n),
          () => rig.answer(),
          () => {
            const pin = rig.device.endpoints.pinById(1);
            if (pin) rig.device.endpoints.release(pin);
            rig.core.runPending();
            return rig.answer();
          },
          () => rig.attach(3, 2, { flags: 1 }),
          () => rig.faults(),
        ];
        for (const [i, step] of steps.entries()) {
          if (rig === moved && i === at) {
            const saved = rig.core.snapshot();
            rig.migrate();
            expect(rig.core.snapshot()).toEqual(saved);
          }
          answers.push(step());
        }
        return answers;
      });
      expect(seen[1]).toEqual(seen[0]);
      expect(moved.core.snapshot()).toEqual(plain.core.snapshot());
      expect(Buffer.compare(moved.ram, plain.ram)).toBe(0);
    }
  });
});
