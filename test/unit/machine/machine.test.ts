import { describe, expect, test } from 'vitest';
import { BlockDriver, ModelGuest, NetDriver } from '../../../src/driver/index.ts';
import { buildMachine, CoverageIndex, MmioBus, unsupported } from '../../../src/machine/index.ts';
import { listEndpoints } from '../../../src/iommu/index.ts';
import {
  PCI_PRIMARY_BUS,
  PCI_SECONDARY_BUS,
  PCI_SUBORDINATE_BUS,
} from '../../../src/spec/pci-config.ts';
import { VIRTIO_RING_F_INDIRECT_DESC } from '../../../src/spec/virtio.ts';
import { hasFeature } from '../../../src/virtio/index.ts';
import { VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_VERSION } from '../../../src/spec/virtio-mmio.ts';
import {
  bootModel,
  firmwareOf,
  modelFrom,
  requests,
  shippedModel,
  world,
} from '../../support/model-guest.ts';

describe('the bus', () => {
  const region = (name: string, base: number, size: number): Parameters<MmioBus['add']>[0] => ({
    name,
    base,
    size,
    read: (offset) => offset,
    write: () => undefined,
  });

  test('routes by address, ones where nobody answers', () => {
    const bus = new MmioBus();
    bus.add(region('b', 0x2000, 0x100));
    bus.add(region('a', 0x1000, 0x100));
    bus.add(region('far', 2 ** 40, 16));
    expect([bus.read(0x1004, 4), bus.read(0x20ff, 1), bus.read(2 ** 40 + 8, 4)]).toEqual([
      4, 255, 8,
    ]);
    expect(bus.read(0x1100, 4)).toBe(0xffff_ffff);
    expect(bus.read(0xfff, 1)).toBe(0xff);
    bus.write(0x3000, 4, 1);
    expect(bus.unclaimed).toBe(3);
    expect(bus.remove(0x1000)).toBe(true);
    expect(bus.read(0x1004, 2)).toBe(0xffff);
  });

  test('refuses what overlaps', () => {
    const bus = new MmioBus();
    bus.add(region('a', 0x1000, 0x100));
    for (const [base, size] of [
      [0x10ff, 1],
      [0xf00, 0x101],
      [0x1000, 0x100],
      [0x5000, 0],
    ] as const) {
      expect(() => bus.add(region('x', base, size))).toThrow(RangeError);
    }
  });
});

describe('what a topology becomes', () => {
  test('everything is where the firmware says', () => {
    const { machine, platform } = world(shippedModel('software-doorbell'));
    const names = machine.bus.regions.map(({ name, base }) => `${name} ${base.toString(16)}`);
    expect(names).toContain('viommu0 a000000');
    expect(names).toContain('configuration space of pcie0 4010000000');
    // The other 31 transports of `virt` are there, and empty.
    expect(platform.bus.read(0xa00_0200 + VIRTIO_MMIO_DEVICE_ID, 4)).toBe(0);
    expect(names.filter((name) => name.startsWith('empty')).length).toBe(31);
  });

  test('each vIOMMU has the options of the topology', () => {
    const model = modelFrom(`
extends: emulator
viommus:
  - id: viommu0
    at: 00:01.0
    granule: 64K
    input-range: 0x100000-0xffffffff
    domain-range: 5-9
    probe-size: 256
    boot-bypass: false
`);
    const { machine } = world(model);
    const device = machine.viommus.get('viommu0')?.device;
    const [viommu] = model.viommus;
    expect(device?.state.settings).toMatchObject({
      pageSizeMask: viommu?.pageSizeMask,
      inputRange: { start: 0x10_0000n, end: 0xffff_ffffn },
      domainRange: { start: 5, end: 9 },
      probeSize: 256,
      bootBypass: false,
    });
  });

  test('endpoints have the IDs and the regions of the topology', () => {
    const { machine } = world(shippedModel('reserved-regions'));
    const device = machine.viommus.get('viommu0')?.device;
    if (device === undefined) throw new Error('no vIOMMU');
    expect(listEndpoints(device.state).map(({ id, reserved }) => [id, reserved])).toEqual([
      [
        16,
        [
          { range: { start: 0xe000_0000n, end: 0xefff_ffffn }, type: 'reserved' },
          { range: { start: 0xfee0_0000n, end: 0xfeef_ffffn }, type: 'msi' },
        ],
      ],
    ]);
  });

  test('segments and platform devices keep their IDs apart', () => {
    const { machine } = world(shippedModel('segments'));
    expect(machine.unit('disk1')?.placed).toEqual({ viommu: 'viommu0', endpointId: 0x1_0010 });
    expect(machine.unit('disk2')?.placed).toEqual({ viommu: 'viommu1', endpointId: 0x2_0010 });
    const platform = world(shippedModel('platform-device')).machine;
    expect(platform.unit('disk1')?.placed).toEqual({ viommu: 'viommu0', endpointId: 0x1_0000 });
    expect(platform.unit('disk2')?.placed).toBeUndefined();
  });

  test('a legacy transport has version 1, and no driver', () => {
    const model = modelFrom(`
extends: virt-arm64-gicv2
doorbells: [{ id: v2m0, delivery: mapped }]
viommus: [{ id: viommu0, mmio: 0xa000000, legacy: true }]
endpoints: [{ id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 4M } }]
`);
    const { guest, platform } = bootModel(model);
    expect(platform.bus.read(0xa00_0000 + VIRTIO_MMIO_VERSION, 4)).toBe(1);
    expect(guest.iommus.viommus).toEqual([]);
    expect(guest.log.lines.some((line) => line.includes('deferred probe timeout'))).toBe(true);
  });

  test('coverage is looked up by segment and requester ID', () => {
    const index = new CoverageIndex(shippedModel('large'));
    expect(index.find(3, 0x8000)).toEqual({ viommu: 'viommu7', endpointId: 0x3_8000 });
    expect(index.find(3, 0x7fff)).toEqual({ viommu: 'viommu6', endpointId: 0x3_7fff });
    expect(index.find(0, 0x0008)).toBeUndefined();
    expect(index.find(4, 0)).toBeUndefined();
  });

  test('what it cannot have is said with an alternative', () => {
    const model = modelFrom(`
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: nic0, at: 00:02.0, device: e1000e }]
`);
    expect(model.endpoints.map(unsupported)).toEqual([
      { what: 'nic0 is an e1000e, which our machine does not have', cure: 'use virtio-net' },
    ]);
    expect(() => buildMachine(model)).toThrow(RangeError);
  });
});

