import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';

import { buildSession, prepareBoot, type Session } from '../../src/backends/emulator-session.ts';
import {
  readSnapshot,
  restoreSnapshot,
  takeSnapshot,
  writeSnapshot,
} from '../../src/emulator/index.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import type { BootInput } from '../../src/scenario/index.ts';
import { builtCore } from '../support/emulator.ts';
import { inputOf, shipped } from './boot-helper.ts';

beforeAll(() => builtCore());

/** What a run shows from some point on. */
class Witness {
  readonly events: string[] = [];
  readonly lines: string[] = [];

  get shown(): {
    readonly events: number;
    readonly lines: readonly string[];
    readonly hash: string;
  } {
    const hash = createHash('sha256').update(this.events.join('\n')).digest('hex');
    return { events: this.events.length, lines: this.lines, hash };
  }

  /** What came after so many of each. */
  since(events: number, lines: number): Witness {
    const rest = new Witness();
    rest.events.push(...this.events.slice(events));
    rest.lines.push(...this.lines.slice(lines));
    return rest;
  }
}

async function powerOn(
  input: BootInput,
  firmware: 'device-tree' | 'acpi',
): Promise<{ session: Session; witness: Witness }> {
  const witness = new Witness();
  const hooks = {
    console: (text: string, time?: number) => void witness.lines.push(`${time} ${text}`),
    event: (event: unknown) =>
      void witness.events.push(
        JSON.stringify(event, (_, value: unknown) =>
          typeof value === 'bigint' ? `${value}n` : value,
        ),
      ),
  };
  const options = { guest: await fetchGuest('arm64'), firmware };
  const session = await buildSession(input, hooks, options);
  session.boot = await prepareBoot(session, input, hooks, options, false);
  return { session, witness };
}

/** In millions of instructions: a kernel without drivers, drivers at work, the end of the checks. */
const POINTS = [100, 260, 310, 340];

describe.each([
  ['gicv2m', 'device-tree'],
  ['its', 'acpi'],
] as const)('%s, %s', (name, firmware) => {
  test('restored at any point, the run goes on as it did', async () => {
    const input = await inputOf(shipped(name));
    const { session, witness } = await powerOn(input, firmware);
    const { emulator, machine } = session;
    const files: { point: bigint; file: Uint8Array; events: number; lines: number }[] = [];
    for (const point of POINTS) {
      const budget = point * 1e6 - Number(emulator.core.retired);
      expect((await emulator.run({ budget })).kind).toBe('budget');
      const file = await writeSnapshot(takeSnapshot(emulator, machine));
      const { events, lines } = witness;
      files.push({
        point: emulator.core.retired,
        file,
        events: events.length,
        lines: lines.length,
      });
    }
    const end = await emulator.run({ budget: 2e9 });
    expect(end.kind).toBe('off');
    expect(witness.events.length).toBeGreaterThan(files.at(-2)?.events ?? 0);

    for (const { point, file, events, lines } of files) {
      const other = await powerOn(input, firmware);
      const snapshot = readSnapshot(file, other.session.emulator.core.ram.length);
      restoreSnapshot(other.session.emulator, other.session.machine, snapshot);
      expect(other.session.emulator.core.retired).toBe(point);
      expect(await other.session.emulator.run({ budget: 2e9 })).toEqual(end);
      expect(other.witness.shown).toEqual(witness.since(events, lines).shown);
    }
  });
});
