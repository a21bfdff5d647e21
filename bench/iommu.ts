/**
 * Speed of the vIOMMU next to a C peer that is built on the spot and run in turn with it.
 *
 *   sh bench/iommu.sh [--quick]
 *
 * MAP, UNMAP and look-ups at 1 k, 64 k and 1 M mappings, in one and in 64 domains, in ascending and
 * in random order; then whole requests through a virtqueue. The peer needs gcc, pkg-config and
 * GLib's headers (Debian: `sh bin/install-tools.sh gcc pkg-config libglib2.0-dev`); without them its
 * columns are empty.
 *
 * On our side a MAP is the look-up of the domain, the search for an overlap and the insertion, an
 * UNMAP the search for a split and the removal, a look-up the whole of `Translation.translate`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IommuDevice } from '../src/iommu/index.ts';
import { Domain } from '../src/iommu/domain.ts';
import { makeRequests, requestRate } from './iommu-requests.ts';

interface Figures {
  readonly map: number;
  readonly unmap: number;
  readonly sequential: number;
  readonly random: number;
  readonly bytes: number;
}

interface Case {
  readonly count: number;
  readonly domains: number;
  readonly order: 'ascending' | 'random';
}

const ACCESSES = 2_000_000;
const PAGE_BITS = 12;
/** Small cases are repeated until this many mappings were made, so that a clock can tell. */
const WORK = 400_000;
const quick = process.argv.includes('--quick');

let seed = 1;
function random(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}

function shuffle(list: Uint32Array): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random() % (i + 1);
    const kept = list[i] ?? 0;
    list[i] = list[j] ?? 0;
    list[j] = kept;
  }
}

const hiOf = (page: number): number => page >>> (32 - PAGE_BITS);
const loOf = (page: number): number => (page << PAGE_BITS) >>> 0;
const now = (): number => Number(process.hrtime.bigint());

function ours({ count, domains, order }: Case, accesses: number): Figures {
  const device = new IommuDevice({ bootBypass: false });
  const { state, translation } = device;
  for (let d = 0; d < domains; d++) {
    const endpoint = device.addEndpoint({ id: d + 1 });
    const domain = new Domain(d + 1, false);
    state.addDomain(domain);
    domain.add(endpoint);
  }
  const pages = Uint32Array.from({ length: count }, (_, i) => i);
  if (order === 'random') shuffle(pages);
  let start = now();
  for (let i = 0; i < count; i++) {
    const page = pages[i] as number;
    const tree = (state.domain((page % domains) + 1) as Domain).mappings;
    const hi = hiOf(page);
    const lo = loOf(page);
    if (tree.overlaps(hi, lo, hi, lo + 0xfff)) throw new Error('overlap');
    tree.insert(hi, lo, hi, lo + 0xfff, hi + 1, lo, 3);
  }
  const map = (now() - start) / count;
  let bytes = 0;
  for (const domain of state.domains.values()) bytes += domain.mappings.bytes;

  let sum = 0;
  start = now();
  for (let i = 0; i < accesses; i++) {
    const page = i % count;
    const outcome = translation.translate((page % domains) + 1, hiOf(page), loOf(page), 4, 1);
    sum += outcome + translation.physLo;
  }
  const sequential = (now() - start) / accesses;

  const targets = Uint32Array.from({ length: accesses }, () => random() % count);
  start = now();
  for (let i = 0; i < accesses; i++) {
    const page = targets[i] as number;
    const outcome = translation.translate((page % domains) + 1, hiOf(page), loOf(page), 4, 1);
    sum += outcome + translation.physLo;
  }
  const randomly = (now() - start) / accesses;
  if (!Number.isFinite(sum)) throw new Error('no sum');

  if (order === 'random') shuffle(pages);
  start = now();
  for (let i = 0; i < count; i++) {
    const page = pages[i] as number;
    const tree = (state.domain((page % domains) + 1) as Domain).mappings;
    const hi = hiOf(page);
    const lo = loOf(page);
    if (tree.wouldSplit(hi, lo, hi, lo + 0xfff)) throw new Error('split');
    if (tree.removeWithin(hi, lo, hi, lo + 0xfff) !== 1) throw new Error('not removed');
  }
  const unmap = (now() - start) / count;
  return { map, unmap, sequential, random: randomly, bytes: bytes / count };
}