describe('bus numbers are the guest’s', () => {
  test('renumbering a port moves what is below it to another endpoint ID', () => {
    const { machine, guest, platform } = bootModel(shippedModel('root-ports'));
    expect(machine.unit('disk0')?.placed?.endpointId).toBe(0x100);
    const port = guest.device('0000:00:02.0');
    const host = machine.hosts[0]?.host;
    const at = Number(host?.ecam.start ?? 0n) + ((port?.pci?.rid ?? 0) << 12);
    platform.bus.write(at + PCI_SECONDARY_BUS, 1, 9);
    platform.bus.write(at + PCI_SUBORDINATE_BUS, 1, 9);
    expect(machine.unit('disk0')?.placed?.endpointId).toBe(0x900);
    expect(machine.viommus.get('viommu0')?.device.endpoints.get(0x100)).toBeUndefined();
    platform.bus.write(at + PCI_PRIMARY_BUS, 4, 0);
    expect(machine.unit('disk0')?.placed).toBeUndefined();
  });
});

test('below a bridge to conventional PCI all have the ID of its bus, too, and one group', () => {
  const model = modelFrom(`
extends: emulator
pci:
  hosts:
    - id: pcie0
      bridges: [{ id: br1, at: 00:02.0, kind: pcie-pci-bridge, buses: 0x01-0x01 }]
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 01:01.0, device: { kind: virtio-blk, size: 4M } }
  - { id: disk1, at: 01:02.0, device: { kind: virtio-blk, size: 4M } }
`);
  const { guest, events } = bootModel(model);
  const attached = requests(events).filter(({ name }) => name === 'attach');
  expect(attached.map(({ endpoint, status }) => [endpoint, status])).toEqual([
    [0x108, 0],
    [0x100, 0],
    [0x110, 0],
    [0x100, 0],
  ]);
  expect(guest.iommus.groups.length).toBe(1);
  for (const name of ['0000:01:01.0', '0000:01:02.0']) {
    const driver = guest.device(name)?.driver;
    expect(driver instanceof BlockDriver && driver.read(0n, 4096)).toBeInstanceOf(Uint8Array);
  }
});

