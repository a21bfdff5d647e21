import { describe, expect, test } from 'vitest';

import {
  aimsOf,
  bootPlan,
  kernelParameters,
  moduleParameters,
  modulesFor,
} from '../../../src/backends/plan.ts';
import { formatPlan } from '../../../src/guest/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { modelFrom, shippedModel } from '../../support/model-guest.ts';

function lines(model: Model, options: Parameters<typeof bootPlan>[2] = {}): string[] {
  return formatPlan(bootPlan(model, () => 1n << 20n, options))
    .trim()
    .split('\n');
}

const verbs = (all: readonly string[]): string[] => all.map((line) => line.split(' ')[0] ?? '');

describe('what a guest is made to do', () => {
  test('of checks: plugged in first, unbound all before the first comes back, rebooted last', () => {
    const model = shippedModel('checks');
    const all = lines(model, { reboot: true });
    expect(all.filter((line) => line.startsWith('plug'))).toEqual([
      'plug at=0000:02:00.0 timeout=15',
    ]);
    expect(verbs(all).indexOf('plug')).toBeLessThan(verbs(all).indexOf('disk'));
    expect(verbs(all).lastIndexOf('unbind')).toBeLessThan(verbs(all).indexOf('bind'));
    expect(all.filter((line) => line.startsWith('unbind'))).toHaveLength(4);
    // Every disk and NIC is tried again after that.
    const after = verbs(all.slice(verbs(all).lastIndexOf('bind')));
    expect(after.filter((verb) => verb === 'disk')).toHaveLength(3);
    expect(after.at(-1)).toBe('reboot');
  });

  test('a backend leaves out what it cannot', () => {
    const all = verbs(lines(shippedModel('checks'), { skipped: ['rebind', 'hotplug'] }));
    for (const verb of ['plug', 'unbind', 'bind', 'reboot']) expect(all).not.toContain(verb);
  });

  test('default domains are kernel parameters', () => {
    expect(kernelParameters(shippedModel('identity'))).toEqual(['iommu.passthrough=1']);
    expect(kernelParameters(shippedModel('lazy'))).toContain('iommu.strict=0');
    expect(kernelParameters(shippedModel('checks'))).toContain('iommu.strict=1');
    expect(kernelParameters(shippedModel('its'))).toEqual([]);
  });
});

describe('DMA that must fault', () => {
  const model = shippedModel('dma-engine');
  const aims = (of: Model, id: string): string[] =>
    of.endpoints
      .filter((endpoint) => endpoint.id === id)
      .flatMap((endpoint) => aimsOf(of, endpoint).map(({ aim, dir }) => `${aim} ${dir}`));

  test('an engine with a domain of its own has no mapping, others have', () => {
    expect(aims(model, 'dma0')).toEqual([
      'unmapped write',
      'unmapped read',
      'reserved write',
      'reserved read',
      'foreign write',
      'foreign read',
    ]);
  });

  test('an engine in the group of a NIC has one that may only be read', () => {
    expect(aims(model, 'dma1')).toEqual(['unmapped write', 'unmapped read', 'read-only write']);
    expect(moduleParameters(model)).toEqual(new Map([['virtio_net', 'napi_tx=0']]));
    expect(modulesFor(model)).toContain('pci_stub');
    expect(moduleParameters(shippedModel('its'))).toEqual(new Map());
  });

  test('nothing faults where everything passes, or nobody translates', () => {
    const text = (guest: string, viommu: string): Model =>
      modelFrom(
        `extends: emulator\n${guest}\nviommus: [{ id: v0, at: 00:01.0 }]\nendpoints:\n` +
          `  - { id: dma0, at: 00:02.0, device: dma-engine, viommu: ${viommu} }\n`,
      );
    expect(aims(text('', 'v0'), 'dma0')).toEqual(['unmapped write', 'unmapped read']);
    expect(aims(text('', 'none'), 'dma0')).toEqual([]);
    expect(aims(text('guest: { default-domain: identity }', 'v0'), 'dma0')).toEqual([]);
  });

  test('the kernel prints ten faults in five seconds: more of them wait', () => {
    const slots = Array.from(
      { length: 6 },
      (_, index) => `  - { id: e${index}, at: 00:0${index + 2}.0, device: dma-engine }\n`,
    );
    const many = modelFrom(
      `extends: emulator\nviommus: [{ id: v0, at: 00:01.0 }]\nendpoints:\n${slots.join('')}`,
    );
    const all = verbs(lines(many));
    expect(all.filter((verb) => verb === 'dma')).toHaveLength(12);
    expect(all.slice(all.indexOf('dma')).indexOf('sleep')).toBe(9);
  });
});
