import { createHash } from 'node:crypto';
import {
  BlockDriver,
  NetDriver,
  StubDriver,
  type BlockError,
  type Device,
  type ModelGuest,
} from '../driver/index.ts';
import { deviceAt } from '../guest/index.ts';
import { diskSha256, type DiskImage } from '../qemu/index.ts';
import type { Machine } from '../machine/index.ts';
import { hiOf, loOf } from '../memory/index.ts';
import {
  rebindable,
  type DiskObservation,
  type FaultAim,
  type FaultCheckObservation,
  type NicObservation,
  type PlugObservation,
  type RebindObservation,
} from '../scenario/index.ts';
import { isHotplugged, type Endpoint } from '../topology/index.ts';
import { AIM_BYTES, chooseTarget, type Target } from './aims.ts';
import type { MachineWatch } from './machine-watch.ts';
import type { PatternStore } from './model-disk.ts';
import type { Checked } from './model-observation.ts';
import { aimsOf, DISK_READ_BYTES, DISK_WRITE_BYTES } from './plan.ts';

/** A disk of the machine, from outside. */
export interface ModelDisk {
  readonly image: DiskImage;
  readonly store: PatternStore;
}

/** 10.0.2.15 and 10.0.2.2, as on QEMU's user network. */
const OWN_ADDRESS = 0x0a00_020f;
const PEER_ADDRESS = 0x0a00_0202;
const PINGS = 3;
const PING_BYTES = 1400;

const NO_DEVICE = 'no such device in the guest';
const TIMEOUT = 'it does not come back (timeout)';

/** What the checks of a run work on. */
export interface CheckedWorld {
  readonly machine: Machine;
  readonly guest: ModelGuest;
  readonly disks: ReadonlyMap<string, ModelDisk>;
  readonly watch: MachineWatch;
}

/** What the plan of a boot asks of each endpoint, done by the model guest. */
export function runChecks(world: CheckedWorld): Checked {
  const { model } = world.machine;
  const plugs = plugIn(world);
  const before = model.endpoints.map((endpoint) => checkEndpoint(world, endpoint));
  const rebinds = rebind(world);
  const again = new Set(rebinds.map(({ device }) => device));
  const after = model.endpoints
    .filter((endpoint) => again.has(guestName(endpoint) ?? ''))
    .map((endpoint) => checkEndpoint(world, endpoint));
  const all = [...before, ...after];
  return {
    disks: all.flatMap(({ disks = [] }) => disks),
    nics: all.flatMap(({ nics = [] }) => nics),
    faultChecks: all.flatMap(({ faultChecks = [] }) => faultChecks),
    overlaps: all.flatMap(({ overlaps = [] }) => overlaps),
    rebinds,
    plugs,
  };
}

function checkEndpoint(world: CheckedWorld, endpoint: Endpoint): Partial<Checked> {
  const { guest, disks } = world;
  const name = guestName(endpoint);
  if (name === undefined) return {};
  const device = guest.device(name);
  switch (endpoint.device?.kind) {
    case 'virtio-blk': {
      const disk = disks.get(endpoint.id);
      return disk === undefined ? {} : { disks: [checkDisk(endpoint.id, name, device, disk)] };
    }
    case 'virtio-net':
      return { nics: [checkNic(name, device)] };
    case 'edu':
    case 'dma-engine': {
      const twice = device?.driver instanceof StubDriver ? guest.mapTwice(device) : undefined;
      return {
        faultChecks: [
          ...[true, false].map((write) => checkFault(guest, name, device, write)),
          ...checkAims(world, endpoint, name, device),
        ],
        overlaps: twice === undefined ? [] : [{ device: name, ...twice }],
      };
    }
    default:
      return {};
  }
}

/** What is not there at power-on comes now, and the ports tell of it. */
function plugIn({ machine, guest }: CheckedWorld): PlugObservation[] {
  const { model } = machine;
  return model.endpoints.flatMap((endpoint): PlugObservation[] => {
    const name = guestName(endpoint);
    const { device } = endpoint;
    if (name === undefined || device === undefined || !isHotplugged(model, endpoint)) return [];
    machine.plug(endpoint);
    guest.rescan();
    const { driver, group } = guest.device(name) ?? {};
    return [
      {
        device: name,
        ...(driver === undefined ? {} : { driver: driver.name }),
        ...(group === undefined ? {} : { group: group.id }),
      },
    ];
  });
}

/** All drivers go before the first comes back: endpoints of one group share a domain. */
function rebind({ machine, guest, watch }: CheckedWorld): RebindObservation[] {
  const endpoints = rebindable(machine.model).map(({ endpoint }) => endpoint);
  const gone = endpoints.map((endpoint) => {
    const name = guestName(endpoint) ?? '';
    const device = guest.device(name);
    const ok = device !== undefined && guest.unbind(device);
    watch.unbound(endpoint.id);
    return { name, device, ok, endpoint };
  });
  return gone.map(({ name, device, ok, endpoint }) => {
    if (device === undefined || !ok) return { device: name, error: NO_DEVICE };
    guest.bind(device);
    watch.bound(endpoint.id);
    const driver = device.driver?.name;
    return { device: name, ...(driver === undefined ? {} : { driver }) };
  });
}

