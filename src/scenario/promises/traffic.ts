import { expectedEndpoints, type ExpectedEndpoint } from '../expected.ts';
import { isAt } from '../names.ts';
import type { DiskObservation, Observation } from '../observation.ts';
import { failed, judged, passed, unseen, type Item, type Promised } from '../promise.ts';
import type { Model } from '../../topology/index.ts';

const DISKS = new Set(['virtio-blk', 'nvme']);
const NICS = new Set(['virtio-net', 'e1000e']);

function ofKind(model: Model, kinds: ReadonlySet<string>): ExpectedEndpoint[] {
  return expectedEndpoints(model).filter(({ endpoint }) => kinds.has(endpoint.device?.kind ?? ''));
}

function at<T extends { readonly device: string }>(
  list: readonly T[],
  { endpoint }: ExpectedEndpoint,
): T | undefined {
  return list.find(({ device }) => isAt(device, endpoint.location));
}

function short(sha256: string): string {
  return sha256.slice(0, 12);
}

/** Turns the outcome round for an endpoint that is expected not to work. */
function asExpected(expected: ExpectedEndpoint, item: Item): Item {
  if (expected.works || item.outcome === 'not-observable') return item;
  const outcome = item.outcome === 'pass' ? 'fail' : 'pass';
  return { ...item, outcome, expected: 'that it does not work (expect.works: false)' };
}

function untested(observation: Observation, parts: Parts): Item {
  return observation.guest.completed
    ? failed({ ...parts, seen: 'the guest found no such device to test' })
    : failed({ ...parts, seen: `not tested: ${observation.ending.detail}` });
}

interface Parts {
  readonly subject: string;
  readonly endpoint: string;
  readonly expected: string;
}

export const disksRead: Promised = {
  id: 'disks-read',
  title: 'data read from each disk has the right checksum',
  explanation:
    "The guest reads the disk past its page cache and the sha256 of what it got is that of the disk's content.",
  judge: (model, observation) =>
    ofKind(model, DISKS).map((expected) => {
      const parts = {
        subject: expected.label,
        endpoint: expected.id,
        expected: 'the content of the disk',
      };
      const disk = at(observation.guest.disks, expected);
      return asExpected(
        expected,
        disk === undefined ? untested(observation, parts) : judgeRead(disk, parts),
      );
    }),
};

function judgeRead(disk: DiskObservation, parts: Parts): Item {
  const { read, referenceSha256, error } = disk;
  if (read === undefined) return failed({ ...parts, seen: error ?? 'nothing could be read' });
  const seen = `${read.bytes} bytes, sha256 ${short(read.sha256)}…`;
  if (referenceSha256 === undefined) {
    return unseen({ ...parts, seen: `${seen}; the content is not known` });
  }
  const wanted = { ...parts, expected: `sha256 ${short(referenceSha256)}…` };
  return judged(read.sha256 === referenceSha256, { ...wanted, seen });
}

export const disksWrite: Promised = {
  id: 'disks-write',
  title: 'data written to each disk arrives',
  explanation:
    'The guest writes a block, reads it back past its page cache, and where the backend can look at the backing file, the block is there as well.',
  judge: (model, observation) =>
    ofKind(model, DISKS).flatMap((expected): Item[] => {
      const parts = {
        subject: expected.label,
        endpoint: expected.id,
        expected: 'the block that was written',
      };
      const disk = at(observation.guest.disks, expected);
      const item =
        disk === undefined
          ? untested(observation, parts)
          : disk.write === undefined
            ? failed({ ...parts, seen: disk.error ?? 'no write was tried' })
            : judgeWrite(disk.write, parts);
      return [asExpected(expected, item)];
    }),
};

function judgeWrite(write: NonNullable<DiskObservation['write']>, parts: Parts): Item {
  const { sha256, readBackSha256, backingSha256 } = write;
  if (readBackSha256 !== sha256) {
    return failed({
      ...parts,
      seen: `${readBackSha256 === undefined ? 'nothing' : 'something else'} read back`,
    });
  }
  if (backingSha256 === undefined) return passed({ ...parts, seen: 'read back' });
  return judged(backingSha256 === sha256, {
    ...parts,
    seen:
      backingSha256 === sha256
        ? 'read back, and in the backing file'
        : 'read back, but not in the backing file',
  });
}

export const nicsPass: Promised = {
  id: 'nics-pass-traffic',
  title: 'each NIC passes traffic',
  explanation:
    'The guest sends through the NIC and gets an answer: both rings and their buffers were reached by DMA.',
  judge: (model, observation) =>
    ofKind(model, NICS).map((expected) => {
      const parts = { subject: expected.label, endpoint: expected.id, expected: 'an answer' };
      const nic = at(observation.guest.nics, expected);
      if (nic === undefined) return asExpected(expected, untested(observation, parts));
      const counts =
        nic.sent === undefined && nic.received === undefined
          ? ''
          : ` (${nic.sent ?? '?'} packets out, ${nic.received ?? '?'} in)`;
      const seen = nic.ok
        ? `${nic.method} answered${counts}`
        : (nic.error ?? `no answer to ${nic.method}`);
      return asExpected(expected, judged(nic.ok, { ...parts, seen }));
    }),
};

export const driversBound: Promised = {
  id: 'drivers-bound',
  title: 'the driver of each device is bound, none is left waiting',
  explanation:
    'A device that waits for an IOMMU that never comes (a VIOT that names the wrong device, say) is deferred for ever: its driver never binds, and nothing else is said.',
  judge: (model, observation) =>
    expectedEndpoints(model)
      .filter((expected) => expected.endpoint.device?.kind !== 'generic')
      .flatMap((expected): Item[] => {
        const parts = {
          subject: expected.label,
          endpoint: expected.id,
          expected: 'a driver bound',
        };
        const { guest } = observation;
        const device = at(
          guest.devices.map((one) => ({ ...one, device: one.name })),
          expected,
        );
        const waiting = at(guest.deferred, expected);
        if (waiting !== undefined) {
          return [asExpected(expected, failed({ ...parts, seen: `deferred: ${waiting.reason}` }))];
        }
        if (device === undefined) {
          if (guest.devices.length === 0) {
            return [unseen({ ...parts, seen: 'the guest did not come to list its devices' })];
          }
          return [asExpected(expected, failed({ ...parts, seen: 'the guest has no such device' }))];
        }
        if (!NEEDS_DRIVER.has(expected.endpoint.device?.kind ?? '')) return [];
        return [
          asExpected(
            expected,
            judged(device.driver !== undefined, { ...parts, seen: device.driver ?? 'no driver' }),
          ),
        ];
      }),
};

/** Kinds that a stock kernel drives; the others are worked through sysfs by the init script. */
const NEEDS_DRIVER = new Set(['virtio-blk', 'virtio-net', 'virtio-rng', 'nvme', 'e1000e', 'xhci']);