describe('hot-plug', () => {
  test('an endpoint that is pulled is gone for the vIOMMU, and comes back', () => {
    const model = shippedModel('root-ports');
    const { machine, guest, platform } = bootModel(model);
    const device = machine.viommus.get('viommu0')?.device;
    const disk = guest.device('0000:01:00.0')?.driver;
    if (!(disk instanceof BlockDriver)) throw new Error('no disk');
    expect(machine.unplug('disk0')).toBe(true);
    expect(machine.unplug('disk0')).toBe(false);
    expect(device?.endpoints.get(0x100)).toBeUndefined();
    expect(disk.read(0n, 512)).toBe('timeout');
    const [endpoint] = model.endpoints;
    if (endpoint === undefined) throw new Error('no endpoint');
    machine.plug(endpoint);
    expect(() => machine.plug(endpoint)).toThrow(RangeError);
    expect(device?.endpoints.get(0x100)?.id).toBe(0x100);
    expect(guest.rescan()).toEqual({ gone: [], came: [] });
    // A guest that starts over finds it again.
    machine.reset();
    const again = ModelGuest.boot(platform, firmwareOf(model, 'device-tree'));
    const back = again.device('0000:01:00.0');
    expect([back?.driver?.name, back?.group !== undefined]).toEqual(['virtio_blk', true]);
  });

  test('a guest that looks again loses and finds devices', () => {
    const model = shippedModel('root-ports');
    const { machine, guest, events } = bootModel(model);
    const [endpoint] = model.endpoints;
    if (endpoint === undefined) throw new Error('no endpoint');
    for (let round = 0; round < 3; round++) {
      machine.unplug('disk0');
      expect(guest.rescan()).toEqual({ gone: ['0000:01:00.0'], came: [] });
      expect(guest.device('0000:01:00.0')).toBeUndefined();
      machine.plug(endpoint);
      expect(guest.rescan()).toEqual({ gone: [], came: ['0000:01:00.0'] });
      const disk = guest.device('0000:01:00.0');
      expect(disk?.group?.type).toBe('DMA');
      expect(disk?.driver instanceof BlockDriver && disk.driver.read(0n, 4096)).toBeInstanceOf(
        Uint8Array,
      );
    }
    const other = guest.device('0000:02:00.0')?.driver;
    expect(other instanceof BlockDriver && other.read(0n, 4096)).toBeInstanceOf(Uint8Array);
    const names = requests(events).filter(({ endpoint: id }) => id === 0x100);
    expect(names.map(({ name }) => name).join()).toBe(
      `probe,attach${',detach,probe,attach'.repeat(3)}`,
    );
  });

  test('on the root bus, too', () => {
    const model = shippedModel('several-endpoints');
    const { machine } = bootModel(model);
    expect(machine.unplug('disk2')).toBe(true);
    expect(machine.unit('disk3')?.placed?.endpointId).toBe(0x29);
    expect(machine.unplug('viommu0')).toBe(false);
  });
});

describe('doorbells', () => {
  test('the ITS sees requester IDs', () => {
    const { machine, guest } = bootModel(shippedModel('its'));
    const seen: unknown[] = [];
    const before = machine.onInterrupt;
    machine.onInterrupt = (interrupt) => {
      seen.push(interrupt);
      before(interrupt);
    };
    const disk = guest.device('0000:00:02.0')?.driver;
    if (disk instanceof BlockDriver) disk.read(0n, 512);
    expect(seen).toEqual([{ kind: 'its', doorbell: 'its0', deviceId: 0x10, eventId: 1 }]);
  });

  test('a GICv2m frame raises an SPI of its range', () => {
    const { machine, guest } = bootModel(shippedModel('viommu-mmio'));
    const seen: unknown[] = [];
    const before = machine.onInterrupt;
    machine.onInterrupt = (interrupt) => {
      seen.push(interrupt);
      before(interrupt);
    };
    const nic = guest.device('0000:00:03.0')?.driver;
    expect(nic instanceof NetDriver && nic.dhcp()?.address).toBe(0x0a00_020f);
    expect(seen.length).toBeGreaterThan(1);
    for (const one of seen) expect(one).toMatchObject({ kind: 'edge' });
  });
});

describe('events', () => {
  test('of several vIOMMUs and devices stand in one order', () => {
    const { events } = bootModel(shippedModel('two-viommus'));
    expect(events.map(({ order }) => order)).toEqual(events.map((_, index) => index + 1));
    const viommus = new Set(
      events.flatMap((event) => (event.source === 'viommu' ? [event.viommu] : [])),
    );
    expect(viommus).toEqual(new Set(['viommu0', 'viommu1']));
    expect(events.some(({ source }) => source === 'message')).toBe(false);
    expect(requests(events).every(({ status }) => status === 0)).toBe(true);
  });

  test('stop when nobody listens any more', () => {
    const { machine, platform } = world(shippedModel('one-endpoint'));
    let count = 0;
    const stop = machine.subscribe(() => count++);
    stop();
    ModelGuest.boot(platform, firmwareOf(shippedModel('one-endpoint'), 'device-tree'));
    expect(count).toBe(0);
  });
});

test('indirect descriptors can be kept from endpoints that a vIOMMU translates', () => {
  const offered = (indirect: boolean): boolean[] => {
    const machine = buildMachine(shippedModel('one-endpoint'), { indirect });
    return ['viommu0', 'disk0'].map((id) =>
      hasFeature(machine.unit(id)?.core?.offered ?? 0n, VIRTIO_RING_F_INDIRECT_DESC),
    );
  };
  expect(offered(true)).toEqual([true, true]);
  expect(offered(false)).toEqual([true, false]);
});
