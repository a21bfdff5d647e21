import type { Canary } from '../../src/iommu/index.ts';
import {
  attachBytes,
  detachBytes,
  mapBytes,
  unmapBytes,
  type Framing,
} from '../support/iommu-rig.ts';
import { meet, type ModelRequest } from './model.ts';
import { Random } from './random.ts';
import { Difference, ENDPOINTS, LAST, same, World } from './world.ts';

export interface SimulationOptions {
  /** Bug to be planted. */
  readonly canary?: Canary | undefined;
  /** Steps to leave out, for shrinking. */
  readonly skip?: ReadonlySet<number>;
  readonly onProgress?: (step: number) => void;
}

export interface SimulationFailure {
  readonly step: number;
  readonly message: string;
}

/** vIOMMUs of one machine; they must not notice each other. */
const WORLDS = 3;
const ERRNOS = ['EIO', 'ENOMEM', 'ENOSPC', 'EBUSY'] as const;

/** Runs `steps` steps; undefined when device and model agreed in all of them. */
export function simulate(
  seed: number,
  steps: number,
  options: SimulationOptions = {},
): SimulationFailure | undefined {
  const worlds = Array.from({ length: WORLDS }, (_, i) => new World(i, options.canary));
  for (let step = 0; step < steps; step++) {
    if (options.skip?.has(step)) continue;
    const random = new Random(seed, step);
    const world = random.pick(worlds);
    try {
      oneStep(world, random);
      world.check();
      if (step % 64 === 0) for (const each of worlds) each.checkAll();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof Difference) return { step, message };
      return { step, message: `thrown: ${message}` };
    }
    if (step % 10_000 === 0) options.onProgress?.(step);
  }
  return undefined;
}

function oneStep(world: World, random: Random): void {
  const kind = random.below(1000);
  if (kind < 560) requestStep(world, random);
  else if (kind < 860) accessStep(world, random);
  else if (kind < 900) hostileStep(world, random);
  else if (kind < 930) inFlightStep(world, random);
  else if (kind < 950) world.giveBuffer(random.chance(1, 2));
  else if (kind < 960) bypassStep(world, random);
  else if (kind < 975) hostFailureStep(world, random);
  else if (kind < 985) probeStep(world, random);
  else if (kind < 994) world.migrate();
  else world.reboot(random.chance(1, 3));
  world.checkReports();
}

/** Few pages, at the bottom, around 2^32, in the MSI window and at the very top: they meet often. */
function page(random: Random): bigint {
  const near = BigInt(random.below(12));
  const place = random.below(10);
  if (place < 6) return near << 12n;
  if (place < 7) return (1n << 32n) + ((near - 6n) << 12n);
  if (place < 8) return 0xfee0_0000n + ((near - 4n) << 12n);
  return LAST + 1n - ((near + 1n) << 12n);
}

function someRequest(random: Random): ModelRequest {
  const start = page(random);
  const pages = BigInt(1 + random.below(3));
  let end = start + (pages << 12n) - 1n;
  if (end > LAST || random.chance(1, 60)) end = LAST;
  const odd = random.chance(1, 40);
  const op = random.pick(['attach', 'attach', 'detach', 'map', 'map', 'map', 'unmap', 'unmap']);
  const attach = op === 'attach';
  return {
    op: op as ModelRequest['op'],
    domain: random.below(attach ? 8 : 6),
    endpoint: random.chance(1, 30) ? 0x2_0001 : random.pick(ENDPOINTS).id,
    start: odd ? start + BigInt(random.below(0x1000)) : start,
    end: random.chance(1, 40) ? BigInt.asUintN(64, end - BigInt(random.below(0x3000))) : end,
    phys: random.chance(1, 20)
      ? LAST - (BigInt(random.below(4)) << 12n) - 0xfffn
      : BigInt(0xe0 + random.below(16)) << 12n,
    flags: attach
      ? random.pick([0, 0, 0, 0, 1, 1, 2])
      : random.pick([3, 3, 3, 1, 2, 0, 7, 8, 0x8000_0003]),
    reserved: random.chance(1, 40),
  };
}

