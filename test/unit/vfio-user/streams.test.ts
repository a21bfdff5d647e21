import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Machine } from '../../../src/machine/index.ts';
import {
  VFIO_USER_DEVICE_SET_IRQS,
  VFIO_USER_DMA_MAP,
  VFIO_USER_DMA_UNMAP,
  VFIO_USER_F_NO_REPLY,
  VFIO_USER_REGION_READ,
  VFIO_USER_REGION_WRITE,
} from '../../../src/spec/vfio-user.ts';
import { LinuxSys } from '../../../src/vfio-user/ffi.ts';
import { servedFunctions } from '../../../src/vfio-user/functions.ts';
import { Server, type ServerReport } from '../../../src/vfio-user/server.ts';
import { Random } from '../../sim/random.ts';
import {
  accessBody,
  irqBody,
  mapBody,
  message,
  unmapBody,
  versionBody,
} from '../../support/vfio-client.ts';
import {
  closeFd,
  connectTo,
  makeEventfd,
  memfd,
  receiveSome,
  sendAll,
} from '../../support/vfio-ffi.ts';
import { servedMachine } from '../../support/vfio-session.ts';

/** A server of three functions on real sockets, on this thread. */
interface World {
  readonly directory: string;
  readonly sys: LinuxSys;
  readonly server: Server;
  readonly machine: Machine;
  readonly reports: ServerReport[];
  readonly sockets: readonly string[];
}

let world: World;

beforeEach(() => {
  const directory = mkdtempSync(join(tmpdir(), 'vfio-'));
  const sys = new LinuxSys();
  const machine = servedMachine('gicv2m');
  const reports: ServerReport[] = [];
  const server = new Server(sys, machine, (report) => void reports.push(report));
  const served = servedFunctions(machine.model, directory);
  for (const one of served) server.listen(one);
  const sockets = served.map(({ socket }) => socket);
  world = { directory, sys, server, machine, reports, sockets };
});

afterEach(() => {
  world.server.stop();
  world.sys.end();
  rmSync(world.directory, { recursive: true });
});

function steps(count: number): void {
  for (let i = 0; i < count; i++) world.server.step(0);
}

function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Mappings of files that a client passed. */
function guestMappings(): number {
  return readFileSync('/proc/self/maps', 'utf8').split('memfd:guest').length - 1;
}

/** A request, often right, sometimes nearly, and the descriptors that go with it. */
function someRequest(random: Random, files: readonly number[]): { bytes: Buffer; fds: number[] } {
  const below = (limit: number): number => random.below(limit);
  const pick = <T>(from: readonly T[]): T => random.pick(from);
  const word = (): number => pick([0, 1, 4, 7, 16, 0x3c, 0xfff, 0x4000, 0xffff_ffff, below(256)]);
  const page = (): bigint => BigInt(pick([0, 1, 2, 3, below(64), 0x4_0000])) * 4096n;
  const data = Uint8Array.from({ length: below(40) }, () => below(256));
  const bodies: Readonly<Record<number, () => Uint8Array>> = {
    [VFIO_USER_DMA_MAP]: () => mapBody(page(), page(), page(), below(5)),
    [VFIO_USER_DMA_UNMAP]: () => unmapBody(page(), page(), below(4)),
    [VFIO_USER_DEVICE_SET_IRQS]: () =>
      Buffer.concat([irqBody(below(64), below(5), below(3), below(4)), data]),
    [VFIO_USER_REGION_READ]: () => accessBody(below(9), word(), word()),
    [VFIO_USER_REGION_WRITE]: () => {
      const size = pick([1, 2, 4, 8, data.length]);
      return Buffer.concat([accessBody(pick([1, 4, 7, below(9)]), word(), size), data]).subarray(
        0,
        16 + size,
      );
    },
  };
  const often = pick([
    VFIO_USER_DMA_MAP,
    VFIO_USER_DMA_UNMAP,
    VFIO_USER_DEVICE_SET_IRQS,
    below(17),
  ]);
  const command = random.chance(9, 10) ? often : below(0x1_0000);
  const body = bodies[command]?.() ?? data;
  const flags = random.chance(2, 10) ? VFIO_USER_F_NO_REPLY : 0;
  const bytes = Buffer.from(message(below(0x1_0000), command, body, flags));
  if (random.chance(15, 100)) bytes[below(bytes.length)] = below(256);
  if (random.chance(3, 100)) bytes.writeUInt32LE(word(), 4);
  const [file, , event, other] = files;
  const usual: Readonly<Record<number, readonly (number | undefined)[]>> = {
    [VFIO_USER_DMA_MAP]: [file],
    [VFIO_USER_DEVICE_SET_IRQS]: [event, other].slice(below(3)),
  };
  const right = usual[command]?.flatMap((fd) => fd ?? []) ?? [];
  const wrong = Array.from({ length: below(4) }, () => pick(files));
  const fds = random.chance(7, 10) ? right : wrong;
  return { bytes, fds };
}