/** What Linux calls the device at an endpoint's place; undefined for ranges. */
export function guestName({ location }: Endpoint): string | undefined {
  if (location.kind === 'platform') return `${location.base.toString(16)}.virtio_mmio`;
  if (location.form !== 'function') return undefined;
  return deviceAt({ segment: location.segment, requesterId: location.rids.start });
}

function checkDisk(
  id: string,
  name: string,
  device: Device | undefined,
  { image, store }: ModelDisk,
): DiskObservation {
  const size = store.size;
  const bytes = Math.min(size, DISK_READ_BYTES);
  const base = { device: name, referenceSha256: diskSha256(image, BigInt(bytes)) };
  const driver = device?.driver;
  if (!(driver instanceof BlockDriver)) return { ...base, error: NO_DEVICE };
  const read = driver.read(0n, bytes);
  if (typeof read === 'string') return { ...base, error: said(read) };
  const middle = Math.floor(size / 2 / 4096) * 4096;
  const room = Math.min(DISK_WRITE_BYTES, size - middle);
  const pattern = Buffer.from(`${id}\n`.repeat(Math.ceil(room / (id.length + 1)))).subarray(
    0,
    room,
  );
  const failed = driver.write(BigInt(middle), pattern);
  const seen = { ...base, read: { bytes: read.length, sha256: sha256(read) } };
  if (failed !== undefined) return { ...seen, error: said(failed) };
  const again = driver.read(BigInt(middle), room);
  return {
    ...seen,
    write: {
      bytes: room,
      sha256: sha256(pattern),
      ...(typeof again === 'string' ? {} : { readBackSha256: sha256(again) }),
      backingSha256: store.sha256(middle, room),
    },
  };
}

function said(error: BlockError): string {
  return error === 'timeout' ? TIMEOUT : error;
}

function checkNic(name: string, device: Device | undefined): NicObservation {
  const method = 'DHCP and ping of 10.0.2.2';
  const driver = device?.driver;
  if (!(driver instanceof NetDriver)) return { device: name, method, ok: false, error: NO_DEVICE };
  const lease = driver.dhcp();
  const { sent, received, error } = driver.ping(
    lease?.address ?? OWN_ADDRESS,
    lease?.server ?? PEER_ADDRESS,
    PINGS,
    PING_BYTES,
  );
  const problem = error ?? (lease === undefined ? 'no answer to DHCP' : undefined);
  return {
    device: name,
    sent,
    received,
    method,
    ok: problem === undefined,
    ...(problem === undefined ? {} : { error: problem }),
  };
}

function checkFault(
  guest: ModelGuest,
  name: string,
  device: Device | undefined,
  write: boolean,
): FaultCheckObservation {
  const none = { device: name, aim: 'unmapped', address: 0n, write, ran: false } as const;
  if (!(device?.driver instanceof StubDriver)) return { ...none, error: NO_DEVICE };
  const result = guest.provokeFault(device, write);
  if (result === undefined) return { ...none, error: NO_DEVICE };
  const { address, ran, unchanged } = result;
  return {
    device: name,
    aim: 'unmapped',
    address,
    write,
    ran,
    ...(ran ? {} : { error: TIMEOUT }),
    ...(unchanged === undefined ? {} : { memoryUnchanged: unchanged }),
  };
}

/** Aims of our engine beyond a page that nothing was mapped for. */
function checkAims(
  world: CheckedWorld,
  endpoint: Endpoint,
  name: string,
  device: Device | undefined,
): FaultCheckObservation[] {
  const { machine, guest } = world;
  if (device === undefined) return [];
  const others = aimsOf(machine.model, endpoint).filter(
    ({ aim }) => aim === 'reserved' || aim === 'foreign',
  );
  const read = others.map(({ aim, dir }) => {
    const target = chooseTarget(machine, endpoint, aim, 0n);
    return aimed(world, { name, device, aim, write: dir === 'write', target });
  });
  if (aimsOf(machine.model, endpoint).length === 0) return read;
  const lent = guest.lend(device, () => {
    const target = chooseTarget(machine, endpoint, 'read-only', 0n);
    return aimed(world, { name, device, aim: 'read-only', write: true, target });
  });
  return lent === undefined ? read : [...read, lent];
}

function aimed(
  { machine, guest }: CheckedWorld,
  parts: {
    readonly name: string;
    readonly device: Device;
    readonly aim: FaultAim;
    readonly write: boolean;
    readonly target: Target | undefined;
  },
): FaultCheckObservation {
  const { name, device, aim, write, target } = parts;
  const none = { device: name, aim, address: 0n, write, ran: false };
  if (target === undefined) return { ...none, error: 'the machine knows no such address' };
  const look = (): string =>
    target.landings
      .map((gpa) => {
        const bytes = new Uint8Array(AIM_BYTES);
        machine.memory.read(hiOf(gpa), loOf(gpa), bytes, 0, AIM_BYTES);
        return Buffer.from(bytes).toString('hex');
      })
      .join();
  const before = look();
  const { address } = target;
  const result = guest.aim(device, write, address);
  const ran = result?.ran === true && result.refused !== false;
  const error = result?.ran === true ? 'the access was not refused' : TIMEOUT;
  return {
    ...none,
    address,
    ran,
    ...(ran ? {} : { error }),
    memoryUnchanged: look() === before,
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
