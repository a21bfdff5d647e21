import { spawn } from 'node:child_process';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { fetchGuest } from '../../src/guest/index.ts';
import { builtCore } from '../support/emulator.ts';

beforeAll(async () => {
  await builtCore();
  await fetchGuest('arm64');
});

/** Nothing here takes this long, on a machine however busy. */
const PATIENCE_MS = 120_000;

let running: OnTerminal | undefined;
afterEach(() => running?.kill());

/** A command on a terminal of its own, which `script` makes. */
class OnTerminal {
  readonly #child;
  readonly #ended: Promise<number | null>;
  text = '';

  constructor(...argv: string[]) {
    const command = ['node', 'node_modules/jiti/lib/jiti-cli.mjs', ...argv].join(' ');
    this.#child = spawn('script', ['-qec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout.setEncoding('utf8').on('data', (piece: string) => void (this.text += piece));

    this.#ended = new Promise((resolve) => void this.#child.on('close', resolve));
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Waits for words on the screen, from where the last ones ended. */
  async sees(words: string | RegExp, from = 0): Promise<number> {
    // What came last is looked at once more after the end.
    let ended = false;
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
      const rest = this.text.slice(from);
      const at = typeof words === 'string' ? rest.indexOf(words) : rest.search(words);
      if (at >= 0) return from + at + 1;
      if (ended) break;
      ended = await Promise.race([
        this.#ended.then(() => true),
        new Promise<boolean>((resolve) => void setTimeout(resolve, 50, false)),
      ]);
    }
    throw new Error(`nothing seen of ${String(words)}:\n${this.text.slice(from)}`);
  }

  kill(): void {
    this.#child.kill('SIGHUP');
  }

  /** Exit code. */
  async end(): Promise<number | null> {
    this.#child.stdin.end();
    return this.#ended;
  }
}

const BOOT = ['test/support/run-cli.ts', 'boot', 'topologies/one-endpoint.yaml', '--console'];

test('a shell in the guest: keys reach it, Ctrl-C among them, and its end is the verdict', async () => {
  const terminal = (running = new OnTerminal(...BOOT));
  await terminal.sees('Linux version');
  let at = await terminal.sees('/ # ');
  terminal.type('echo answer-$((6 * 7))\r');
  at = await terminal.sees('answer-42', at);
  at = await terminal.sees('/ # ', at);
  // The guest's own second is a second of the wall's.
  const before = performance.now();
  terminal.type('sleep 1; echo woke-$((1 + 1))\r');
  at = await terminal.sees('woke-2', at);
  expect(performance.now() - before).toBeGreaterThanOrEqual(1000);
  at = await terminal.sees('/ # ', at);
  terminal.type('sleep 1000\r');
  at = await terminal.sees('sleep 1000', at);
  terminal.type('\u0003');
  at = await terminal.sees('/ # ', at);
  terminal.type('ls /sys/class/iommu\r');
  at = await terminal.sees('0000:00:01.0', at);
  at = await terminal.sees('/ # ', at);
  terminal.type('exit\r');
  await terminal.sees('PASS one-endpoint (emulator', at);
  expect(await terminal.end()).toBe(0);
});

test('Ctrl-] leaves it', async () => {
  const terminal = (running = new OnTerminal(...BOOT));
  await terminal.sees('Linux version');
  terminal.type('\u001d');
  await terminal.sees('left the console');
  expect(await terminal.end()).toBe(130);
  expect(terminal.text).not.toContain('PASS');
});