describe('bad days', () => {
  test('10,000 random streams: nothing crashes, no descriptor and no mapping stays', () => {
    const seed = 20_261_123;
    const device = openSync('/dev/null', 'r');
    const files = [memfd(0x10_0000), memfd(0x1000), makeEventfd(), makeEventfd(), device];
    steps(1);
    const fds = openFds();
    let answered = 0;
    for (let stream = 0; stream < 10_000; stream++) {
      const random = new Random(seed, stream);
      const path = world.sockets[stream % world.sockets.length] ?? '';
      const fd = connectTo(path);
      expect(fd, `stream ${stream}`).toBeGreaterThanOrEqual(0);
      if (random.chance(95, 100)) sendAll(fd, message(0, 1, versionBody()));
      const count = random.below(8);
      for (let i = 0; i < count; i++) {
        const { bytes, fds: pass } = someRequest(random, files);
        const cut = random.chance(1, 10) ? random.below(bytes.length) : bytes.length;
        if (cut > 0 && !sendAll(fd, bytes.subarray(0, cut), pass)) break;
        if (random.chance(3, 10)) steps(1);
      }
      steps(3);
      answered += receiveSome(fd, 0)?.length ?? 0;
      closeFd(fd);
      steps(2);
      if (stream % 1000 === 999) {
        steps(3);
        expect({ stream, fds: openFds(), maps: guestMappings() }).toEqual({ stream, fds, maps: 0 });
      }
    }
    expect(answered).toBeGreaterThan(1_000_000);
    const internal = world.reports.filter(
      (report) => report.kind === 'problem' && report.problem.code === 'vfio-user/internal',
    );
    expect(internal).toEqual([]);
    expect(world.machine.memory.epoch).toBeGreaterThan(1000);
    expect(world.server.stats.connected).toBe(0);
    for (const fd of files.slice(0, -1)) closeFd(fd);
    closeSync(device);
  }, 120_000);

  test('a DMA_MAP storm on all connections at once', () => {
    const size = 4 * 2 ** 20;
    const ram = memfd(size);
    steps(1);
    const fds = openFds();
    const clients = world.sockets.map(connectTo);
    for (const fd of clients) sendAll(fd, message(0, 1, versionBody()));
    steps(3);
    for (const fd of clients) receiveSome(fd, 1000);
    const before = guestMappings();
    for (let round = 0; round < 300; round++) {
      for (const fd of clients) {
        const start = 0x4000_0000n;
        for (const [at, length] of [
          [0n, 0xc_0000n],
          [0xc_0000n, 0x34_0000n],
        ] as const) {
          sendAll(fd, message(1, VFIO_USER_DMA_MAP, mapBody(start + at, length, at)), [ram]);
        }
        steps(3);
        sendAll(fd, message(2, VFIO_USER_DMA_UNMAP, unmapBody(start, BigInt(size))));
        steps(1);
        const replies = Buffer.from(receiveSome(fd, 1000) ?? []);
        expect(replies.length).toBe(16 + 16 + 16 + 24);
        for (const at of [0, 16, 32]) expect(replies.readUInt32LE(at + 12)).toBe(0);
      }
    }
    expect(guestMappings()).toBe(before + 1);
    for (const fd of clients) closeFd(fd);
    steps(3);
    expect({ fds: openFds(), maps: guestMappings() }).toEqual({ fds, maps: before });
    closeFd(ram);
  });

  test('a VMM that dies in the middle of a message leaves nothing; the next is served', () => {
    const file = memfd(4096);
    const fds = openFds();
    const path = world.sockets[0] ?? '';
    const first = connectTo(path);
    sendAll(first, message(0, 1, versionBody()));
    sendAll(first, message(1, VFIO_USER_DMA_MAP, mapBody(0n, 4096n)).subarray(0, 30), [file]);
    steps(4);
    closeFd(first);
    steps(3);
    expect(openFds()).toBe(fds);
    const second = connectTo(path);
    sendAll(second, message(0, 1, versionBody()));
    steps(3);
    expect(receiveSome(second, 1000)?.length).toBeGreaterThan(16);
    closeFd(second);
    closeFd(file);
  });

  test('only one client of a function is served at a time; the next waits', () => {
    const path = world.sockets[0] ?? '';
    const first = connectTo(path);
    const second = connectTo(path);
    for (const fd of [first, second]) sendAll(fd, message(0, 1, versionBody()));
    steps(5);
    expect(receiveSome(first, 0)).toBeDefined();
    expect(receiveSome(second, 0)).toBeUndefined();
    closeFd(first);
    steps(5);
    expect(receiveSome(second, 0)).toBeDefined();
    closeFd(second);
  });
});

describe('held', () => {
  test('devices stop after the message that is being handled, and go on where they were', () => {
    const { server, machine, sockets } = world;
    const fn = machine.unit('disk0')?.pci?.fn;
    if (fn === undefined) throw new Error('no disk0');
    const client = connectTo(sockets[1] ?? '');
    sendAll(client, message(0, 1, versionBody()));
    steps(3);
    receiveSome(client, 1000);
    const write = (value: number): Buffer =>
      message(
        1,
        VFIO_USER_REGION_WRITE,
        Buffer.concat([accessBody(4, 0, 4), Uint8Array.of(value, 0, 0, 0)]),
        VFIO_USER_F_NO_REPLY,
      ) as Buffer;
    const seen: number[] = [];
    const barWrite = fn.barWrite.bind(fn);
    fn.barWrite = (bar, offset, size, value) => {
      barWrite(bar, offset, size, value);
      seen.push(value);
      if (value < 3) server.hold();
    };
    const read = message(2, VFIO_USER_REGION_READ, accessBody(4, 0, 4));
    sendAll(client, Buffer.concat([write(1), write(2), write(3), read]));
    steps(5);
    expect([seen, receiveSome(client, 0)]).toEqual([[1], undefined]);
    server.release();
    steps(5);
    expect([seen, receiveSome(client, 0)]).toEqual([[1, 2], undefined]);
    expect(server.held).toBe(true);
    server.release();
    steps(5);
    expect(seen).toEqual([1, 2, 3]);
    expect(receiveSome(client, 0)?.at(32)).toBe(3);
    closeFd(client);
  });

  test('questions are answered meanwhile', () => {
    const { server, sys } = world;
    let asked = 0;
    server.onWake = () => void asked++;
    server.hold();
    sys.signal(server.wakeFd);
    steps(2);
    expect(asked).toBe(1);
  });
});
