import { describe, expect, test } from 'vitest';
import { createHash } from 'node:crypto';
import { FormatError } from '../../../src/bytes/index.ts';
import { BlockDriver, ModelGuest, NetDriver, type MmioAccess } from '../../../src/driver/index.ts';
import { MemoryStore } from '../../../src/endpoints/index.ts';
import type { MachineState } from '../../../src/machine/index.ts';
import { GuestMemory } from '../../../src/memory/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { firmwareOf, shippedModel, world, type World } from '../../support/model-guest.ts';

/** All that a CPU does to a machine, in order. */
type Step =
  | { readonly do: 'read'; readonly address: number; readonly size: number; readonly got: number }
  | {
      readonly do: 'write';
      readonly address: number;
      readonly size: number;
      readonly value: number;
    }
  | { readonly do: 'run' }
  /** RAM as the CPU left it before the next step. */
  | { readonly do: 'ram'; readonly at: bigint; readonly bytes: Uint8Array };

/** A bus that writes down what is done, and RAM before whatever makes a device look at it. */
function recorder({ machine, platform }: World): {
  readonly steps: Step[];
  readonly bus: MmioAccess;
  readonly run: () => boolean;
  start(): void;
} {
  const steps: Step[] = [];
  let on = false;
  const shadow = machine.memory
    .windows()
    .map(({ gpa, bytes }) => ({ gpa, now: bytes, old: new Uint8Array(bytes.length) }));
  /** Looks at what changed, page by page: before a step the CPU did it, after it the device. */
  const changes = (tell: boolean): void => {
    for (const { gpa, now, old } of shadow) {
      for (let at = 0; at < now.length; at += 4096) {
        const page = now.subarray(at, at + 4096);
        if (Buffer.compare(page, old.subarray(at, at + 4096)) === 0) continue;
        old.set(page, at);
        if (tell) steps.push({ do: 'ram', at: gpa + BigInt(at), bytes: page.slice() });
      }
    }
  };
  return {
    steps,
    start: () => {
      on = true;
      changes(false);
    },
    bus: {
      read: (address, size) => {
        const got = platform.bus.read(address, size);
        if (on) steps.push({ do: 'read', address, size, got });
        return got;
      },
      write: (address, size, value) => {
        if (on) changes(true);
        platform.bus.write(address, size, value);
        if (!on) return;
        steps.push({ do: 'write', address, size, value });
        changes(false);
      },
    },
    run: () => {
      if (on) {
        changes(true);
        steps.push({ do: 'run' });
      }
      const more = platform.run();
      if (on) changes(false);
      return more;
    },
  };
}

/** RAM of these tests: it is looked through at each step. */
const USED = 4 * 2 ** 20;
const DISK = 64 * 1024;

/** The shipped topology with little RAM, and all of it used. */
function small(name: string): Model {
  const model = shippedModel(name);
  const start = model.memory[0]?.start ?? 0n;
  return { ...model, memory: [{ start, end: start + BigInt(USED) - 1n }] };
}

function fresh(model: Model): World {
  const gpa = model.memory[0]?.start ?? 0n;
  return world(model, {
    memory: new GuestMemory([{ gpa, bytes: new Uint8Array(USED) }]),
    store: () => new MemoryStore(new Uint8Array(DISK).map((_, index) => index >> 8)),
  });
}

/** Work that uses disks and NICs of whatever there is. */
function work(guest: ModelGuest): string[] {
  return guest.devices.map(({ driver }) => {
    if (driver instanceof BlockDriver) {
      driver.write(4096n, new Uint8Array(4096).fill(7));
      const got = driver.read(0n, 8192);
      return typeof got === 'string' ? got : `${got[0]} ${got[5000]}`;
    }
    if (driver instanceof NetDriver) return JSON.stringify(driver.dhcp());
    return '';
  });
}

/** A state with the hash in the place of each run of bytes: the same where all bytes are. */
function digest(value: unknown): unknown {
  if (value instanceof Uint8Array) return createHash('sha256').update(value).digest('hex');
  if (Array.isArray(value)) return value.map(digest);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, digest(one)]));
}

/** Does the steps to another machine; every load must give the same. */
function replay(steps: readonly Step[], { machine, platform }: World): void {
  for (const [index, step] of steps.entries()) {
    switch (step.do) {
      case 'read':
        expect([index, platform.bus.read(step.address, step.size)]).toEqual([index, step.got]);
        break;
      case 'write':
        platform.bus.write(step.address, step.size, step.value);
        break;
      case 'run':
        platform.run();
        break;
      default:
        machine.memory.write(0, Number(step.at), step.bytes);
    }
  }
}

describe('a snapshot in the middle of a run', () => {
  test.each(['several-endpoints', 'root-ports', 'two-viommus', 'platform-device', 'its'])(
    '%s goes on byte by byte as if nothing had been',
    (name) => {
      const model = small(name);
      const original = fresh(model);
      const tape = recorder(original);
      const guest = ModelGuest.boot(
        { ...original.platform, bus: tape.bus, run: tape.run },
        firmwareOf(model, 'device-tree'),
      );
      work(guest);
      const taken = original.machine.snapshot();
      const soFar = original.events.length;
      tape.start();
      const results = work(guest);
      expect(results).not.toContain('timeout');
      const done = original.machine.snapshot();

      const other = fresh(model);
      other.machine.restore(taken);
      expect(digest(other.machine.snapshot())).toEqual(digest(taken));
      other.events.length = 0;
      replay(tape.steps, other);
      expect(digest(other.machine.snapshot())).toEqual(digest(done));
      expect(other.events).toEqual(original.events.slice(soFar));
      expect(other.interrupts.length).toBeGreaterThan(0);
    },
  );

  test('a snapshot is a copy: what comes after does not change it', () => {
    const model = small('one-endpoint');
    const { machine, platform } = fresh(model);
    const guest = ModelGuest.boot(platform, firmwareOf(model, 'device-tree'));
    const taken = machine.snapshot();
    const before = digest(taken);
    work(guest);
    expect(digest(taken)).toEqual(before);
    machine.restore(taken);
    expect(digest(machine.snapshot())).toEqual(before);
  });

  test('a state of another machine is refused', () => {
    const state = fresh(small('one-endpoint')).machine.snapshot();
    const { machine } = fresh(small('several-endpoints'));
    const wrong: MachineState[] = [{ ...state, version: 99 }, { ...state, hosts: {} }, state];
    for (const one of wrong) expect(() => machine.restore(one)).toThrow(FormatError);
  });
});
