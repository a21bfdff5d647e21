import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  bootAndJudge,
  builtImages,
  modelBackend,
  type ModelBackendOptions,
} from '../../../src/backends/index.ts';
import { buildFirmware } from '../../../src/firmware/index.ts';
import { renderVerdict } from '../../../src/report/index.ts';
import {
  BootAborted,
  type BootInput,
  type FirmwareImages,
  type Verdict,
} from '../../../src/scenario/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { modelFrom, shippedModel } from '../../support/model-guest.ts';
import { WRONG_TREES, WRONG_VIOTS, type WrongFirmware } from '../../support/wrong-firmware.ts';

const SHIPPED = readdirSync(join(import.meta.dirname, '../../../topologies'))
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length));

/** Regions that only a device tree tells of: with ACPI no guest can know them. */
const TREE_ONLY = new Set(['device-tree-regions', 'direct-region']);

function inputOf(model: Model, firmware?: FirmwareImages): BootInput {
  const images = firmware ?? builtImages(buildFirmware(model), model.file);
  return { model, firmware: images, timeLimit: 60, seed: 'unit' };
}

function boot(model: Model, options: ModelBackendOptions = {}): Promise<Verdict> {
  return bootAndJudge(modelBackend(options), inputOf(model));
}

const shown = (verdict: Verdict): string => renderVerdict(verdict, { color: false });

describe('shipped topologies', () => {
  test('are all here', () => {
    expect(SHIPPED.length).toBeGreaterThanOrEqual(25);
  });

  test.each(SHIPPED)('%s keeps its promises', async (name) => {
    const model = shippedModel(name);
    const kinds = model.firmware.deviceTree
      ? (['device-tree', 'acpi'] as const)
      : (['acpi'] as const);
    for (const firmware of kinds) {
      const backend = modelBackend({ firmware });
      const obstacles = await backend.preflight(inputOf(model));
      if (firmware === 'acpi' && TREE_ONLY.has(name)) {
        expect(obstacles.map(({ rule }) => rule)).toEqual(['model-region']);
        continue;
      }
      if (model.guest.defaultDomain === 'lazy') {
        expect(obstacles.map(({ rule }) => rule)).toEqual(['model-lazy']);
        continue;
      }
      expect(obstacles).toEqual([]);
      const verdict = await boot(model, { firmware });
      expect(verdict.outcome, shown(verdict)).toBe('pass');
    }
  });

  test('nothing that this backend could see is left unseen', async () => {
    const verdict = await boot(shippedModel('its'));
    const blind = verdict.promises.flatMap(({ id, items }) =>
      items
        .filter(({ outcome }) => outcome === 'not-observable')
        .map(({ seen }) => `${id}: ${seen}`),
    );
    expect(blind).toEqual([]);
  });
});

/** What no shipped topology has, and what each must pass with both kinds of firmware. */
const MORE: Readonly<Record<string, string>> = {
  'packed rings, small queues': `
extends: emulator
viommus:
  - id: viommu0
    at: 00:01.0
    queues: { request: { size: 64, ring: packed }, event: { size: 16, ring: packed } }
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M, packed: true } }
`,
  'platform devices, pages of 16 KiB, a DMA engine': `
extends: emulator
guest: { page-size: 16K }
viommus: [{ id: viommu0, mmio: 0xa000000, granule: 16K }]
doorbells: [{ id: v2m0, delivery: reserved }]
endpoints:
  - { id: disk0, mmio: 0xa000200, device: { kind: virtio-blk, size: 4M }, viommu: viommu0 }
  - { id: net0, mmio: 0xa000400, device: virtio-net, viommu: viommu0 }
  - { id: rng0, mmio: 0xa000600, device: virtio-rng, viommu: viommu0 }
  - { id: net1, at: 00:02.0, device: virtio-net }
  - { id: rng1, at: 00:03.0, device: virtio-rng }
  - { id: dma0, at: 00:04.0, device: dma-engine }
`,
  'a bridge to conventional PCI': `
extends: emulator
pci:
  hosts:
    - id: pcie0
      bridges: [{ id: br1, at: 00:02.0, kind: pcie-pci-bridge, buses: 0x01-0x01 }]
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 01:01.0, device: { kind: virtio-blk, size: 4M } }
  - { id: disk1, at: 01:02.0, device: { kind: virtio-blk, size: 4M } }
`,
  'a disk without ACCESS_PLATFORM': `
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M, access-platform: false } }
`,
  'narrow ranges, nothing bypasses, a small disk': `
extends: q35
viommus:
  - id: viommu0
    at: 00:01.0
    input-range: 0x0-0xffffffff
    domain-range: 3-9
    boot-bypass: false
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 512K } }
  - { id: edu0, at: 00:03.0, device: edu }
`,
  'a disk without MSI-X': `
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M, vectors: 0 } }
`,
};

