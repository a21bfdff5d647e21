import { describe, expect, test } from 'vitest';
import { preflight } from '../../../src/qemu/index.ts';
import { HOST_BASE, HOST_READ, HOST_WRITE } from '../../../src/host-iommu/index.ts';
import { listEndpoints, listMappings } from '../../../src/iommu/index.ts';
import type { HostSide } from '../../../src/machine/index.ts';
import { VIRTIO_IOMMU_S_NOMEM } from '../../../src/spec/virtio-iommu.ts';
import { parseTopology } from '../../../src/topology/index.ts';
import { BlockDriver } from '../../../src/driver/index.ts';
import { MemoryStore } from '../../../src/endpoints/index.ts';
import {
  bootModel,
  modelFrom,
  requests,
  shippedModel,
  type World,
} from '../../support/model-guest.ts';

const DISK = 64 * 1024;

function text(passthrough: string, rest = ''): string {
  return `
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0${rest} }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 64K }, passthrough: ${passthrough} }
`;
}

function boot(passthrough: string, rest = ''): ReturnType<typeof bootModel> {
  return bootModel(
    modelFrom(text(passthrough, rest)),
    {},
    {
      store: () => new MemoryStore(new Uint8Array(DISK).fill(5)),
    },
  );
}

function sideOf({ machine }: World, id = 'disk0'): HostSide {
  const side = machine.unit(id)?.hostSide;
  if (side === undefined) throw new Error(`${id} is not passed through`);
  return side;
}

function deviceOf({
  machine,
}: World): NonNullable<ReturnType<typeof machine.viommus.get>>['device'] {
  const found = machine.viommus.get('viommu0');
  if (found === undefined) throw new Error('no vIOMMU');
  return found.device;
}

/** The guest's mappings of RAM, as the host must have them. */
function relayed(world: World): unknown[] {
  const { state } = deviceOf(world);
  const domain = state.endpoints.get(0x10)?.domain?.id ?? -1;
  return [...listMappings(state, domain)]
    .filter(({ flags }) => (flags & 4) === 0)
    .map(({ start, end, physical, flags }) => ({
      iova: { start, end },
      vaddr: HOST_BASE + physical,
      access: flags & (HOST_READ | HOST_WRITE),
    }));
}

function blockDriver(world: ReturnType<typeof bootModel>): BlockDriver {
  const { driver } = world.guest.device('0000:00:02.0') ?? {};
  if (!(driver instanceof BlockDriver)) throw new Error('no disk');
  return driver;
}

describe('a passed-through disk', () => {
  test('works, and the host has what the guest mapped', () => {
    const world = boot('true');
    const { container } = sideOf(world);
    expect(relayed(world).length).toBeGreaterThan(0);
    expect(container.list()).toEqual(relayed(world));
    const disk = blockDriver(world);
    expect(disk.write(4096n, new Uint8Array(4096).fill(7))).toBeUndefined();
    const got = disk.read(0n, 8192);
    expect([got[0], got[4095], got[4096]]).toEqual([5, 5, 7]);
    expect(container.calls.unmap).toBeGreaterThan(0);
    expect(container.list()).toEqual(relayed(world));
    const failed = requests(world.events).filter(({ status }) => status !== 0);
    expect(failed).toEqual([]);
  });

  test('reaches nothing that only the vIOMMU maps', () => {
    const world = boot('true');
    const disk = blockDriver(world);
    const { container } = sideOf(world);
    expect(container.unmapAll()).toBeUndefined();
    expect(disk.read(0n, 4096)).not.toBeInstanceOf(Uint8Array);
  });

  test('reaches nothing after an UNMAP', () => {
    const world = boot('true');
    const route = world.machine.unit('disk0')?.route;
    const [first] = sideOf(world).container.list();
    if (route === undefined || first === undefined) throw new Error('nothing is mapped');
    const at = Number(first.iova.start & 0xffff_ffffn);
    const hi = Number(first.iova.start >> 32n);
    const { epoch } = route;
    expect(route.translate(0, hi, at, 8, first.access)).toBe(0);
    expect(sideOf(world).port.unmap(first.iova)).toBe('ok');
    expect(route.translate(0, hi, at, 8, first.access)).toBe(1);
    expect(route.epoch).toBeGreaterThan(epoch);
  });

  test('bypasses to all RAM before a driver is there, and after a reset', () => {
    const world = boot('true');
    const ram = world.machine.memory.windows().map(({ gpa, bytes }) => ({
      iova: { start: gpa, end: gpa + BigInt(bytes.length) - 1n },
      vaddr: HOST_BASE + gpa,
      access: HOST_READ | HOST_WRITE,
    }));
    expect(sideOf(world).container.list()).not.toEqual(ram);
    world.machine.reset();
    expect(sideOf(world).container.list()).toEqual(ram);
  });

  test('finds its mappings again when the machine is restored', () => {
    const world = boot('true');
    const before = [...sideOf(world).container.list()];
    const state = world.machine.snapshot();
    world.machine.reset();
    world.machine.restore(state);
    expect(sideOf(world).container.list()).toEqual(before);
    expect(blockDriver(world).read(0n, 512)).toBeInstanceOf(Uint8Array);
  });
});

