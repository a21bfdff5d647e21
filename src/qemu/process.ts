import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

import { EnvironmentError } from '../guest/index.ts';
import { QemuError, type QemuStory } from './error.ts';
import { guardDirectory, guardGroup, killGroup, leash } from './guard.ts';
import { LineSplitter, Tail } from './lines.ts';
import { QmpClient } from './qmp.ts';
import type { TraceEvent } from './trace-event.ts';
import { parseTraceLine } from './trace.ts';

/** What to run and who listens. */
export interface StartOptions {
  readonly program: string;
  /** Everything but `-qmp`, `-serial` and `-chardev` of the console, which are added here. */
  readonly args: readonly string[];
  /** A line of the guest's console, without its newline. */
  readonly console?: (line: string) => void;
  readonly trace?: (event: TraceEvent) => void;
  /** Other lines of QEMU's standard error. */
  readonly stderr?: (line: string) => void;
  /** Ends QEMU; `exit` then resolves with `aborted`. */
  readonly signal?: AbortSignal;
  /** Milliseconds until QEMU is ended. */
  readonly timeLimit?: number;
  /** Milliseconds until its control channel must answer; default 30 s. */
  readonly answerTime?: number;
  /** Lines of console and of standard error that the story keeps. */
  readonly tail?: number;
}

/** How a QEMU ended. */
export interface QemuExit {
  readonly cause: 'exited' | 'timed-out' | 'aborted' | 'stopped';
  readonly story: QemuStory;
}

const TAIL_LINES = 40;
/** How long `quit` may take before the process is killed. */
const QUIT_MS = 3_000;

/** Console and control channel: the first is our standard output, the second file descriptor 3. */
const CHANNELS: readonly string[] = (
  '-chardev stdio,id=console,signal=off -serial chardev:console ' +
  '-chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control'
).split(' ');

/**
 * A running QEMU.
 *
 * It leads its own process group, so that a terminal's Ctrl-C does not reach it before we decide;
 * it is ended with the group when the signal, the time limit, `stop` or our own end says so.
 */
export class QemuProcess {
  readonly pid: number;
  readonly qmp: QmpClient;
  /** Resolves, never rejects, when the process has ended and its output is read to the end. */
  readonly exit: Promise<QemuExit>;
  readonly #story: () => QemuStory;
  readonly #input: NodeJS.WritableStream | undefined;
  #cause: QemuExit['cause'] = 'exited';
  #ended = false;

