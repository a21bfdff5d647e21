import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  parseTopology,
  STARTER_DEVICES_MAX,
  STARTER_MACHINES,
  starterTopology,
  type StarterWishes,
} from '../../../src/topology/index.ts';

const count = fc.integer({ min: 0, max: STARTER_DEVICES_MAX });
const wishes: fc.Arbitrary<StarterWishes> = fc
  .record({
    machine: fc.constantFrom(...STARTER_MACHINES.map(({ id }) => id)),
    disks: count,
    nics: count,
    bypassing: count,
    ports: count,
    bootBypass: fc.boolean(),
  })
  .filter(({ disks, nics }) => disks + nics > 0)
  .filter(({ bypassing, bootBypass }) => bypassing === 0 || bootBypass);

describe('a first topology', () => {
  test('passes check without a word, whatever was asked for, and holds it', () => {
    fc.assert(
      fc.property(wishes, (asked) => {
        const text = starterTopology(asked);
        const { model, diagnostics } = parseTopology(text, 'first.yaml');
        expect(diagnostics.map(({ rule, message }) => `${rule}: ${message}`)).toEqual([]);
        const devices = model?.endpoints.filter(({ device }) => device !== undefined) ?? [];
        const behind = devices.filter(({ viommu }) => viommu === 'viommu0');
        expect(behind.length).toBe(asked.disks + asked.nics);
        expect(devices.length - behind.length).toBe(asked.bypassing);
        expect(model?.viommus[0]?.bootBypass).toBe(asked.bootBypass);
        expect(model?.hosts[0]?.bridges.length).toBe(asked.ports);
      }),
      { numRuns: 60 },
    );
  });

  test('says why each line is there', () => {
    const asked = { machine: 'virt', disks: 1, nics: 1, bypassing: 1, ports: 1, bootBypass: true };
    expect(starterTopology(asked as StarterWishes)).toMatchSnapshot();
  });

  test('the example at its end works when it is uncommented', () => {
    const asked = { machine: 'q35', disks: 1, nics: 0, bypassing: 0, ports: 0, bootBypass: true };
    const text = starterTopology(asked as StarterWishes).replaceAll(/^# (reserved|  - )/gmu, '$1');
    const { model, diagnostics } = parseTopology(text, 'first.yaml');
    expect(diagnostics).toEqual([]);
    expect(model?.reserved.length).toBe(1);
  });

  test('refuses numbers out of range, and a vIOMMU with nothing behind it', () => {
    const none = { machine: 'q35', disks: 0, nics: 0, bypassing: 0, ports: 0, bootBypass: true };
    expect(() => starterTopology(none as StarterWishes)).toThrow(/nothing is behind/);
    expect(() => starterTopology({ ...none, disks: 7 } as StarterWishes)).toThrow(/0 to 6, not 7/);
    expect(() => starterTopology({ ...none, disks: 1.5 } as StarterWishes)).toThrow(RangeError);
    const blocked = { ...none, disks: 1, bypassing: 1, bootBypass: false };
    expect(() => starterTopology(blocked as StarterWishes)).toThrow(/need boot-bypass/);
  });
});