describe('limits of the host', () => {
  test('a full host answers NOMEM, and keeps what it had', () => {
    const world = boot('{ mappings: 1 }');
    const disk = blockDriver(world);
    const { container } = sideOf(world);
    const before = [...container.list()];
    expect(before).toHaveLength(1);
    expect(disk.read(0n, 4096)).not.toBeInstanceOf(Uint8Array);
    const maps = requests(world.events).filter(({ name }) => name === 'map');
    expect(maps.at(-1)?.status).toBe(VIRTIO_IOMMU_S_NOMEM);
    // Neither side has more than the other.
    expect(container.list()).toEqual(before);
    expect(relayed(world)).toEqual(before);
  });

  test('a MAP that one of two hosts refuses is taken back from the other', () => {
    const two = text('true').replace('at: 00:02.0', 'at: 00:02.1').replace('disk0', 'disk1');
    const first = text('true').trimEnd();
    const world = bootModel(
      modelFrom(`${first}\n${two.slice(two.indexOf('  - { id: disk1'))}`),
      {},
      { store: () => new MemoryStore(new Uint8Array(DISK).fill(5)) },
    );
    const one = sideOf(world).container;
    const other = sideOf(world, 'disk1').container;
    const before = [...one.list()];
    expect(before.length).toBeGreaterThan(0);
    expect(before).toEqual(relayed(world));
    expect(other.list()).toEqual(before);
    other.inject('map', 'EIO');
    expect(blockDriver(world).read(0n, 4096)).not.toBeInstanceOf(Uint8Array);
    expect(one.list()).toEqual(before);
    expect(other.list()).toEqual(before);
    // One failure is no end.
    expect(blockDriver(world).read(0n, 4096)).toBeInstanceOf(Uint8Array);
  });

  test('what it reserves, and what is beyond its aperture, is in PROBE; the doorbell stays MSI', () => {
    const world = boot('{ aperture: 0x1000-0xff_ffff_ffff, reserved: [0x800_0000-0x80f_ffff] }');
    const [disk] = listEndpoints(deviceOf(world).state);
    expect(disk?.passedThrough).toBe(true);
    const { reserved = [] } = disk ?? {};
    const msi = reserved.filter(({ type }) => type === 'msi').map(({ range }) => range);
    expect(msi).toHaveLength(1);
    const [bell] = msi;
    if (bell === undefined) throw new Error('no doorbell');
    expect(reserved.filter(({ type }) => type === 'reserved').map(({ range }) => range)).toEqual([
      { start: 0n, end: 0xfffn },
      { start: 0x800_0000n, end: bell.start - 1n },
      { start: bell.end + 1n, end: 0x80f_ffffn },
      { start: 0x100_0000_0000n, end: 0xffff_ffff_ffff_ffffn },
    ]);
  });

  test('its granule becomes that of the vIOMMU', () => {
    const file = text('{ page-sizes: [16K] }').replace(
      'viommus:',
      'guest: { page-size: 16K }\nviommus:',
    );
    const world = bootModel(modelFrom(file));
    expect(deviceOf(world).state.settings.pageSizeMask & 0xffffn).toBe(0xc000n);
  });
});

describe('in a file', () => {
  const wrong = (passthrough: string, rest?: string): string[] =>
    parseTopology(text(passthrough, rest), 'test.yaml').diagnostics.map(
      ({ rule, message }) => `${rule}: ${message}`,
    );

  test.each([
    ['true', []],
    ['false', []],
    ['{ page-sizes: [4K, 2M], mappings: 1 }', []],
    ['{ page-sizes: [] }', ['host without a page size']],
    ['{ page-sizes: [12K] }', ['no power of two']],
    ['{ page-sizes: [64K] }', ["larger than the guest's"]],
    ['{ reserved: [0x1000-0x2fff, 0x2000-0x3fff] }', ['which overlap']],
    ['{ aperture: 0x0-0x3fff_ffff }', ['cannot map the RAM']],
    ['{ reserved: [0x4000_0000-0x4000_0fff] }', ['cannot map the RAM']],
    ['{ mapings: 3 }', ['did you mean "mappings"']],
  ])('%s', (passthrough, messages) => {
    const found = wrong(passthrough);
    expect(found).toHaveLength(messages.length);
    for (const [index, message] of messages.entries()) expect(found[index]).toContain(message);
  });

  test('RAM need not be mapped where nothing bypasses', () => {
    expect(wrong('{ reserved: [0x4000_0000-0x4000_0fff] }', ', boot-bypass: false')).toEqual([]);
  });

  test('what bypasses, and what is no device, cannot be passed through', () => {
    const rules = (endpoint: string): string[] =>
      parseTopology(
        `extends: virt-arm64\nviommus: [{ id: viommu0, at: 00:01.0 }]\nendpoints: [${endpoint}]\n`,
        'test.yaml',
      ).diagnostics.map(({ rule }) => rule);
    expect(rules('{ id: a, at: 00:02.0, device: edu, viommu: none, passthrough: true }')).toEqual([
      'passthrough',
    ]);
    expect(rules('{ id: a, at: 00:02.0-00:03.7, passthrough: true }')).toEqual(['passthrough']);
  });

  test('a PROBE reply without room for the host is said before', () => {
    expect(wrong('{ reserved: [0x1000-0x1fff] }', ', probe-size: 48').join()).toContain(
      'probe-too-small',
    );
  });
});

test('QEMU refuses it, with the alternative', () => {
  const found = preflight(shippedModel('passthrough'));
  expect(found.map(({ rule }) => rule)).toEqual(Array(3).fill('qemu-passthrough'));
  expect(found[0]?.cure).toContain('--backend model');
});
