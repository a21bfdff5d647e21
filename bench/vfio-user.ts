/**
 * What a guest's disk costs behind our vIOMMU, served over vfio-user, next to QEMU's own devices.
 *
 *   npm run bench:vfio-user [-- --rounds N --events --profile FILE --only ours]
 *
 * Four guests of the same kernel in the same QEMU (TCG, q35) wait on their consoles: our virtio-iommu
 * and virtio-blk, QEMU's, and each pair's disk without a vIOMMU. They are given the same work in turn,
 * so that whatever else the machine does falls on all of them.
 *
 * A MAP or UNMAP costs what the vIOMMU adds to 4 KiB reads, divided by the requests that our device
 * counted for them; QEMU's is asked for the same ones. Exit code 1 when a goal is missed.
 */
import { parseArgs } from 'node:util';

import { Site, type Guest, type Kind } from './vfio-user-guests.ts';

interface Work {
  readonly name: string;
  readonly command: string;
  /** The guest's cache is emptied before. */
  readonly cold?: boolean;
  /** Of our time to QEMU's, at most. */
  readonly goal?: number;
}

const SMALL = 'read 4 KiB direct, 2000 times';
const WORK: readonly Work[] = [
  { name: 'read 64 MiB, first', command: 'read 64 1M', cold: true, goal: 1.2 },
  { name: 'read 64 MiB, again', command: 'read 64 1M', cold: true, goal: 1.2 },
  { name: SMALL, command: 'read 2000 4k iflag=direct', goal: 1.5 },
  { name: 'read 64 KiB direct, 500 times', command: 'read 500 64k iflag=direct' },
  { name: 'write 32 MiB and flush', command: 'write 32 1M conv=fsync' },
];
const KINDS: readonly Kind[] = [
  { devices: 'ours', iommu: true },
  { devices: 'QEMU', iommu: true },
  { devices: 'ours', iommu: false },
  { devices: 'QEMU', iommu: false },
];
/** Microseconds of a MAP or UNMAP, at most. */
const REQUEST_GOAL = 30;

interface Sample {
  readonly seconds: number;
  /** MAP and UNMAP requests, where they can be counted, and how many notifications they took. */
  readonly requests: number;
  readonly kicks: number;
  /** Seconds that our server ran, and waited for a core. */
  readonly ran: number;
  readonly waited: number;
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    events: { type: 'boolean', default: false },
    profile: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
  },
});

async function measure(guest: Guest, { command, cold }: Work): Promise<Sample> {
  if (cold === true) await guest.run('drop');
  const before = await guest.counters();
  const seconds = await guest.time(command);
  const after = await guest.counters();
  const grown = (key: keyof NonNullable<typeof after>): number =>
    (after?.[key] ?? 0) - (before?.[key] ?? 0);
  return {
    seconds,
    requests: grown('maps') + grown('unmaps'),
    kicks: grown('kicks'),
    ran: grown('ran'),
    waited: grown('waited'),
  };
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  return low + ((sorted[Math.ceil(at)] ?? low) - low) * (at % 1);
}
const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Samples by guest and work, a list of rounds each. */
const samples = new Map<string, Sample[]>();
function of(devices: Kind['devices'], iommu: boolean, work: string): readonly Sample[] {
  return samples.get(`${devices} ${iommu} ${work}`) ?? [];
}

function cell(list: readonly Sample[]): string {
  const seconds = list.map((sample) => sample.seconds * 1000);
  const [low, middle, high] = [0, 0.5, 1].map((part) => quantile(seconds, part).toFixed(0));
  return `${middle} (${low}-${high})`.padStart(20);
}

/** The median of each round's ratio: what the machine did in a round falls on both. */
function ratio(a: readonly Sample[], b: readonly Sample[]): number {
  return median(a.map(({ seconds }, round) => seconds / (b[round]?.seconds ?? Number.NaN)));
}

function verdict(value: number, goal: number | undefined): string {
  if (goal === undefined) return '';
  return `  goal ${goal.toFixed(1)}: ${value <= goal ? 'met' : 'MISSED'}`;
}

function report(): boolean {
  let met = true;
  console.log(`\nmilliseconds: median (least-most); ratio: median of the rounds' ratios`);
  for (const iommu of [true, false]) {
    const heads = ['ours', 'QEMU', 'ratio'].map((head, i) => head.padStart(i < 2 ? 20 : 7));
    console.log(`${(iommu ? 'behind the vIOMMU' : 'without one').padEnd(32)}${heads.join('')}`);
    for (const { name, goal } of WORK) {
      const [ours, theirs] = [of('ours', iommu, name), of('QEMU', iommu, name)];
      const value = ratio(ours, theirs);
      const wanted = iommu ? goal : undefined;
      if (wanted !== undefined && !(value <= wanted)) met = false;
      const line = `${cell(ours)}${cell(theirs)}${value.toFixed(2).padStart(7)}`;
      console.log(`${name.padEnd(32)}${line}${verdict(value, wanted)}`);
    }
  }
  console.log('\nin our server, behind the vIOMMU (medians)');
  for (const { name } of WORK) {
    const list = of('ours', true, name);
    const middle = (value: (sample: Sample) => number): number => median(list.map(value));
    const requests = middle((sample) => sample.requests);
    console.log(
      `${name.padEnd(32)}${requests} MAP and UNMAP, ${middle((sample) => sample.kicks)} notifications; ` +
        `ran ${(middle((sample) => sample.ran) * 1000).toFixed(0)} ms, ` +
        `waited for a core ${(middle((sample) => sample.waited) * 1000).toFixed(0)} ms`,
    );
  }
  const cost = (devices: Kind['devices']): number => {
    const counted = of('ours', true, SMALL);
    const without = of(devices, false, SMALL);
    return median(
      of(devices, true, SMALL).map(({ seconds }, round) => {
        const added = seconds - (without[round]?.seconds ?? Number.NaN);
        return (added * 1e6) / (counted[round]?.requests ?? Number.NaN);
      }),
    );
  };
  const own = cost('ours');
  console.log(
    `\na MAP or UNMAP adds to 4 KiB reads: ours ${own.toFixed(1)} us, QEMU's ${cost('QEMU').toFixed(1)} us` +
      `  goal ${REQUEST_GOAL}: ${own <= REQUEST_GOAL ? 'met' : 'MISSED'}`,
  );
  return met && own <= REQUEST_GOAL;
}

const site = await Site.prepare();
const guests: Guest[] = [];
try {
  const kinds = KINDS.filter(({ devices }) => options.only === '' || devices === options.only);
  for (const kind of kinds) guests.push(await site.start(kind, options));
  const { major, minor, micro } = site.qemu.version;
  console.log(
    `QEMU ${major}.${minor}.${micro}, TCG, q35; Linux ${site.release}; Node ${process.version}; ${options.rounds} rounds`,
  );
  for (const guest of guests) {
    const groups = await guest.run('groups');
    if (groups.includes('0000:00:02.0') !== guest.kind.iommu) {
      throw new Error(`${guest.name}: the disk is in the wrong IOMMU group\n${groups}`);
    }
  }
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const work of WORK) {
      // Whoever is first in a round is not always the same.
      const turn = round % 2 === 0 ? guests : guests.toReversed();
      for (const guest of turn) {
        const sample = await measure(guest, work);
        const key = `${guest.kind.devices} ${guest.kind.iommu} ${work.name}`;
        // The first round warms caches and compilers up.
        if (round > 0) samples.set(key, [...(samples.get(key) ?? []), sample]);
      }
    }
  }
  if (!report()) process.exitCode = 1;
} finally {
  for (const guest of guests) await guest.end();
  await site.remove();
}
