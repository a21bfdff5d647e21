import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { colours, movesCursor, type Io } from '../../../src/cli/io.ts';
import { runCommand } from '../../../src/cli/main.ts';
import { Progress } from '../../../src/cli/progress.ts';
import { cli } from '../../support/cli.ts';

interface Terminal {
  readonly io: Io;
  /** What was written since the last look. */
  readonly look: () => string;
}

function terminal(interactive: boolean, columns?: number): Terminal {
  let written = '';
  const io: Io = {
    out: () => undefined,
    outBytes: () => undefined,
    err: (text) => void (written += text),
    interactive,
    columns: () => columns,
    colorOut: interactive,
    colorErr: interactive,
    env: {},
    signal: new AbortController().signal,
  };
  const look = (): string => {
    const text = written;
    written = '';
    return text;
  };
  return { io, look };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('on a terminal', () => {
  test('one line is redrawn in place, and goes away', () => {
    const { io, look } = terminal(true);
    const progress = new Progress(io);
    progress.stage('booting');
    const first = look();
    expect(first.startsWith('\r\u001B[K')).toBe(true);
    expect(first).toMatch(/\S +0\.0 s booting$/u);
    vi.advanceTimersByTime(1000);
    const drawn = look();
    expect(drawn).not.toContain('\n');
    expect(drawn).toContain('1.0 s booting');
    expect(drawn.split('\r')).toHaveLength(6);
    progress.end();
    expect(look()).toBe('\r\u001B[K');
    progress.end();
    vi.advanceTimersByTime(5000);
    expect(look()).toBe('');
  });

  test('it is never longer than the terminal is wide', () => {
    for (const columns of [undefined, 200, 40, 10, 1, 0]) {
      const { io, look } = terminal(true, columns);
      new Progress(io).stage('x'.repeat(500));
      const [, text = ''] = look().split('\u001B[K');
      expect(text.length).toBeLessThan(Math.max(2, Math.min(79, columns ?? 79)));
    }
  });

  test('a count is one line that moves', () => {
    const { io, look } = terminal(true);
    const progress = new Progress(io);
    for (let done = 0; done <= 1000; done++) progress.count('trees', done, 1000);
    const drawn = look();
    expect(drawn).not.toContain('\n');
    expect(drawn).toContain('trees 37 % of 1,000');
    expect(drawn).toContain('trees 100 % of 1,000');
  });
});

describe('in a log', () => {
  test('one plain line for each stage, without escapes', () => {
    const { io, look } = terminal(false);
    const progress = new Progress(io);
    for (const stage of ['one', 'one', 'two']) progress.stage(stage);
    progress.end();
    expect(look()).toBe('  0.0 s one\n  0.0 s two\n');
  });

  test('a stage that lasts is said again once a minute, so that CI sees life', () => {
    const { io, look } = terminal(false);
    const progress = new Progress(io);
    progress.stage('booting');
    look();
    vi.advanceTimersByTime(59_000);
    expect(look()).toBe('');
    vi.advanceTimersByTime(2000);
    expect(look()).toBe(' 60.0 s booting\n');
    progress.end();
    vi.advanceTimersByTime(600_000);
    expect(look()).toBe('');
  });

  test('a count says each tenth once', () => {
    const { io, look } = terminal(false);
    const progress = new Progress(io);
    for (let done = 0; done <= 1000; done++) progress.count('trees', done, 1000);
    progress.count('none', 0, 0);
    const lines = look().trimEnd().split('\n');
    expect(lines).toHaveLength(12);
    expect(lines[3]).toBe('  0.0 s trees 30 % of 1,000');
    expect(lines[11]).toBe('  0.0 s none 100 % of 0');
  });
});

test('--quiet: nothing at all', () => {
  for (const interactive of [true, false]) {
    const { io, look } = terminal(interactive);
    const progress = new Progress(io, true);
    progress.stage('booting');
    progress.count('trees', 1, 2);
    vi.advanceTimersByTime(200_000);
    progress.end();
    expect(look()).toBe('');
  }
});

test('words of others cannot move the cursor', () => {
  for (const interactive of [true, false]) {
    const { io, look } = terminal(interactive);
    new Progress(io).stage('evil \u001B[2J\r\n\u0007');
    expect(look()).toContain('evil \\x1b[2J\\x0d\\x0a\\x07');
  }
});

describe('what the surroundings say', () => {
  const tty = { isTTY: true };

  test('a cursor moves on a terminal, but not for CI and not on a dumb one', () => {
    expect(movesCursor(tty, {})).toBe(true);
    expect(movesCursor(tty, { CI: 'false' })).toBe(true);
    expect(movesCursor(tty, { CI: '' })).toBe(true);
    expect(movesCursor(tty, { CI: 'true' })).toBe(false);
    expect(movesCursor(tty, { CI: '1' })).toBe(false);
    expect(movesCursor(tty, { TERM: 'dumb' })).toBe(false);
    expect(movesCursor({ isTTY: false }, {})).toBe(false);
  });

  test('NO_COLOR wins over FORCE_COLOR; an empty one says nothing', () => {
    expect(colours(tty, {})).toBe(true);
    expect(colours(tty, { NO_COLOR: '1', FORCE_COLOR: '1' })).toBe(false);
    expect(colours(tty, { NO_COLOR: '' })).toBe(true);
    expect(colours({ isTTY: false }, {})).toBe(false);
    expect(colours({ isTTY: false }, { FORCE_COLOR: '1' })).toBe(true);
    expect(colours({ isTTY: false }, { FORCE_COLOR: '0' })).toBe(false);
    expect(colours(tty, { TERM: 'dumb' })).toBe(false);
  });

  test('--no-color: plain on a terminal too, before and after the command', async () => {
    const file = 'topologies/invalid/unknown-key.yaml';
    const said = async (...argv: string[]): Promise<string> => {
      const { io, look } = terminal(true);
      expect(await runCommand(argv, { ...io, out: io.err })).toBe(2);
      return look();
    };
    expect(await said('check', file)).toContain('\u001B[');
    expect(await said('--no-color', 'check', file)).not.toContain('\u001B[');
    expect(await said('check', file, '--no-color')).not.toContain('\u001B[');
  });

  test.each([['guest'], ['qemu']])('%s fetch can be quiet', async (command) => {
    const { out } = await cli(command, 'fetch', '--help');
    expect(out).toMatch(/--quiet +no progress/u);
  });
});
