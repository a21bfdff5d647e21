import fc from 'fast-check';
import { expect, test } from 'vitest';

import { TapeRecorder, TapeReplayer, type RunTape } from '../../../src/backends/index.ts';
import { FormatError } from '../../../src/bytes/index.ts';

const ORIGIN = {
  topology: 'one',
  firmware: 'device-tree',
  kernel: '6.12',
  seed: 'a',
  machine: '00',
  code: '11',
} as const;

/** What a run tells, but for its CPU. */
function run(tape: RunTape, lines: readonly string[], seed = 'a'): void {
  tape.origin({ ...ORIGIN, seed });
  tape.boot('22');
  for (const line of lines) tape.line(line);
}

function recorded(lines: readonly string[]): string {
  let text = '';
  const recorder = new TapeRecorder({
    tool: '1',
    write: (piece) => void (text += piece),
    realTime: false,
  });
  run(recorder, lines);
  recorder.close();
  return text;
}

test('the first line that differs is told; what differed before the run as well', () => {
  const text = recorded(['a', 'b', 'c']);
  const same = new TapeReplayer(text, () => undefined);
  run(same, ['a', 'b', 'c']);
  expect(same.result).toMatchObject({ parted: undefined, otherwise: [], lines: 3 });
  const other = new TapeReplayer(text, () => undefined);
  run(other, ['a', 'x', 'y'], 'b');
  expect(other.result.otherwise).toEqual(['seed b, and a in the recording']);
  expect(other.result.parted).toBe('line 2, after instruction 0: here it is x');
  const longer = new TapeReplayer(text, () => undefined);
  run(longer, ['a', 'b', 'c', 'd']);
  expect(longer.result.parted).toContain('line 4, after instruction 0: the recording has none: d');
});

test('what is no recording is refused, whatever it is', () => {
  const good = recorded(['a', 'b']);
  const lines = good.split('\n');
  const bad = fc.oneof(
    fc.string(),
    fc.json(),
    fc.tuple(fc.nat({ max: good.length - 1 }), fc.string({ maxLength: 3 })).map(([at, piece]) => {
      return good.slice(0, at) + piece + good.slice(at + 1);
    }),
    fc.shuffledSubarray(lines).map((some) => `${some.join('\n')}\n`),
  );
  fc.assert(
    fc.property(bad, (text) => {
      try {
        expect(new TapeReplayer(text, () => undefined).realTime).toBeTypeOf('boolean');
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }),
    { numRuns: 500 },
  );
  const version = good.replace('"version":1', '"version":2');
  expect(() => new TapeReplayer(version, () => undefined)).toThrow('version 2');
});
