import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BlockDriver,
  EntropyDriver,
  IovaAllocator,
  ModelGuest,
  NetDriver,
  StubDriver,
} from '../../../src/driver/index.ts';
import { listDomains, listEndpoints, type IommuDevice } from '../../../src/iommu/index.ts';
import type { Machine } from '../../../src/machine/index.ts';
import { MemoryStore } from '../../../src/endpoints/index.ts';
import {
  bootModel,
  firmwareOf,
  modelFrom,
  requests,
  shippedModel,
  world,
} from '../../support/model-guest.ts';

function deviceOf(machine: Machine, id = 'viommu0'): IommuDevice {
  const device = machine.viommus.get(id)?.device;
  if (device === undefined) throw new Error(`no ${id}`);
  return device;
}

function block(guest: ModelGuest, name: string): BlockDriver {
  const driver = guest.device(name)?.driver;
  if (!(driver instanceof BlockDriver)) throw new Error(`${name} has no disk`);
  return driver;
}

describe('data', () => {
  test('a disk is read and written through mappings, and nothing stays mapped', () => {
    const bytes = new Uint8Array(1 << 20).map((_, index) => (index * 7) >> 3);
    const store = new MemoryStore(bytes);
    const { guest, machine, events } = bootModel(
      shippedModel('one-endpoint'),
      {},
      { store: () => store },
    );
    const disk = block(guest, '0000:00:02.0');
    expect(disk.size).toBe(BigInt(bytes.length));
    const [domain] = listDomains(deviceOf(machine).state);
    const idle = domain?.mappings;
    const got = disk.read(512n, 300 * 1024);
    if (typeof got === 'string') throw new Error(got);
    const sum = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
    expect(sum(got)).toBe(sum(store.bytes.subarray(512, 512 + 300 * 1024)));
    expect(disk.write(4096n, new Uint8Array(70_000 - (70_000 % 512)).fill(9))).toBeUndefined();
    expect(store.bytes[4096 + 69_000]).toBe(9);
    expect(listDomains(deviceOf(machine).state)[0]?.mappings).toBe(idle);
    expect(requests(events).every(({ status }) => status === 0)).toBe(true);
  });

  test('a read past the end is an I/O error, and the disk goes on', () => {
    const { guest } = bootModel(shippedModel('one-endpoint'));
    const disk = block(guest, '0000:00:02.0');
    expect(disk.read(disk.size, 512)).toBe('I/O error');
    expect(disk.read(0n, 512)).toBeInstanceOf(Uint8Array);
    expect(guest.log.lines.at(-1)).toContain('I/O error, dev');
  });

  test('a NIC gets an address and answers', () => {
    const { guest } = bootModel(shippedModel('its'));
    const nic = guest.device('0000:00:03.0')?.driver;
    if (!(nic instanceof NetDriver)) throw new Error('no NIC');
    const lease = nic.dhcp();
    expect(lease).toEqual({ address: 0x0a00_020f, server: 0x0a00_0202 });
    expect(nic.ping(0x0a00_020f, 0x0a00_0202, 5, 1400)).toEqual({ sent: 6, received: 6 });
    expect(nic.ping(0x0a00_020f, 0x0a00_0263, 1, 10).error).toBe('no answer to ARP');
  });

  test('random numbers come through the vIOMMU', () => {
    const model = modelFrom(`
extends: emulator
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: rng0, at: 00:02.0, device: virtio-rng }]
`);
    const { guest, machine } = bootModel(model);
    const rng = guest.device('0000:00:02.0')?.driver;
    if (!(rng instanceof EntropyDriver)) throw new Error('no rng');
    const bytes = rng.read(32);
    expect(bytes?.length).toBe(32);
    expect(new Set(bytes).size).toBeGreaterThan(8);
    expect(listEndpoints(deviceOf(machine).state)[0]?.path).toBe('translated');
  });

  test.each(['edu', 'dma-engine'])('an aimed %s faults, and the guest hears of it', (kind) => {
    const model = modelFrom(`
extends: emulator
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: dev0, at: 00:03.0, device: ${kind} }]
`);
    const { guest } = bootModel(model);
    const device = guest.device('0000:00:03.0');
    if (device === undefined) throw new Error('no device');
    expect(device.driver).toBeInstanceOf(StubDriver);
    for (const write of [true, false]) {
      const result = guest.provokeFault(device, write);
      const flag = write ? 'W' : 'R';
      expect(result?.ran).toBe(true);
      const line = `virtio_iommu virtio0: page fault from EP 24 at 0x${result?.address.toString(16)} [${flag}]`;
      expect(guest.log.lines).toContain(line);
      // edu has 28 address lines, and RAM is beyond them.
      expect(result?.unchanged).toBe(kind === 'edu' ? undefined : true);
    }
  });
});