test.each(Object.entries(MORE))('%s', async (_, text) => {
  const model = modelFrom(text);
  for (const firmware of ['device-tree', 'acpi'] as const) {
    if (firmware === 'device-tree' && !model.firmware.deviceTree) continue;
    const verdict = await boot(model, { firmware });
    expect(verdict.outcome, shown(verdict)).toBe('pass');
  }
});

/**
 * Where our device differs from QEMU's, and the broken promise with it: QEMU translates a whole bus or
 * nothing of it, so there a bypassing endpoint is known to the vIOMMU all the same and gets a group.
 */
const OTHER_BREAKS: Readonly<Record<string, string>> = {
  'a bypassing endpoint inside a row': 'no-failed-request',
};

async function checkWrong({ what, text, cause, says, breaks }: WrongFirmware): Promise<void> {
  const verdict = await boot(modelFrom(text));
  const [first] = verdict.causes;
  expect(first?.id, shown(verdict)).toBe(cause);
  for (const words of says) expect(first?.message).toContain(words);
  const broken = verdict.promises.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id);
  expect(broken).toContain(OTHER_BREAKS[what] ?? breaks);
  expect(verdict.outcome).toBe('fail');
}

describe('wrong firmware fails for the cause that a real guest shows', () => {
  test.each(WRONG_TREES)('a device tree: $what', checkWrong);
  test.each(WRONG_VIOTS)('a VIOT: $what', checkWrong);
});

const TWO_DISKS = `
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }
`;

describe('guests that cannot go on', () => {
  test('a tree that is none is silence', async () => {
    const images = { tree: new Uint8Array(64), tables: new Map(), origin: 'zeros' };
    const verdict = await bootAndJudge(modelBackend(), inputOf(modelFrom(TWO_DISKS), images));
    expect(verdict.outcome).toBe('fail');
    expect(verdict.ending.kind).toBe('silent');
  });

  test('a granule above the page leaves endpoints untranslated', async () => {
    const model = modelFrom(TWO_DISKS.replace('at: 00:01.0 }', 'at: 00:01.0, granule: 64K }'));
    const verdict = await boot(model);
    expect(verdict.causes.map(({ id }) => id)).toContain('viommu-granule');
  });

  test('6.12 crashes on a direct region, 7.3 maps it', async () => {
    const model = shippedModel('direct-region');
    const old: Model = { ...model, guest: { ...model.guest, kernel: { major: 6, minor: 12 } } };
    const verdict = await boot(old);
    expect(verdict.outcome).toBe('fail');
    const trouble = verdict.promises.find(({ id }) => id === 'no-kernel-trouble');
    expect(trouble?.items.map(({ seen }) => seen)).toContain('an oops');
  });

  test('what the machine does not have is said before anything starts', async () => {
    const model = modelFrom(TWO_DISKS.replace('kind: virtio-blk, size: 4M', 'kind: nvme'));
    const obstacles = await modelBackend().preflight(inputOf(model));
    expect(obstacles.map(({ rule, cure }) => [rule, cure])).toEqual([
      ['model-device', 'use virtio-blk'],
    ]);
  });

  test('more RAM than a process should ask for is refused', async () => {
    const model = modelFrom(`${TWO_DISKS}machine: { memory: 64G }\n`);
    const obstacles = await modelBackend().preflight(inputOf(model));
    expect(obstacles.map(({ rule }) => rule)).toEqual(['model-memory']);
  });

  test('an aborted boot is no verdict', async () => {
    const controller = new AbortController();
    controller.abort();
    const input = { ...inputOf(modelFrom(TWO_DISKS)), signal: controller.signal };
    await expect(modelBackend().run(input, {})).rejects.toThrow(BootAborted);
  });
});

test('the same seed gives the same run', async () => {
  const tell = async (): Promise<string[]> => {
    const events: string[] = [];
    const input = inputOf(shippedModel('several-endpoints'));
    await modelBackend().run(input, {
      event: (event) => {
        events.push(
          JSON.stringify(event, (_, value: unknown) =>
            typeof value === 'bigint' ? `${value}` : value,
          ),
        );
      },
    });
    return events;
  };
  const first = await tell();
  expect(first.length).toBeGreaterThan(1000);
  expect(await tell()).toEqual(first);
});
