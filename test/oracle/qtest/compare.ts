import type { Canary } from '../../../src/iommu/index.ts';
import { VIRTIO_IOMMU_REQ_TAIL } from '../../../src/spec/virtio-iommu.ts';
import { VIRTIO_F_RING_PACKED } from '../../../src/spec/virtio.ts';
import { featureBits } from '../../../src/virtio/index.ts';
import { probeBytes } from '../../support/iommu-rig.ts';
import { QtestBoard } from '../../support/qtest-board.ts';
import { Random } from '../../sim/random.ts';
import { REQUEST_DEVIATIONS, type Deviation } from './deviations.ts';
import {
  ACCESS_DEVIATIONS,
  BREAKING_DEVIATIONS,
  FATAL_DEVIATIONS,
  RING_DEVIATIONS,
} from './other-deviations.ts';
import { MSI } from './layout.ts';
import { Ours } from './ours.ts';
import { Round, type World } from './round.ts';
import { Side, type Answer, type Wire } from './side.ts';

/** What a comparison can meet without an end of QEMU. */
export const DEVIATIONS: readonly Deviation[] = [
  ...REQUEST_DEVIATIONS,
  ...Object.values(ACCESS_DEVIATIONS),
  ...Object.values(RING_DEVIATIONS),
  ...Object.values(BREAKING_DEVIATIONS),
];

export const ALL_DEVIATIONS: readonly Deviation[] = [
  ...DEVIATIONS,
  ...Object.values(FATAL_DEVIATIONS),
];

export interface CompareOptions {
  readonly seed: number;
  /** Requests in all; rounds are never cut short. */
  readonly count: number;
  /** First round, to repeat one. */
  readonly round?: number;
  /** A bug to plant in ours. */
  readonly canary?: Canary;
}

export interface Comparison {
  readonly requests: number;
  readonly accesses: number;
  readonly rounds: number;
  readonly milliseconds: number;
  /** How often each deviation showed itself. */
  readonly used: ReadonlyMap<string, number>;
  /** How often ours answered what: `map 0` is MAP with OK. */
  readonly answers: ReadonlyMap<string, number>;
}

/** How a QEMU ended that got one request too many. */
export interface Outlived {
  readonly mine: readonly (Answer | undefined)[];
  readonly theirs: readonly (Answer | undefined)[];
  /** Undefined: it did not end. */
  readonly end: string | undefined;
  readonly log: string;
}

const ROUND = 2_000;
const EDUS = 4;
/** Seconds, far more than it takes: to start, and for each request. */
const START_TIME = 120;
const REQUEST_TIME = 0.02;

/** Runs our device and QEMU's beside each other. @throws Error at the first difference in no list */
export async function compare(options: CompareOptions): Promise<Comparison> {
  const { seed, count, round = 0, canary } = options;
  const board = await startBoard(START_TIME + Math.ceil(count * REQUEST_TIME));
  const used = new Map<string, number>();
  const answers = new Map<string, number>();
  const started = performance.now();
  let [requests, accesses, rounds] = [0, 0, 0];
  try {
    const world = makeWorld(board);
    world.ours.device.state.canary = canary;
    for (; requests < count; rounds++) {
      const one = new Round(world, new Random(seed, round + rounds), (id) =>
        used.set(id, (used.get(id) ?? 0) + 1),
      );
      try {
        one.run(ROUND);
      } catch (error) {
        const replay = `QTEST_SEED=${seed} QTEST_ROUND=${round + rounds} QTEST_COUNT=1`;
        throw new Error(`${String(error)}\nagain with ${replay}\nQEMU: ${board.qtest.log}`, {
          cause: error,
        });
      }
      requests += one.requests;
      accesses += one.accesses;
      for (const [key, times] of one.answers) answers.set(key, (answers.get(key) ?? 0) + times);
      // The client is synchronous: others get their turn here.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    await board.close();
  }
  return { requests, accesses, rounds, milliseconds: performance.now() - started, used, answers };
}

function startBoard(timeLimit: number): Promise<QtestBoard> {
  return QtestBoard.start({ edus: EDUS, viommu: 'packed=on', memory: 64, timeLimit });
}

/**
 * Sends the same requests to ours and to a QEMU that is expected not to answer the last of them.
 *
 * @param seconds until a QEMU that hangs is killed
 */
export async function outlive(wires: readonly Wire[], seconds: number): Promise<Outlived> {
  const board = await startBoard(seconds);
  try {
    const { ours, theirs } = makeWorld(board);
    const mine = wires.map((wire) => ours.exchange([wire])[0]);
    const answered: (Answer | undefined)[] = [];
    try {
      for (const wire of wires) answered.push(...theirs.exchange([wire]));
    } catch (error) {
      return { mine, theirs: answered, end: String(error), log: board.qtest.log };
    }
    return { mine, theirs: answered, end: undefined, log: board.qtest.log };
  } finally {
    await board.close();
  }
}

function makeWorld({ qtest, transport, edus, functions }: QtestBoard): World {
  const theirs = new Side('QEMU', transport, {
    push: (at, bytes) => qtest.writeMemory(at, bytes),
    pull: (at, into) => qtest.readMemory(at, into),
  });
  transport.status = 0;
  const features = transport.deviceFeatures();
  const options = { config: theirs.config(), features, endpoints: functions, msi: MSI };
  const ours = new Ours(options);
  const { probeSize } = ours.device.state.settings;
  const writable = probeSize + VIRTIO_IOMMU_REQ_TAIL.size;
  for (const side of [ours, theirs]) {
    side.boot(features & ours.transport.deviceFeatures() & ~featureBits(VIRTIO_F_RING_PACKED));
  }
  const cuts = { readable: [], writable: [] };
  const wire = { readable: probeBytes(functions[0] ?? 0), writable, cuts, indirect: false };
  const [answer] = ours.exchange([wire]);
  const properties = answer?.bytes.slice(0, probeSize) ?? new Uint8Array(probeSize);
  return { ours, theirs, edus, endpoints: functions, properties };
}
