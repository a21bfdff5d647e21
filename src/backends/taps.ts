import { EnvironmentError } from '../guest/index.ts';
import type { Observation } from '../scenario/index.ts';
import { openTap, TapUnavailable, type Tap, type TapSys } from '../vfio-user/index.ts';
import type { PlanOptions } from './plan.ts';

/** A NIC of the topology on a TAP interface of the host. */
export interface TapAttachment {
  /** The endpoint, a virtio-net. */
  readonly endpoint: string;
  /** The interface. */
  readonly tap: string;
  /** What the guest gives itself, with prefix length. */
  readonly address: string;
  /** Whom it pings: the host, or somebody behind it. */
  readonly peer: string;
}

/** What an attachment is when nobody says: the addresses of the peer inside the process. */
export const TAP_ADDRESS = '10.0.2.15/24';
export const TAP_PEER = '10.0.2.2';

/** One that is open. */
export interface OpenTap {
  readonly attachment: TapAttachment;
  readonly tap: Tap;
}

/**
 * Opens all of them, or none.
 *
 * @throws EnvironmentError
 */
export function openTaps(attachments: readonly TapAttachment[], sys?: TapSys): OpenTap[] {
  const taps: OpenTap[] = [];
  try {
    for (const attachment of attachments) {
      taps.push({ attachment, tap: openTap(attachment.tap, sys) });
    }
  } catch (error) {
    closeTaps(taps);
    if (!(error instanceof TapUnavailable)) throw error;
    throw new EnvironmentError('env/tap-unavailable', error.message, error.cure, { cause: error });
  }
  return taps;
}

export function closeTaps(taps: readonly OpenTap[]): void {
  for (const { tap } of taps) tap.close();
}

/** What the guest is to do otherwise: behind a TAP interface there need be neither DHCP nor our peer. */
export function tapPlan(
  taps: readonly TapAttachment[] | undefined,
): Pick<PlanOptions, 'skipped' | 'addresses'> {
  if (taps === undefined || taps.length === 0) return {};
  return {
    skipped: ['transfer'],
    addresses: new Map(
      taps.map(({ endpoint, address, peer }) => [endpoint, { address, target: peer }]),
    ),
  };
}

/** The observation of such a run. */
export function withTaps(
  observation: Observation,
  taps: readonly TapAttachment[],
  troubles: readonly string[],
  isEmulator: boolean,
): Observation {
  const { environment, skipped } = observation;
  const { command, notes } = environment;
  const options = taps.flatMap((one) => ['--net', tapOption(one)]);
  return {
    ...observation,
    skipped: [...skipped, 'transfer'],
    environment: {
      ...environment,
      ...(command === undefined ? {} : { command: [...command, ...options] }),
      notes: [
        ...notes,
        ...taps.map(
          ({ endpoint, tap, address, peer }) =>
            `${endpoint} is on the TAP interface ${tap}, as ${address}, and pings ${peer}`,
        ),
        isEmulator
          ? 'the run is in real time, and depends on what the host sends: another may differ'
          : 'the run depends on what the host sends: another may differ',
        ...troubles,
      ],
    },
  };
}

/** As the command line has it. */
function tapOption({ endpoint, tap, address, peer }: TapAttachment): string {
  const addresses =
    address === TAP_ADDRESS && peer === TAP_PEER ? '' : `,ip=${address},peer=${peer}`;
  return `tap=${tap},endpoint=${endpoint}${addresses}`;
}