  constructor(
    { pid, qmp, input }: { pid: number; qmp: QmpClient; input?: NodeJS.WritableStream | undefined },
    ended: Promise<unknown>,
    story: () => QemuStory,
  ) {
    this.pid = pid;
    this.qmp = qmp;
    this.#input = input;
    this.#story = story;
    this.exit = ended.then(() => {
      this.#ended = true;
      qmp.close();
      return { cause: this.#cause, story: story() };
    });
  }

  /** What is known so far; of a running QEMU too. */
  get story(): QemuStory {
    return this.#story();
  }

  /** Types on the guest's console. */
  type(text: string): void {
    if (!this.#ended) this.#input?.write(text);
  }

  /** Kills the process group at once; `exit` tells `cause`. */
  kill(cause: QemuExit['cause'] = 'stopped'): void {
    if (this.#ended) return;
    if (this.#cause === 'exited') this.#cause = cause;
    killGroup(this.pid, 'SIGKILL');
  }

  /** Asks QEMU to quit, kills it when it does not, and waits for its end. */
  async stop(): Promise<QemuExit> {
    if (!this.#ended) {
      this.#cause = this.#cause === 'exited' ? 'stopped' : this.#cause;
      // A QEMU that is gone already closes the socket instead of answering; both are an end.
      await this.qmp.execute('quit', {}, QUIT_MS).catch(() => undefined);
      const wait = new AbortController();
      await Promise.race([
        this.exit,
        sleep(QUIT_MS, undefined, { signal: wait.signal }).catch(() => 0),
      ]);
      wait.abort();
      this.kill();
    }
    return this.exit;
  }
}

/**
 * Starts QEMU and waits until its control channel answers.
 *
 * Throws {@link QemuError}: `qemu/not-started` when the program cannot be run, `qemu/exited` when
 * it ends before it answers (a wrong command line, say), `qemu/aborted`, `qemu/timed-out`.
 */
export async function startQemu(options: StartOptions): Promise<QemuProcess> {
  const running = launch(options);
  const early = running.exit.then((exit) => {
    throw new QemuError(exitCode(exit.cause), exitMessage(exit), exit.story);
  });
  try {
    await Promise.race([running.qmp.negotiate(options.answerTime), early]);
  } catch (error) {
    if (error instanceof QemuError && error.code === 'qemu/qmp-closed') await early;
    running.kill();
    await running.exit;
    throw error;
  }
  early.catch(() => undefined);
  return running;
}

function exitCode(cause: QemuExit['cause']): 'qemu/aborted' | 'qemu/timed-out' | 'qemu/exited' {
  if (cause === 'aborted') return 'qemu/aborted';
  return cause === 'timed-out' ? 'qemu/timed-out' : 'qemu/exited';
}

function exitMessage(exit: QemuExit): string {
  if (exit.cause === 'aborted') return 'QEMU was ended before it had started';
  if (exit.cause === 'timed-out') return 'QEMU reached its time limit before it had started';
  const last = exit.story.errors.at(-1);
  return `QEMU ended before it had started${last === undefined ? '' : `: ${last}`}`;
}

function launch(options: StartOptions): QemuProcess {
  options.signal?.throwIfAborted();
  const argv = [options.program, ...options.args, ...CHANNELS];
  const { argv: command, watch } = leash(argv);
  const [file = options.program, ...args] = command;
  const started = Date.now();
  const child = execa(file, args, {
    detached: true,
    cleanup: false,
    buffer: false,
    reject: false,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  const pid = child.pid;
  const channel = child.stdio[3];
  if (pid === undefined || !(channel instanceof Duplex)) {
    throw new QemuError('qemu/not-started', `${options.program} could not be started`);
  }
  const release = guardGroup(pid);
  watch?.(pid);
  const output = listen(options, child.stdout, child.stderr);
  let end: { exitCode?: number; signal?: string } | undefined;
  const story = (): QemuStory => ({
    argv,
    duration: Date.now() - started,
    ...end,
    errors: output.errors.lines,
    console: output.console.lines,
  });
  const ended = (async (): Promise<void> => {
    const result = await child;
    end = {
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
      ...(result.signal === undefined ? {} : { signal: result.signal }),
    };
    output.flush();
    // What the leader left behind of its group goes with it.
    killGroup(pid, 'SIGKILL');
    release();
  })();
  const input = child.stdin;
  // A QEMU that ends while somebody types is no failure.
  input.on('error', () => undefined);
  const running = new QemuProcess({ pid, qmp: new QmpClient(channel), input }, ended, story);
  limit(running, options);
  return running;
}

interface Output {
  readonly console: Tail;
  readonly errors: Tail;
  readonly flush: () => void;
}

function listen(
  options: StartOptions,
  stdout: NodeJS.ReadableStream | undefined,
  stderr: NodeJS.ReadableStream | undefined,
): Output {
  const console = new Tail(options.tail ?? TAIL_LINES);
  const errors = new Tail(options.tail ?? TAIL_LINES);
  const consoleLines = new LineSplitter((line) => {
    console.push(line);
    options.console?.(line);
  });
  const errorLines = new LineSplitter((line) => {
    const event = parseTraceLine(line);
    if (event !== undefined) options.trace?.(event);
    if (event === undefined || event.kind === 'complaint') {
      errors.push(line);
      options.stderr?.(line);
    }
  });
  stdout?.on('data', (chunk: Buffer) => {
    consoleLines.push(chunk);
  });
  stderr?.on('data', (chunk: Buffer) => {
    errorLines.push(chunk);
  });
  return {
    console,
    errors,
    flush: () => {
      consoleLines.end();
      errorLines.end();
    },
  };
}

function limit(running: QemuProcess, options: StartOptions): void {
  const abort = (): void => {
    running.kill('aborted');
  };
  options.signal?.addEventListener('abort', abort, { once: true });
  const timer =
    options.timeLimit === undefined
      ? undefined
      : setTimeout(() => {
          running.kill('timed-out');
        }, options.timeLimit);
  void running.exit.then(() => {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  });
}

/** A new temporary directory, removed by the returned function or at our end. */
export async function workDirectory(): Promise<{ path: string; remove: () => void }> {
  const path = await mkdtemp(join(tmpdir(), 'viommu-topo-')).catch((cause: unknown) => {
    throw new EnvironmentError(
      'env/temporary-unusable',
      `no directory for temporary files can be made in ${tmpdir()}: ${String(cause)}`,
      'point TMPDIR at a directory that you can write to, and that has room',
      { cause },
    );
  });
  return { path, remove: guardDirectory(path) };
}