function bytesOf(request: ModelRequest): Uint8Array {
  const { domain, endpoint, start, end, phys, flags, reserved } = request;
  const set = (size: number): Uint8Array => new Uint8Array(size).fill(reserved ? 0xff : 0);
  const at = (value: bigint): bigint => BigInt.asUintN(64, value);
  switch (request.op) {
    case 'attach':
      return attachBytes(domain, endpoint, { flags, reserved: set(4) });
    case 'detach':
      return detachBytes(domain, endpoint, { reserved: set(8) });
    case 'map':
      return mapBytes(domain, at(start), at(end), phys, flags >>> 0);
    default:
      return unmapBytes(domain, at(start), at(end), { reserved: set(4) });
  }
}

function framingOf(random: Random): Framing {
  return { cut: random.pick([1000, 1000, 1000, 16, 5]), indirect: random.chance(1, 4) };
}

/** As `someRequest`, but an UNMAP is often of something that is there. */
function likelyRequest(world: World, random: Random): ModelRequest {
  const request = someRequest(random);
  const target = world.model.domains.get(request.domain);
  if (request.op !== 'unmap' || !target?.mappings.length || random.chance(1, 3)) return request;
  const { start, end } = random.pick(target.mappings);
  return { ...request, start, end };
}

function requestStep(world: World, random: Random): void {
  const request = likelyRequest(world, random);
  const status = world.model.judge(request);
  const answer = world.rig.send(bytesOf(request), 4, framingOf(random));
  world.seen();
  same(`used length of ${describe(request)}`, answer.used, 4);
  same(`status of ${describe(request)}`, answer.status, status);
  if (status === 0) world.model.apply(request);
  // What could be reached before: an endpoint may remember it.
  if (random.chance(1, 2)) world.repeatAccess(random.pick(ENDPOINTS).id, random.below(256));
}

function accessStep(world: World, random: Random): void {
  const { id } = random.pick(ENDPOINTS);
  // Not where the rings and buffers are, which a bypassing endpoint could overwrite.
  const write = random.chance(1, 2);
  const own = world.model.domains.get(world.model.domainOf(id) ?? -1)?.mappings ?? [];
  const mapped = own.length > 0 && random.chance(2, 3) ? random.pick(own).start : undefined;
  const at = (mapped ?? page(random)) + BigInt(random.pick([0, 1, 0xfff, random.below(0x1000)]));
  if (at > LAST) return;
  world.access(id, at, write, random.below(256));
}

/** Requests that cannot be parsed, and types that nobody knows: unwritten, and nothing happens. */
function hostileStep(world: World, random: Random): void {
  let bytes = bytesOf(someRequest(random));
  let room = 4 + random.below(8);
  const kind = random.below(3);
  if (kind === 0) bytes = bytes.slice(0, 1 + random.below(bytes.length - 1));
  else if (kind === 1) bytes[0] = random.pick([0, 6, 7, 8, 99, 255]);
  else room = random.below(4);
  const answer = world.rig.send(bytes, room, framingOf(random));
  world.seen();
  same('used length of a hostile request', answer.used, 0);
  same(
    'bytes of a hostile request',
    answer.bytes.every((byte) => byte === 0xaa),
    true,
  );
}

/** A request while accesses are in flight: answered only when they are over, or never after a reset. */
function inFlightStep(world: World, random: Random): void {
  const { model, rig } = world;
  const { id } = random.pick(ENDPOINTS);
  const start = page(random);
  const before = model.domainOf(id);
  const pin = rig.device.endpoints.pin(id, start, 0x100n);
  if (pin === undefined) throw new Error('no pin');
  const request = { ...someRequest(random), endpoint: id };
  const status = model.judge(request);
  const touches = waits(request, status, before, { start, end: start + 0xffn });
  rig.submit(bytesOf(request));
  world.seen();
  if (status === 0) model.apply(request);
  same(`waiting of ${describe(request)}`, rig.device.isWaiting, touches);
  // What is waited for has been done already: nothing new gets in.
  world.access(id, start, true, random.below(256));
  const turn = random.below(6);
  if (turn === 0) world.reboot(false);
  else {
    if (turn === 1) world.migrate();
    const now = rig.device.endpoints.pinById(pin.id);
    if (now) rig.device.endpoints.release(now);
    rig.core.runPending();
    const answer = rig.answer();
    same(`late status of ${describe(request)}`, answer?.status, status);
  }
  same('waiting at the end', rig.device.isWaiting, false);
}

