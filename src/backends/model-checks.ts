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
import type { DiskObservation, FaultCheckObservation, NicObservation } from '../scenario/index.ts';
import type { Endpoint, Model } from '../topology/index.ts';
import type { PatternStore } from './model-disk.ts';
import type { Checked } from './model-observation.ts';
import { DISK_READ_BYTES, DISK_WRITE_BYTES } from './plan.ts';

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

/** What the plan of a boot asks of each endpoint, done by the model guest. */
export function runChecks(
  model: Model,
  guest: ModelGuest,
  disks: ReadonlyMap<string, ModelDisk>,
): Checked {
  const checked = {
    disks: [] as DiskObservation[],
    nics: [] as NicObservation[],
    faultChecks: [] as FaultCheckObservation[],
  };
  for (const endpoint of model.endpoints) {
    const name = guestName(endpoint);
    if (name === undefined) continue;
    const device = guest.device(name);
    switch (endpoint.device?.kind) {
      case 'virtio-blk': {
        const disk = disks.get(endpoint.id);
        if (disk !== undefined) checked.disks.push(checkDisk(endpoint.id, name, device, disk));
        break;
      }
      case 'virtio-net':
        checked.nics.push(checkNic(name, device));
        break;
      case 'edu':
      case 'dma-engine':
        for (const write of [true, false]) {
          checked.faultChecks.push(checkFault(guest, name, device, write));
        }
        break;
      default:
    }
  }
  return checked;
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
  const none = { device: name, address: 0n, write, ran: false };
  if (!(device?.driver instanceof StubDriver)) return { ...none, error: NO_DEVICE };
  const result = guest.provokeFault(device, write);
  if (result === undefined) return { ...none, error: NO_DEVICE };
  const { address, ran, unchanged } = result;
  return {
    device: name,
    address,
    write,
    ran,
    ...(ran ? {} : { error: TIMEOUT }),
    ...(unchanged === undefined ? {} : { memoryUnchanged: unchanged }),
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