describe('drivers come and go', () => {
  test('unbind leaves nothing mapped of a device, bind starts over', () => {
    const { guest, machine } = bootModel(shippedModel('its'));
    const { state } = deviceOf(machine);
    for (const name of ['0000:00:02.0', '0000:00:03.0']) {
      const device = guest.device(name);
      if (device === undefined) throw new Error(name);
      const { group } = device;
      expect(guest.unbind(device)).toBe(true);
      expect(guest.unbind(device)).toBe(false);
      const domain = listDomains(state).find(({ id }) => id === group?.domain.id);
      expect(domain?.mappings).toBe(0);
      expect(device.group).toBe(group);
      for (let round = 0; round < 3; round++) {
        expect(guest.bind(device)).toBe(true);
        expect(guest.unbind(device)).toBe(true);
      }
      expect(guest.bind(device)).toBe(true);
    }
    expect(block(guest, '0000:00:02.0').read(0n, 4096)).toBeInstanceOf(Uint8Array);
  });

  test('a device that is removed is detached', () => {
    const { guest, machine, events } = bootModel(shippedModel('several-endpoints'));
    const device = guest.device('0000:00:05.0');
    if (device === undefined) throw new Error('no device');
    expect(guest.remove(device)).toBe(true);
    expect(guest.remove(device)).toBe(false);
    const last = requests(events).at(-1);
    expect(last).toMatchObject({ name: 'detach', endpoint: 0x28, status: 0 });
    expect(guest.log.lines.at(-1)).toBe('pci 0000:00:05.0: Removing from iommu group 3');
    // Its neighbour in the group goes on.
    expect(block(guest, '0000:00:05.1').read(0n, 4096)).toBeInstanceOf(Uint8Array);
    const attached = listEndpoints(deviceOf(machine).state).filter(
      (one) => one.domain !== undefined,
    );
    expect(attached.map(({ id }) => id)).toEqual([0x10, 0x18, 0x20, 0x29]);
  });

  test('without its driver a vIOMMU has no domains, and endpoints bypass again', () => {
    const { guest, machine } = bootModel(shippedModel('one-endpoint'));
    const iommu = guest.device('0000:00:01.0');
    const disk = guest.device('0000:00:02.0');
    if (iommu === undefined || disk === undefined) throw new Error('no device');
    guest.unbind(disk);
    expect(guest.unbind(iommu)).toBe(true);
    const { state } = deviceOf(machine);
    expect(listDomains(state)).toEqual([]);
    expect(listEndpoints(state)[0]?.path).toBe('bypassed');
    expect(guest.iommus.groups).toEqual([]);
    expect(guest.bind(iommu)).toBe(true);
    expect(guest.bind(disk)).toBe(true);
    expect(disk.group?.type).toBe('DMA');
    expect(block(guest, '0000:00:02.0').read(0n, 4096)).toBeInstanceOf(Uint8Array);
  });

  test('two guests after one another on one machine', () => {
    const model = shippedModel('several-endpoints');
    const { machine, platform } = bootModel(model);
    machine.reset();
    const guest = ModelGuest.boot(platform, firmwareOf(model, 'acpi'));
    expect(guest.iommus.groups.length).toBe(4);
    expect(block(guest, '0000:00:05.1').read(0n, 4096)).toBeInstanceOf(Uint8Array);
  });
});

describe('IOVAs', () => {
  test('are aligned, apart, inside the aperture and outside what is reserved', () => {
    const page = 4096n;
    const range = fc
      .tuple(fc.bigInt({ min: 0n, max: 0xfffffn }), fc.bigInt({ min: 1n, max: 64n }))
      .map(([first, pages]) => ({ start: first * page, end: (first + pages) * page - 1n }));
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 6 }),
        fc.array(fc.bigInt({ min: 1n, max: 40_000n }), { maxLength: 40 }),
        (reserved, sizes) => {
          const aperture = { start: 0x1_0000n, end: 0x7fff_ffffn };
          const iovas = new IovaAllocator(aperture, page, reserved);
          const live: { start: bigint; end: bigint }[] = [];
          for (const [index, size] of sizes.entries()) {
            const start = iovas.take(size);
            if (start === undefined) continue;
            const end = start + iovas.rounded(size) - 1n;
            expect(start % page).toBe(0n);
            expect(start >= aperture.start && end <= aperture.end).toBe(true);
            for (const other of [...live, ...reserved]) {
              expect(other.end < start || other.start > end).toBe(true);
            }
            live.push({ start, end });
            if (index % 3 === 0) {
              const [gone] = live.splice(0, 1);
              if (gone) iovas.give(gone.start, gone.end - gone.start + 1n);
            }
          }
        },
      ),
    );
  });

  test('end when the aperture does, and begin below 4 GiB', () => {
    const iovas = new IovaAllocator({ start: 0n, end: 0x1_ffff_ffffn }, 4096n, []);
    expect(iovas.take(4096n)).toBe(0xffff_f000n);
    expect(iovas.take(0xffff_0000n)).toBe(0xf000n);
    expect(iovas.take(0x8000_0000n)).toBe(0x1_8000_0000n);
    expect(iovas.take(0x1_0000_0000n)).toBeUndefined();
  });
});

describe('a hostile machine', () => {
  test('registers that read as anything end in a guest that stands still, never in a crash', () => {
    const model = shippedModel('root-ports');
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 200 }), (seed, every) => {
        const { platform } = world(model);
        let state = seed;
        let count = 0;
        const bus = {
          read: (address: number, size: number): number => {
            const value = platform.bus.read(address, size);
            if (++count % every !== 0) return value;
            state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
            return (state >>> 0) % 2 ** (8 * size);
          },
          write: platform.bus.write.bind(platform.bus),
        };
        const guest = ModelGuest.boot({ ...platform, bus }, firmwareOf(model, 'device-tree'));
        expect(guest.log.lines.length).toBeLessThan(20_001);
      }),
      { numRuns: 60 },
    );
  });
});
