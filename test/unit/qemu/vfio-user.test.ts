import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  argumentLines,
  boardFunctions,
  buildVfioUserCommand,
  preflight,
  VFIO_USER_RULES,
  vfioUserProperties,
  type VfioUserCommandOptions,
} from '../../../src/qemu/index.ts';
import { loadTopology, parseTopology, type Model } from '../../../src/topology/index.ts';

function shipped(name: string): Model {
  const { model } = loadTopology(`topologies/${name}.yaml`);
  if (model === undefined) throw new Error(`${name} does not load`);
  return model;
}

function parsed(text: string): Model {
  const { model, diagnostics } = parseTopology(text, 'topologies/test.yaml');
  if (model === undefined) throw new Error(diagnostics.map(({ message }) => message).join('\n'));
  return model;
}

function rulesOf(model: Model): string[] {
  const found = preflight(model, { rules: VFIO_USER_RULES });
  for (const { place, effect, cure } of found) {
    expect(place).toBeDefined();
    expect(effect).toBeTruthy();
    expect(cure).toBeTruthy();
  }
  return [...new Set(found.map(({ rule }) => rule))];
}

const VIOMMU = 'viommus: [{ id: viommu0, at: 00:01.0 }]';

describe('what cannot be served', () => {
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['everything on PCI', `extends: virt-arm64\n${VIOMMU}`, []],
    [
      'a vIOMMU over virtio-mmio',
      'extends: virt-arm64\nviommus: [{ id: viommu0, mmio: 0xa000000 }]',
      ['vfio-user-viommu-mmio'],
    ],
    [
      'a platform device',
      `extends: virt-arm64\n${VIOMMU}\nendpoints: [{ id: d, mmio: 0xa003c00, device: virtio-blk }]`,
      ['vfio-user-platform-device'],
    ],
    [
      'a doorbell that is mapped',
      `extends: virt-arm64\n${VIOMMU}\ndoorbells: [{ id: its0, delivery: mapped }]`,
      ['vfio-user-doorbell'],
    ],
    ['two vIOMMUs', readFileSync('topologies/q35-several-viommus.yaml', 'utf8'), []],
    ['another board', 'extends: emulator', ['qemu-board']],
  ];
  test.each(cases)('%s', (_, text, rules) => expect(rulesOf(parsed(text))).toEqual(rules));

  test('each rule of its own is in the reference, in its own words', () => {
    const page = readFileSync('docs/reference/vfio-user.md', 'utf8');
    const own = VFIO_USER_RULES.filter(({ id }) => id.startsWith('vfio-user-'));
    const covered = cases.flatMap(([, , rules]) => rules);
    for (const { id, summary, effect, cure } of own) {
      const section = page.split(`### \`${id}\`\n`)[1]?.split('\n### ')[0] ?? '';
      for (const text of [summary, effect, cure]) expect(section).toContain(text);
      expect(covered).toContain(id);
    }
    for (const { id } of VFIO_USER_RULES) expect(page).toContain(`\`${id}\``);
  });
});

describe('the command line', () => {
  function lines(name: string, more: Partial<VfioUserCommandOptions> = {}): string[] {
    const model = shipped(name);
    const functions = [
      ...model.viommus.map(({ id, transport }) => ({ id, transport })),
      ...model.endpoints.map(({ id, location }) => ({ id, transport: location })),
    ].flatMap(({ id, transport }) => {
      if (transport.kind !== 'pci') return [];
      const { host, segment } = transport;
      const rid = 'rid' in transport ? transport.rid : transport.rids.start;
      return [{ id, host, segment, rid, socket: `/run/a,b/${id}.sock` }];
    });
    const options = { functions, append: 'quiet', viot: true, tree: true, ...more };
    const files = new Map([
      ['kernel', 'k'],
      ['initrd', 'i'],
      ['tree', 't.dtb'],
      ['viot', 'a,b.aml'],
    ] as const);
    const bindings = { files, accel: 'tcg', cpu: 'max' };
    return argumentLines('qemu', buildVfioUserCommand(model, options), bindings);
  }

  test('of a PC: our VIOT, shared memory, a device for each function', () => {
    expect(lines('q35-root-ports')).toMatchSnapshot();
  });

  test('of virt: our tree, and two vIOMMUs', () => {
    expect(lines('several-viommus')).toMatchSnapshot();
  });

  test('without firmware of ours, none is named', () => {
    const all = [
      ...lines('one-endpoint', { tree: false }),
      ...lines('q35-bypass', { viot: false }),
    ];
    expect(all.filter((line) => /^-(?:dtb|acpitable)/u.test(line))).toEqual([]);
  });

  test('a reset ends QEMU, starts again, or stands still with the power-off', () => {
    const of = (reset: 'again' | 'end' | 'pause'): string[] =>
      lines('one-endpoint', { reset }).filter((line) => line.startsWith('-no-'));
    expect(of('end')).toEqual(['-no-user-config', '-no-reboot']);
    expect(of('again')).toEqual(['-no-user-config']);
    expect(of('pause')).toEqual(['-no-user-config', '-no-reboot', '-no-shutdown']);
  });

  test('what device_add takes is what -device takes', () => {
    const model = shipped('root-ports');
    const served = { id: 'disk1', host: 'pcie0', segment: 0, rid: 0x200, socket: '/s' };
    expect(vfioUserProperties(model, served)).toEqual({
      driver: 'vfio-user-pci',
      id: 'disk1',
      bus: 'rp2',
      addr: '00.0',
      socket: { type: 'unix', path: '/s' },
      'x-msg-timeout': 3_600_000,
    });
  });

  test('functions of the board itself, which a guest may probe', () => {
    const rids = (name: string): number[] => boardFunctions(shipped(name)).map(({ rid }) => rid);
    expect(rids('one-endpoint')).toEqual([0]);
    expect(rids('q35-pxb')).toEqual([0, 0xf8, 0xfb, 0xf0]);
    expect(boardFunctions(shipped('large'))).toEqual([{ host: 'pcie0', rid: 0 }]);
  });
});
