import { describe, expect, test } from 'vitest';
import { INVAL, NOENT, NOMEM, OK, RANGE, Rig, UNSUPP } from '../support/iommu-rig.ts';

const domainOf = (rig: Rig, endpoint: number): number | undefined =>
  rig.device.state.endpoints.get(endpoint)?.domain?.id;

/** VIRTIO 1.3, IOMMU Device / ATTACH request. */
describe('ATTACH', () => {
  test.each([0, 1, 2, 3])(
    'D17: reserved byte %i set: INVAL, the endpoint stays where it was',
    (i) => {
      const rig = new Rig();
      rig.attach(1, 1);
      const reserved = new Uint8Array(4);
      reserved[i] = 1;
      expect(rig.attach(2, 1, { reserved })).toBe(INVAL);
      expect(domainOf(rig, 1)).toBe(1);
      expect(rig.device.state.domains.has(2)).toBe(false);
    },
  );

  test('D18: an unknown flag: INVAL; F_BYPASS is one when not negotiated', () => {
    const rig = new Rig();
    for (const flags of [2, 4, 0x8000_0000, 3]) expect(rig.attach(1, 1, { flags })).toBe(INVAL);
    expect(rig.attach(1, 1, { flags: 1 })).toBe(OK);
    const without = new Rig({ negotiate: 0b110111n });
    expect(without.attach(1, 1, { flags: 1 })).toBe(INVAL);
    expect(domainOf(without, 1)).toBe(undefined);
  });

  test('D19: no such endpoint: NOENT, for IDs of more than 16 bits too', () => {
    const rig = new Rig({ endpoints: [{ id: 8 }, { id: 0xffff_ffff }] });
    for (const id of [0, 9, 0x1_0008, 0x8000_0008]) expect(rig.attach(1, id)).toBe(NOENT);
    expect(rig.attach(1, 0xffff_ffff)).toBe(OK);
    expect(rig.device.removeEndpoint(8)).toBe(true);
    expect(rig.attach(1, 8)).toBe(NOENT);
    rig.device.addEndpoint({ id: 8 });
    expect(rig.attach(1, 8)).toBe(OK);
  });

  test('D20: a domain takes several endpoints, or says UNSUPP if made so', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    expect(rig.attach(1, 2)).toBe(OK);
    rig.ram[0x3007] = 5;
    expect([rig.read(1, 7n), rig.read(2, 7n)]).toEqual([5, 5]);
    const alone = new Rig({ choices: { sharedDomains: false } });
    alone.attach(1, 1);
    expect(alone.attach(1, 2)).toBe(UNSUPP);
    expect(alone.attach(2, 2)).toBe(OK);
  });

  test('D21: F_BYPASS that does not fit the domain: INVAL, nothing changes', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.attach(2, 2, { flags: 1 });
    expect(rig.attach(1, 2, { flags: 1 })).toBe(INVAL);
    expect(rig.attach(2, 1)).toBe(INVAL);
    // To its own domain with another flag: as wrong.
    expect(rig.attach(1, 1, { flags: 1 })).toBe(INVAL);
    expect([domainOf(rig, 1), domainOf(rig, 2)]).toEqual([1, 2]);
  });

  test('D22: attached elsewhere: as DETACH, then ATTACH', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    expect(rig.attach(2, 1)).toBe(OK);
    expect(rig.device.state.domains.has(1)).toBe(false);
    expect(rig.read(1, 0n)).toBe(undefined);
    // What stays behind keeps its mappings.
    rig.attach(2, 2);
    rig.map(2, 0n, 0xfffn, 0x4000n);
    expect(rig.attach(3, 1)).toBe(OK);
    expect(rig.read(2, 0n)).toBe(0);
  });

  test('D23: reserved regions that the domain has mapped already: UNSUPP', () => {
    const region = { range: { start: 0x8000n, end: 0x8fffn }, type: 'reserved' } as const;
    const rig = new Rig({ endpoints: [{ id: 1 }, { id: 2, reserved: [region] }] });
    rig.attach(1, 1);
    rig.map(1, 0x7000n, 0x9fffn, 0n);
    expect(rig.attach(1, 2)).toBe(UNSUPP);
    expect(domainOf(rig, 2)).toBe(undefined);
    rig.unmap(1, 0x7000n, 0x9fffn);
    expect(rig.attach(1, 2)).toBe(OK);
  });

  test('D24: what is not rejected is attached', () => {
    const rig = new Rig({ endpoints: Array.from({ length: 20 }, (_, id) => ({ id })) });
    for (let id = 0; id < 20; id++) {
      expect(rig.attach(id % 7, id)).toBe(OK);
      expect(domainOf(rig, id)).toBe(id % 7);
    }
    expect(rig.device.state.domains.size).toBe(7);
  });

  test('D25: the first ATTACH makes a domain, the last DETACH ends it, the ID is free again', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.attach(1, 2);
    rig.map(1, 0n, 0xfffn, 0n);
    rig.detach(1, 1);
    expect(rig.read(2, 0n)).toBe(0);
    rig.detach(1, 2);
    expect(rig.map(1, 0n, 0xfffn, 0n)).toBe(NOENT);
    expect(rig.device.state.mappings).toBe(0);
    expect(rig.attach(1, 2, { flags: 1 })).toBe(OK);
  });

  test('an ATTACH to the same domain keeps its mappings, or is INVAL if made so', () => {
    const rig = new Rig();
    rig.attach(1, 1);
    rig.map(1, 0n, 0xfffn, 0x3000n);
    expect(rig.attach(1, 1)).toBe(OK);
    expect(rig.read(1, 0n)).toBe(0);
    const strict = new Rig({ choices: { reattach: 'inval' } });
    strict.attach(1, 1);
    expect(strict.attach(1, 1)).toBe(INVAL);
  });

  test('which status comes first', () => {
    const rig = new Rig({ domainRange: { start: 0, end: 5 } });
    const reserved = Uint8Array.of(1, 0, 0, 0);
    expect(rig.attach(9, 77, { reserved })).toBe(INVAL);
    expect(rig.attach(9, 77)).toBe(NOENT);
    expect(rig.attach(9, 1)).toBe(RANGE);
  });

  test('domains are bounded: NOMEM, and room again when one ends', () => {
    const rig = new Rig({ limits: { domains: 2 }, endpoints: [{ id: 1 }, { id: 2 }, { id: 3 }] });
    expect([rig.attach(1, 1), rig.attach(2, 2), rig.attach(3, 3)]).toEqual([OK, OK, NOMEM]);
    // Moving on ends the old domain, so there is room for the new one.
    expect(rig.attach(7, 2)).toBe(OK);
    expect(rig.attach(7, 3)).toBe(OK);
    expect(rig.attach(8, 3)).toBe(NOMEM);
    expect(domainOf(rig, 3)).toBe(7);
  });
});
