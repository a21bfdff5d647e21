import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

import {
  preflight,
  PREFLIGHT_RULES,
  TREE_BYTES_MAX,
  type PreflightOptions,
} from '../../../src/qemu/index.ts';
import { parseTopology, type Model } from '../../../src/topology/index.ts';

function load(text: string): Model {
  const { model, diagnostics } = parseTopology(text, 'test.yaml');
  if (model === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
  return model;
}

/** Rules that object to a topology; other findings in the same file are part of the expectation. */
function objections(text: string, options: PreflightOptions = {}): string[] {
  return [...new Set(preflight(load(text), options).map((d) => d.rule))].toSorted();
}

const VIRT = 'extends: virt-arm64\n';
const Q35 = 'extends: q35\n';
const V = 'viommus: [{ id: viommu0, at: 00:01.0 }]\n';
const viommu = (more: string): string => `viommus: [{ id: viommu0, at: 00:01.0, ${more} }]\n`;
const ends = (...list: string[]): string =>
  `endpoints:\n${list.map((e) => `  - { ${e} }\n`).join('')}`;
const DISK = 'id: disk0, at: 00:02.0, device: virtio-blk';
const bridges = (...list: string[]): string =>
  `pci: { hosts: [{ id: pcie0, bridges: [${list.map((b) => `{ ${b} }`).join(', ')}] }] }\n`;

interface Case {
  readonly what: string;
  readonly text: string;
  readonly rules: readonly string[];
  readonly options?: PreflightOptions;
}

const CASES: readonly Case[] = [
  { what: 'a plain topology', text: VIRT + V + ends(DISK), rules: [] },
  { what: 'a plain q35', text: Q35 + V + ends(DISK), rules: [] },
  {
    what: 'the emulator board',
    text: `extends: emulator\n${V}${ends(DISK)}`,
    rules: ['qemu-board'],
  },
  {
    what: 'memory elsewhere',
    text: `${VIRT}machine: { memory: [0x80000000-0x8fffffff] }\n${V}`,
    rules: ['qemu-memory'],
  },
  {
    what: 'memory in two pieces',
    text: `${VIRT}machine: { memory: [0x40000000-0x4fffffff, 0x60000000-0x6fffffff] }\n${V}`,
    rules: ['qemu-memory'],
  },
  {
    what: 'too little memory for tables',
    text: `${Q35}machine: { memory: 128M }\n${V}`,
    rules: ['qemu-memory'],
  },
  {
    what: 'nine CPUs on a GICv2',
    text: `extends: virt-arm64-gicv2\nmachine: { cpus: 9 }\n${V}`,
    rules: ['qemu-gic'],
  },
  {
    what: 'a large tree',
    text: VIRT + V,
    rules: ['qemu-tree-size'],
    options: { treeBytes: TREE_BYTES_MAX + 1 },
  },
  {
    what: 'a tree that just fits',
    text: VIRT + V,
    rules: [],
    options: { treeBytes: TREE_BYTES_MAX },
  },
  {
    what: 'two vIOMMUs over PCI',
    text: `${VIRT}viommus: [{ id: a, at: 00:01.0 }, { id: b, at: 00:03.0 }]\npci: { hosts: [{ id: pcie0, viommu: a }] }\n`,
    rules: ['qemu-viommu-count'],
  },
  {
    what: 'a vIOMMU behind a root port',
    text: `${VIRT}${bridges('id: rp1, at: 00:04.0, buses: 0x01-0x01')}viommus: [{ id: viommu0, at: 01:00.0 }]\n`,
    rules: ['qemu-viommu-place'],
  },
  {
    what: 'a vIOMMU where virt has no slot',
    text: `${VIRT}doorbells: [{ id: its0, delivery: mapped }]\nviommus: [{ id: viommu0, mmio: 0xa100000, interrupt: 16 }]\n`,
    rules: ['qemu-viommu-mmio'],
  },
  {
    what: 'a vIOMMU with the interrupt of another slot',
    text: `${VIRT}doorbells: [{ id: its0, delivery: mapped }]\nviommus: [{ id: viommu0, mmio: 0xa000200, interrupt: 16 }]\n`,
    rules: ['qemu-viommu-mmio'],
  },
  {
    what: 'two vIOMMUs on one host',
    text: `${VIRT}doorbells: [{ id: its0, delivery: mapped }]\npci: { hosts: [{ id: pcie0, viommu: a }] }\nviommus: [{ id: a, mmio: 0xa000000 }, { id: b, mmio: 0xa000200 }]\n${ends(`${DISK}, viommu: b`)}`,
    rules: ['qemu-viommu-reach'],
  },
  {
    what: 'a bypassing device while bypass is off',
    text:
      VIRT +
      viommu('boot-bypass: false') +
      ends(`id: nic0, at: 00:02.0, device: e1000e, viommu: none`),
    rules: ['qemu-bypass-blocked'],
  },
  {
    what: 'a disk that SeaBIOS would use while bypass is off',
    text:
      Q35 +
      viommu('boot-bypass: false') +
      ends('id: disk0, at: 00:02.0, device: { kind: virtio-blk, bootable: true }'),
    rules: ['qemu-bypass-blocked'],
  },
  { what: 'a granule of 64K', text: VIRT + viommu('granule: 64K'), rules: ['qemu-page-sizes'] },
  {
    what: 'a granule of 64K on QEMU 10',
    text: VIRT + viommu('granule: 64K'),
    rules: [],
    options: { version: { major: 10, minor: 0, micro: 0 } },
  },
  {
    what: 'page sizes of its own',
    text: VIRT + viommu('page-sizes: [4K, 2M]'),
    rules: ['qemu-page-sizes'],
  },
  {
    what: 'an input range of 48 bits',
    text: VIRT + viommu('input-range: 0x0-0xffff_ffff_ffff'),
    rules: ['qemu-ranges'],
  },
  {
    what: 'an input range of 48 bits on QEMU 10',
    text: VIRT + viommu('input-range: 0x0-0xffff_ffff_ffff'),
    rules: [],
    options: { version: { major: 10, minor: 0, micro: 0 } },
  },
  {
    what: 'a domain range',
    text: VIRT + viommu('domain-range: 0x0-0xffff'),
    rules: ['qemu-ranges'],
  },
  { what: 'a probe size', text: VIRT + viommu('probe-size: 1024'), rules: ['qemu-ranges'] },
  {
    what: 'fewer features',
    text: VIRT + viommu('features: [INPUT_RANGE, MAP_UNMAP, PROBE, BYPASS_CONFIG]'),
    rules: ['qemu-features'],
  },
  {
    what: 'a small queue',
    text: VIRT + viommu('queues: { request: { size: 64 } }'),
    rules: ['qemu-queues'],
  },
  {
    what: 'one packed ring',
    text: VIRT + viommu('queues: { request: { ring: packed } }'),
    rules: ['qemu-queues'],
  },
  {
    what: 'two packed rings',
    text: VIRT + viommu('queues: { request: { ring: packed }, event: { ring: packed } }'),
    rules: [],
  },
  {
    what: 'an endpoint ID that is no requester ID',
    text: VIRT + V + ends(`${DISK}, endpoint-id: 0x99`),
    rules: ['qemu-endpoint-id'],
  },
  {
    what: 'endpoint IDs above 16 bits',
    text: `${VIRT}pci: { hosts: [{ id: pcie0, endpoint-id-base: 0x10000 }] }\n${V}`,
    rules: ['qemu-endpoint-id'],
  },
  {
    what: 'a platform device behind the vIOMMU',
    text:
      VIRT +
      V +
      ends('id: dma0, mmio: 0xa003c00, interrupt: 46, device: virtio-blk, viommu: viommu0'),
    rules: ['qemu-endpoint-id', 'qemu-platform-device'].slice(1),
  },
  {
    what: 'a DMA engine',
    text: VIRT + V + ends('id: dma0, at: 00:02.0, device: dma-engine'),
    rules: ['qemu-device-kind'],
  },
  {
    what: 'a passed-through disk',
    text: VIRT + V + ends('id: disk0, at: 00:02.0, device: virtio-blk, passthrough: true'),
    rules: ['qemu-passthrough'],
  },
  {
    what: 'a device behind a PCIe-to-PCI bridge',
    text: `${VIRT}${bridges('id: br, kind: pcie-pci-bridge, at: 00:04.0, buses: 0x01-0x01')}${V}${ends('id: disk0, at: 01:02.0, device: virtio-blk')}`,
    rules: ['qemu-conventional-bridge'],
  },
  {
    what: 'a slot of the board',
    text: Q35 + V + ends('id: disk0, at: 00:1f.3, device: virtio-blk'),
    rules: ['qemu-slot'],
  },
  {
    what: 'a free function of a slot of the board',
    text: Q35 + V + ends('id: disk0, at: 00:1f.7, device: virtio-blk'),
    rules: [],
  },
  {
    what: 'a slot without function 0',
    text: VIRT + V + ends('id: disk0, at: 00:02.1, device: virtio-blk'),
    rules: ['qemu-slot'],
  },
  {
    what: 'device 1 behind a root port',
    text: `${VIRT}${bridges('id: rp1, at: 00:04.0, buses: 0x01-0x01')}${V}${ends('id: disk0, at: 01:01.0, device: virtio-blk')}`,
    rules: ['qemu-slot'],
  },
  {
    what: 'a bus number that nobody will assign',
    text: `${VIRT}${bridges('id: rp1, at: 00:04.0, buses: 0x05-0x05')}${V}`,
    rules: ['qemu-bus-number'],
  },
  {
    what: 'bus numbers depth first',
    text: `${VIRT}${bridges('id: rp2, at: 00:06.0, buses: 0x02-0x03', 'id: rp1, at: 00:04.0, buses: 0x01-0x01', 'id: br, kind: pcie-pci-bridge, at: 02:00.0, buses: 0x03-0x03')}${V}`,
    rules: [],
  },
  {
    what: 'configuration space elsewhere',
    text: `${VIRT}pci: { hosts: [{ id: pcie0, ecam: 0x5000000000 }] }\n${V}`,
    rules: ['qemu-host-window'],
  },
  {
    what: 'a mapped doorbell with a vIOMMU over PCI',
    text: `${VIRT}doorbells: [{ id: its0, delivery: mapped }]\n${V}`,
    rules: ['qemu-doorbell'],
  },
  {
    what: 'a reserved doorbell with a vIOMMU over mmio',
    text: `${VIRT}viommus: [{ id: viommu0, mmio: 0xa000000 }]\n`,
    rules: ['qemu-doorbell'],
  },
  {
    what: 'an ITS elsewhere',
    text: `${VIRT}doorbells: [{ id: its0, base: 0x9100000 }]\n${V}`,
    rules: ['qemu-doorbell'],
  },
  {
    what: 'a q35 without a doorbell',
    text: `${Q35}pci: { hosts: [{ id: pcie0, doorbell: none }] }\n${V}`,
    rules: ['qemu-host-doorbell'],
  },
  {
    what: "a user's region beside the machine's",
    text: `${VIRT}${V}reserved-regions: [{ id: r0, range: 0xe0000000-0xefffffff, type: reserved, viommu: viommu0, via: [probe] }]\n`,
    rules: ['qemu-reserved-regions'],
  },
];

describe('preflight', () => {
  test.each(CASES)('$what: $rules', ({ text, rules, options }) => {
    expect(objections(text, options)).toEqual(rules);
  });

  test('every rule has a case that it, and it alone, objects to', () => {
    const alone = CASES.filter(({ rules }) => rules.length === 1).flatMap(({ rules }) => rules);
    expect(PREFLIGHT_RULES.map(({ id }) => id).filter((id) => !alone.includes(id))).toEqual([]);
  });

  test('every finding has a place, an effect and a cure', () => {
    for (const { text, options } of CASES) {
      for (const found of preflight(load(text), options)) {
        expect(found.place).toBeDefined();
        expect(found.effect).not.toBe('');
        expect(found.cure).not.toBe('');
      }
    }
  });

  test('every rule is in the reference, and no other', () => {
    const page = readFileSync('docs/reference/qemu.md', 'utf8');
    const documented = [...page.matchAll(/^### `(qemu-[a-z-]+)`$/gm)].map(([, id]) => id);
    expect(documented).toEqual(PREFLIGHT_RULES.map(({ id }) => id));
  });

  test('the reference has each rule in its own words', () => {
    const page = readFileSync('docs/reference/qemu.md', 'utf8');
    for (const { id, summary, effect, cure } of PREFLIGHT_RULES) {
      const section = page.split(`### \`${id}\`\n`)[1]?.split('\n### ')[0] ?? '';
      for (const text of [summary, effect, cure]) expect(section).toContain(text);
    }
  });

  test('no cure sends anyone to a backend that does not exist', () => {
    const backends = new Set(
      readdirSync('src/backends').flatMap((file) => {
        const source = readFileSync(`src/backends/${file}`, 'utf8');
        return [...source.matchAll(/^\s+name: '([a-z-]+)',$/gm)].map(([, name]) => name);
      }),
    );
    expect([...backends]).toContain('qemu');
    const found = CASES.flatMap(({ text, options }) => preflight(load(text), options));
    const cures = [...PREFLIGHT_RULES, ...found].map(({ cure }) => cure ?? '');
    const named = cures.flatMap((cure) => [...cure.matchAll(/--backend ([a-z-]+)/g)]);
    expect(named.length).toBeGreaterThan(5);
    expect(named.map(([, name]) => name).filter((name) => !backends.has(name))).toEqual([]);
    expect(cures.filter((cure) => /(on|or) the emulator/.test(cure))).toEqual([]);
  });
});