/** Where the peer was built, or why not. */
function buildPeer(dir: string): string | undefined {
  const flags = spawnSync('pkg-config', ['--cflags', '--libs', 'glib-2.0'], { encoding: 'utf8' });
  const binary = join(dir, 'iommu-peer');
  const source = join(import.meta.dirname, 'iommu-peer.c');
  const args = ['-O2', '-o', binary, source, ...(flags.stdout ?? '').trim().split(/\s+/)];
  const made = flags.status === 0 ? spawnSync('gcc', args, { encoding: 'utf8' }) : undefined;
  if (made?.status === 0) return binary;
  console.log('No C peer: needs gcc, pkg-config and libglib2.0-dev.');
  console.log(made?.stderr ?? flags.stderr ?? '');
  return undefined;
}

function theirs(binary: string, { count, domains, order }: Case, accesses: number): Figures {
  const args = [count, domains, order, seed, accesses].map(String);
  const { stdout, status, stderr } = spawnSync(binary, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the peer failed: ${stderr}`);
  const [map = 0, unmap = 0, sequential = 0, randomly = 0, bytes = 0] = stdout
    .split(' ')
    .map(Number);
  return { map, unmap, sequential, random: randomly, bytes };
}

function median(runs: readonly Figures[]): Figures {
  const middle = (key: keyof Figures): number =>
    runs.map((run) => run[key]).toSorted((a, b) => a - b)[runs.length >> 1] ?? 0;
  return {
    map: middle('map'),
    unmap: middle('unmap'),
    sequential: middle('sequential'),
    random: middle('random'),
    bytes: middle('bytes'),
  };
}

function show(name: string, us: Figures, them: Figures | undefined): void {
  const cell = (key: keyof Figures): string => {
    const own = us[key].toFixed(0).padStart(6);
    const other = them === undefined ? '' : them[key].toFixed(0).padStart(6);
    const ratio = them === undefined ? '' : (us[key] / them[key]).toFixed(2).padStart(6);
    return `${own}${other}${ratio}`;
  };
  const keys = ['map', 'unmap', 'sequential', 'random', 'bytes'] as const;
  console.log(`${name.padEnd(30)}${keys.map(cell).join('  ')}`);
}

function trees(binary: string | undefined): void {
  const heads = ['MAP ns', 'UNMAP ns', 'sequential ns', 'random ns', 'bytes/mapping'];
  console.log(`ours, C, ratio${' '.repeat(16)}${heads.map((h) => h.padStart(18)).join('  ')}`);
  const accesses = quick ? 200_000 : ACCESSES;
  ours({ count: 100_000, domains: 3, order: 'random' }, 200_000);
  for (const count of quick ? [1_000, 64_000] : [1_000, 64_000, 1_000_000]) {
    for (const domains of [1, 64]) {
      for (const order of ['ascending', 'random'] as const) {
        const one = { count, domains, order };
        const repeat = Math.max(3, Math.min(101, Math.round(WORK / count)));
        const us: Figures[] = [];
        const them: Figures[] = [];
        const each = Math.min(accesses, Math.max(50_000, count * 2));
        for (let i = 0; i < repeat; i++) {
          us.push(ours(one, each));
          if (binary !== undefined) them.push(theirs(binary, one, each));
        }
        const peer = them.length > 0 ? median(them) : undefined;
        show(`${count} in ${domains}, ${order}`, median(us), peer);
      }
    }
  }
}

const dir = mkdtempSync(join(tmpdir(), 'viommu-bench-'));
try {
  trees(buildPeer(dir));
} finally {
  rmSync(dir, { recursive: true });
}
for (const ring of ['split', 'packed'] as const) {
  const best = Math.max(...[0, 1, 2, 3, 4].map(() => requestRate(makeRequests(ring), quick)));
  console.log(
    `requests through a ${ring} virtqueue: ${Math.round(best)}/s (MAP and UNMAP in turn)`,
  );
}
