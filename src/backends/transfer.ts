import { crc32 } from 'node:zlib';
import { patternCrc32 } from '../endpoints/index.ts';
import type { GuestAction, GuestReport } from '../guest/index.ts';
import { transferring, type TransferObservation, type TransferStep } from '../scenario/index.ts';
import type { Endpoint, Model } from '../topology/index.ts';

/** The block that the guest sends over and over: `seed` and a newline, as `yes` prints them. */
const BLOCK_BYTES = 64 * 1024;
/** Seconds of the guest's time for one direction: 1 MB/s would do. */
const SECONDS_LEAST = 60;

/** How a plan calls an endpoint. */
type PlanName = (endpoint: Endpoint) => string | undefined;

/** The guest's actions for a topology's transfers. */
export function transfers(model: Model, planName: PlanName): GuestAction[] {
  return transferring(model).flatMap(({ endpoint }): GuestAction[] => {
    const at = planName(endpoint);
    if (at === undefined) return [];
    const bytes = Number(model.guest.transferSize);
    const timeout = Math.max(SECONDS_LEAST, Math.ceil(bytes / 1e6));
    return [{ verb: 'transfer', at, bytes, seed: endpoint.id, timeout }];
  });
}

/** CRC-32 of what a guest with that seed sends. */
export function sentCrc32(seed: string, bytes: bigint): string {
  const block = Buffer.alloc(BLOCK_BYTES, `${seed}\n`);
  let sum = 0;
  for (let left = bytes; left > 0n; left -= BigInt(BLOCK_BYTES)) {
    sum = crc32(left < BLOCK_BYTES ? block.subarray(0, Number(left)) : block, sum);
  }
  return sum.toString(16).padStart(8, '0');
}

/** The steps of the guest's report, NIC by NIC. */
export function transfersOf(
  model: Model,
  { results }: GuestReport,
  planName: PlanName,
  linuxName: (at: string) => string,
): TransferObservation[] {
  return transferring(model).flatMap(({ id, endpoint }): TransferObservation[] => {
    const at = planName(endpoint);
    const steps = new Map<string, ReadonlyMap<string, string>>();
    for (const result of results) {
      if (result.verb === 'transfer' && result.at === at) {
        steps.set(result.fields.get('step') ?? '', result.fields);
      }
    }
    const lease = steps.get('dhcp');
    if (at === undefined || lease === undefined) return [];
    const address = lease.get('address') ?? '';
    const error = trouble(lease);
    const sent = stepOf(steps.get('send'));
    const taken = stepOf(steps.get('take'));
    return [
      {
        device: linuxName(at),
        ...(address === '' ? {} : { address }),
        ...(error === undefined ? {} : { error }),
        pinged: steps.get('ping')?.get('status') === '0',
        ...(sent === undefined ? {} : { sent }),
        ...(taken === undefined ? {} : { taken }),
        reference: {
          sent: sentCrc32(id, model.guest.transferSize),
          taken: patternCrc32(model.guest.transferSize),
        },
      },
    ];
  });
}

function stepOf(fields: ReadonlyMap<string, string> | undefined): TransferStep | undefined {
  if (fields === undefined) return undefined;
  const error = trouble(fields);
  const seconds = Number(fields.get('to')) - Number(fields.get('from'));
  return {
    crc: fields.get('crc') ?? '',
    ...(Number.isFinite(seconds) ? { seconds } : {}),
    ...(error === undefined ? {} : { error }),
  };
}

function trouble(fields: ReadonlyMap<string, string>): string | undefined {
  const status = fields.get('status') ?? '';
  if (status === '0') return undefined;
  const error = fields.get('error') ?? '';
  return error === '' ? (status === 'timeout' ? 'timeout' : `exit code ${status}`) : error;
}