function waits(
  request: ModelRequest,
  status: number,
  before: number | undefined,
  pinned: { start: bigint; end: bigint },
): boolean {
  if (status !== 0 || request.op === 'map') return false;
  if (request.op === 'attach') return before !== request.domain;
  if (request.op === 'detach') return true;
  return before === request.domain && meet(request, pinned);
}

function bypassStep(world: World, random: Random): void {
  const value = random.pick([0, 1, 2, 255]);
  world.rig.setBypass(value);
  if (value < 2) world.model.bypass = value === 1;
}

/** A host that refuses: either the request is done on all sides, or on none. */
function hostFailureStep(world: World, random: Random): void {
  const [container] = [random.pick([...world.containers.values()])];
  const call = random.pick(['map', 'map', 'unmap', 'unmap-all'] as const);
  container.inject(call, random.pick(ERRNOS), random.below(3));
  const request = someRequest(random);
  const expected = world.model.judge(request);
  const answer = world.rig.send(bytesOf(request));
  world.seen();
  const failed = expected === 0 && answer.status !== 0;
  if (!failed) same(`status of ${describe(request)}`, answer.status, expected);
  else if (![1, 2, 3, 8].includes(answer.status ?? -1)) {
    throw new Difference(`a host failure became status ${answer.status}`);
  }
  if (answer.status === 0) world.model.apply(request);
  // Only a host that cannot be undone may cost the guest its device.
  if ((world.rig.core.status & 0x40) !== 0) world.reboot(false);
  for (const each of world.containers.values()) each.heal();
}

function probeStep(world: World, random: Random): void {
  const { id, regions } = random.pick(ENDPOINTS);
  const { bytes, used, status } = world.rig.probe(id);
  world.seen();
  same('PROBE', [used, status], [516, 0]);
  const view = new DataView(bytes.buffer);
  const got = regions.map((_, i) => [
    view.getUint32(24 * i, true),
    view.getUint32(24 * i + 4, true),
    view.getBigUint64(24 * i + 8, true),
    view.getBigUint64(24 * i + 16, true),
  ]);
  const want = regions.map(({ start, end, msi }) => [0x14_0001, msi ? 1 : 0, start, end]);
  same('properties', got, want);
}

function describe(request: ModelRequest): string {
  const { op, domain, endpoint, start, end, phys, flags } = request;
  const range = `${start.toString(16)}-${end.toString(16)}`;
  return op === 'map' || op === 'unmap'
    ? `${op} ${domain} ${range} -> ${phys.toString(16)} flags ${flags}`
    : `${op} ${domain} ${endpoint} flags ${flags}`;
}

/** Leaves out as many steps as it can while the run still fails; at most `tries` runs. */
export function shrink(
  seed: number,
  failure: SimulationFailure,
  options: SimulationOptions = {},
  tries = 200,
): { readonly steps: readonly number[]; readonly failure: SimulationFailure } {
  let kept = Array.from({ length: failure.step + 1 }, (_, i) => i);
  let best = failure;
  let left = tries;
  for (let size = kept.length >> 1; size >= 1 && left > 0; size >>= 1) {
    for (let at = 0; at < kept.length && left > 0; left--) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)];
      const last = fewer.at(-1) ?? 0;
      const only = new Set(fewer);
      const skip = new Set(Array.from({ length: last }, (_, i) => i).filter((i) => !only.has(i)));
      const again = simulate(seed, last + 1, { ...options, skip });
      if (again === undefined) at += size;
      else {
        kept = fewer.filter((step) => step <= again.step);
        best = again;
      }
    }
  }
  return { steps: kept, failure: best };
}

/** The command that repeats a run. */
export function replayCommand(seed: number, steps: number): string {
  return `npm run sim -- --seed ${seed} --steps ${steps}`;
}
