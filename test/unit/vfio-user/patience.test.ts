import { describe, expect, test } from 'vitest';
import { Patience } from '../../../src/vfio-user/patience.ts';

/** A patience with a clock of its own, and a machine that may be busy. */
function patient(): {
  one: Patience;
  at: (ms: number) => void;
  asked: () => number;
  crowd: () => void;
} {
  let now = 1000;
  let spare = true;
  let asked = 0;
  const one = new Patience(
    () => {
      asked++;
      return spare;
    },
    () => now,
  );
  return {
    one,
    at: (ms) => void (now = 1000 + ms),
    asked: () => asked,
    crowd: () => void (spare = false),
  };
}

describe('how long a server looks for more', () => {
  test('until nothing was found for a while, and never longer than a turn', () => {
    const { one, at } = patient();
    expect(one.begin()).toBe(true);
    at(0.15);
    expect(one.goesOn(false)).toBe(true);
    at(0.25);
    expect(one.goesOn(false)).toBe(false);

    expect(one.begin()).toBe(true);
    let looks = 0;
    for (let ms = 0.35; one.goesOn(true); ms += 0.1) {
      at(ms);
      looks++;
    }
    expect(looks).toBeGreaterThan(40);
    expect(looks).toBeLessThan(60);
  });

  test('not at all where no core is to spare, which is not asked each time', () => {
    const { one, at, asked, crowd } = patient();
    crowd();
    expect(one.begin()).toBe(false);
    at(0.5);
    expect(one.begin()).toBe(false);
    expect(asked()).toBe(1);
    at(1.5);
    expect(one.begin()).toBe(false);
    expect(asked()).toBe(2);
  });

  test('whoever loses the core while looking sleeps for a while, then for longer', () => {
    const { one, at } = patient();
    expect(one.begin()).toBe(true);
    at(4);
    expect(one.goesOn(true)).toBe(false);
    at(13);
    expect(one.begin()).toBe(false);
    at(15);
    expect(one.begin()).toBe(true);
    at(20);
    expect(one.goesOn(true)).toBe(false);
    at(39);
    expect(one.begin()).toBe(false);
    at(41);
    expect(one.begin()).toBe(true);
  });

  test('the time it sleeps has a bound, and shrinks again', () => {
    const { one, at } = patient();
    let ms = 0;
    for (let i = 0; i < 20; i++) {
      ms += 400;
      at(ms);
      expect(one.begin()).toBe(true);
      ms += 2;
      at(ms);
      expect(one.goesOn(true)).toBe(false);
    }
    for (let i = 0; i < 10; i++) {
      ms += 400;
      at(ms);
      expect(one.begin()).toBe(true);
      do at((ms += 0.5));
      while (one.goesOn(true));
    }
    at((ms += 1));
    expect(one.begin()).toBe(true);
    at((ms += 2));
    expect(one.goesOn(true)).toBe(false);
    at((ms += 11));
    expect(one.begin()).toBe(true);
  });
});
