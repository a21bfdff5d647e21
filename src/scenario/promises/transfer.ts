import type { Model } from '../../topology/index.ts';
import { expectedEndpoints, type ExpectedEndpoint } from '../expected.ts';
import { isAt } from '../names.ts';
import type { TransferObservation, TransferStep } from '../observation.ts';
import { failed, judged, unseen, type Item, type Promised } from '../promise.ts';

/** NICs that data is sent through in earnest. */
export function transferring(model: Model): ExpectedEndpoint[] {
  if (!model.guest.checks.includes('transfer')) return [];
  return expectedEndpoints(model).filter(
    ({ endpoint, works }) => works && endpoint.device?.kind === 'virtio-net',
  );
}

export const transferWorks: Promised = {
  id: 'transfer-works',
  title: 'DHCP, ping and a long TCP transfer each way through each NIC',
  explanation:
    "With `guest.checks: [transfer]`. The guest's own virtio-net driver gets an address by DHCP, pings, sends `guest.transfer-size` bytes over TCP to the peer inside this process, which answers with the CRC-32 of what arrived, and takes as many, whose CRC-32 it says. Both sums are known beforehand. That every byte went through the vIOMMU is for `accesses-mapped` to say.",
  judge: (model, { guest, skipped }) =>
    transferring(model).flatMap((expected): Item[] => {
      const parts = { subject: expected.label, endpoint: expected.id };
      const all = { ...parts, expected: `${model.guest.transferSize} bytes each way` };
      if (skipped.includes('transfer') || guest.transfers === undefined) {
        return [unseen({ ...all, seen: 'this backend does not try it' })];
      }
      const seen = guest.transfers.find(({ device }) => isAt(device, expected.endpoint.location));
      if (seen === undefined) return [failed({ ...all, seen: 'the guest did not come to it' })];
      return [
        leaseItem(seen, parts),
        pingItem(seen, parts),
        moved('sent', seen.sent, model.guest.transferSize, seen.reference.sent, parts),
        moved('taken', seen.taken, model.guest.transferSize, seen.reference.taken, parts),
      ];
    }),
};

type Parts = { readonly subject: string; readonly endpoint: string };

function leaseItem({ address, error }: TransferObservation, parts: Parts): Item {
  return judged(address !== undefined, {
    ...parts,
    expected: 'an address by DHCP',
    seen: address ?? error ?? 'none',
  });
}

function pingItem({ pinged, error }: TransferObservation, parts: Parts): Item {
  return judged(pinged, {
    ...parts,
    expected: 'an answer to ping',
    seen: pinged ? 'answered' : (error ?? 'no answer'),
  });
}

function moved(
  what: 'sent' | 'taken',
  step: TransferStep | undefined,
  size: bigint,
  crc: string,
  parts: Parts,
): Item {
  const all = { ...parts, expected: `${size} bytes ${what}, CRC-32 ${crc}` };
  if (step === undefined) return failed({ ...all, seen: 'the guest did not come to it' });
  if (step.error !== undefined) return failed({ ...all, seen: step.error });
  const { seconds } = step;
  const rate =
    seconds === undefined || seconds <= 0
      ? ''
      : `, ${(Number(size) / 1e6 / seconds).toFixed(0)} MB/s of the guest's time`;
  return judged(step.crc === crc, { ...all, seen: `CRC-32 ${step.crc}${rate}` });
}
