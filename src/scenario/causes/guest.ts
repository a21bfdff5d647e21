import { hasFailed, type Cause, type CauseFinder } from '../cause.ts';
import { fromLog } from '../promise.ts';

/** What is known of a run that went wrong without firmware to blame. */
export const guest: CauseFinder = (facts) => {
  const { findings, observation } = facts;
  const causes: Cause[] = [];
  for (const [kind, id, words] of [
    ['panic', 'kernel-panic', 'the kernel panicked'],
    ['oops', 'kernel-oops', 'the kernel crashed'],
  ] as const) {
    const lines = findings.filter((finding) => finding.kind === kind).map(({ line }) => line);
    const [first] = lines;
    if (first === undefined) continue;
    causes.push({
      id,
      message: `${words}: ${first.text}`,
      endpoints: [],
      evidence: lines.slice(0, 4).map(fromLog),
    });
  }
  if (!observation.guest.started) causes.push(silent(observation.ending.detail));
  else if (!observation.guest.completed) causes.push(stopped(observation.ending.detail));
  if (
    observation.guest.completed &&
    observation.guest.iommus.length === 0 &&
    hasFailed(facts, 'viommus-present')
  ) {
    causes.push({
      id: 'no-iommu-driver',
      message: `the guest (${observation.guest.kernel ?? 'kernel unknown'}) registered no IOMMU at all: its virtio_iommu driver is missing or refused the device`,
      endpoints: [],
      cure: 'use a kernel with CONFIG_VIRTIO_IOMMU (Debian: 6.12 or newer)',
      evidence: findings
        .filter(({ kind }) => kind === 'iommu-driver')
        .slice(0, 3)
        .map(({ line }) => fromLog(line)),
    });
  }
  return causes;
};

function silent(detail: string): Cause {
  return {
    id: 'guest-silent',
    message: `the guest never came to its init script: ${detail}`,
    endpoints: [],
    evidence: [],
  };
}

function stopped(detail: string): Cause {
  return {
    id: 'guest-stopped',
    message: `the guest stopped in the middle of its checks: ${detail}`,
    endpoints: [],
    evidence: [],
  };
}

/** The last resort: the first failed promise, as it stands. */
export const unexplained: CauseFinder = ({ failures }) => {
  const [failure] = failures;
  const item = failure?.items.find(({ outcome }) => outcome === 'fail');
  if (failure === undefined || item === undefined) return [];
  return [
    {
      id: 'unexplained',
      message: `${item.subject}: expected ${item.expected}, seen ${item.seen} (${failure.id}); nothing in the firmware or the log explains it`,
      endpoints: item.endpoint === undefined ? [] : [item.endpoint],
      evidence: item.evidence,
    },
  ];
};
