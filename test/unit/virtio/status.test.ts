import { describe, expect, it } from 'vitest';
import { isLive, transition } from '../../../src/virtio/index.ts';

const ACKNOWLEDGE = 1;
const DRIVER = 2;
const DRIVER_OK = 4;
const FEATURES_OK = 8;
const NEEDS_RESET = 0x40;
const FAILED = 0x80;
const DEFINED = 0xcf;

/** Every state that a device can be in, found by walking from 0. */
function reachable(): Set<number> {
  const seen = new Set([0]);
  for (const state of seen) {
    seen.add(state | NEEDS_RESET);
    for (let written = 0; written < 256; written++) {
      for (const ok of [true, false]) seen.add(transition(state, written, ok).status);
    }
  }
  return seen;
}

describe('device status', () => {
  it('every write to every state keeps the rules', () => {
    for (let current = 0; current < 256; current++) {
      for (let written = 0; written < 256; written++) {
        for (const acceptable of [true, false]) {
          const next = transition(current, written, acceptable);
          const what = `0x${current.toString(16)} <- 0x${written.toString(16)}, ${acceptable}`;
          if (written === 0) {
            const cleared = { status: 0, reset: true, negotiated: false, started: false };
            expect(next, what).toEqual(cleared);
            continue;
          }
          const added = next.status & ~current;
          const fine =
            !next.reset &&
            // Nothing is cleared but by zero, nothing is set that was not written,
            (next.status & current) === current &&
            (added & ~written) === 0 &&
            // only defined bits, and never the device's own.
            (added & ~DEFINED) === 0 &&
            (added & NEEDS_RESET) === 0 &&
            ((added & FEATURES_OK) === 0 || acceptable) &&
            // Each step stands on the one before.
            ((added & DRIVER) === 0 || (next.status & ACKNOWLEDGE) !== 0) &&
            ((added & FEATURES_OK) === 0 || (next.status & DRIVER) !== 0) &&
            ((added & DRIVER_OK) === 0 || (next.status & FEATURES_OK) !== 0) &&
            // After FAILED only a reset helps; FAILED itself is always taken.
            ((current & FAILED) === 0 || added === 0) &&
            (next.status & FAILED) === ((current | written) & FAILED) &&
            next.negotiated === ((added & FEATURES_OK) !== 0) &&
            next.started === ((added & DRIVER_OK) !== 0);
          expect(fine, what).toBe(true);
          // What may be set is set: a step whose predecessor stood before.
          const sound = (current & FAILED) === 0;
          if (sound && (written & ACKNOWLEDGE) !== 0) expect(next.status & 1, what).toBe(1);
          if (sound && (written & DRIVER_OK) !== 0 && (current & FEATURES_OK) !== 0) {
            expect(next.status & DRIVER_OK, what).toBe(DRIVER_OK);
          }
        }
      }
    }
  });

  it('has these states and no others', () => {
    const chain = [0, 1, 3, 0xb, 0xf];
    const wanted = chain.flatMap((state) =>
      [0, NEEDS_RESET, FAILED, NEEDS_RESET | FAILED].map((extra) => state | extra),
    );
    expect([...reachable()].toSorted((a, b) => a - b)).toEqual(wanted.toSorted((a, b) => a - b));
  });

  it.each([
    ['Linux', [1, 3, 0xb, 0xf]],
    ['firmware, in two writes', [3, 0xf]],
    ['all at once', [0xf]],
  ])('%s comes to life', (_, writes) => {
    let state = 0;
    for (const written of writes) state = transition(state, written, true).status;
    expect(state).toBe(0xf);
    expect(isLive(state)).toBe(true);
  });

  it('a driver whose features are refused reads no FEATURES_OK and does not start', () => {
    let state = 0;
    for (const written of [1, 3, 0xb, 0xf]) state = transition(state, written, false).status;
    expect(state).toBe(3);
  });

  it('works only between DRIVER_OK and the first failure', () => {
    expect([0, 1, 3, 0xb].map(isLive)).toEqual([false, false, false, false]);
    expect([0xf | NEEDS_RESET, 0xf | FAILED].map(isLive)).toEqual([false, false]);
  });
});
