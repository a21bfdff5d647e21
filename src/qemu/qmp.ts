import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { z } from 'zod';

import { QemuError } from './error.ts';

/** An asynchronous message of QEMU: `STOP`, `SHUTDOWN` … */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const MESSAGE = z.union([
  z.object({ QMP: z.object({}).loose() }),
  z.object({ return: z.unknown(), id: z.number() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.number().optional() }),
  z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() }),
]);

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** How long an answer may take: `pmemsave` of all RAM is the slowest thing asked here. */
const ANSWER_MS = 30_000;

/** Most QMP answers fit here; `qom-list-types` is 100 KiB. What is longer is not from QEMU. */
const MESSAGE_MAX = 16 * 1024 * 1024;

/**
 * A client of QEMU's machine protocol (docs/interop/qmp-spec of QEMU) over any byte stream.
 *
 * Tolerant: lines that are not JSON, unknown messages and answers nobody waits for are dropped.
 * When the stream ends, everything that waits fails with `qemu/qmp-closed`.
 */
export class QmpClient {
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #next = 1;
  #closed = false;
  #greet: (() => void) | undefined;
  #greeted = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const lines = new JsonLines((text) => {
      this.#line(text);
    });
    stream.on('data', (chunk: Buffer) => {
      if (!lines.push(chunk)) stream.destroy();
    });
    for (const end of ['end', 'close', 'error'] as const) {
      stream.on(end, () => {
        this.#end();
      });
    }
  }

  /** Calls `listener` for every event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Waits for QEMU's greeting and leaves negotiation mode; must come first. */
  async negotiate(timeoutMs: number = ANSWER_MS): Promise<void> {
    if (!this.#greeted && !this.#closed) {
      await withTimeout(
        new Promise<void>((resolve) => {
          this.#greet = resolve;
        }),
        timeoutMs,
        'QEMU sent no QMP greeting',
      );
    }
    await this.execute('qmp_capabilities', {}, timeoutMs);
  }

  /**
   * Runs one command and returns its answer, which the caller must check.
   *
   * Throws {@link QemuError}: `qemu/qmp-error` when QEMU refuses, `qemu/qmp-closed` when it has
   * gone, `qemu/qmp-timeout` when no answer comes in time.
   */
  async execute(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    timeoutMs: number = ANSWER_MS,
  ): Promise<unknown> {
    if (this.#closed) throw closedError(command);
    const id = this.#next++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
    });
    this.#stream.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    try {
      return await withTimeout(answer, timeoutMs, `QEMU did not answer ${command}`);
    } finally {
      this.#pending.delete(id);
    }
  }

  /** A command of the human monitor; its output as text. */
  async human(command: string): Promise<string> {
    const text = await this.execute('human-monitor-command', { 'command-line': command });
    return typeof text === 'string' ? text : '';
  }

  close(): void {
    this.#stream.destroy();
    this.#end();
  }

  #line(text: string): void {
    const message = parseMessage(text);
    if (message === undefined) return;
    if ('QMP' in message) {
      this.#greeted = true;
      this.#greet?.();
    } else if ('event' in message) {
      const event = { event: message.event, data: message.data ?? {} };
      for (const listener of this.#listeners) listener(event);
    } else if (message.id !== undefined) {
      const waiting = this.#pending.get(message.id);
      if ('error' in message) {
        waiting?.reject(
          new QemuError(
            'qemu/qmp-error',
            `QEMU refused: ${message.error.desc} (${message.error.class})`,
          ),
        );
      } else waiting?.resolve(message.return);
    }
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#greet?.();
    for (const waiting of this.#pending.values()) waiting.reject(closedError('a command'));
    this.#pending.clear();
  }
}

/** Connects to a QMP socket in the file system. */
export async function connectQmp(path: string): Promise<QmpClient> {
  const socket = createConnection(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return new QmpClient(socket);
}

function closedError(command: string): QemuError {
  return new QemuError('qemu/qmp-closed', `QEMU closed its control socket during ${command}`);
}

function parseMessage(text: string): z.infer<typeof MESSAGE> | undefined {
  try {
    const result = MESSAGE.safeParse(JSON.parse(text));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}

/** Lines longer than a console's: whole answers. Refuses to grow beyond {@link MESSAGE_MAX}. */
class JsonLines {
  #chunks: Buffer[] = [];
  #size = 0;
  readonly #line: (text: string) => void;

  constructor(line: (text: string) => void) {
    this.#line = line;
  }

  push(chunk: Buffer): boolean {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      this.#chunks.push(chunk.subarray(from, at));
      const text = Buffer.concat(this.#chunks).toString('utf8');
      this.#chunks = [];
      this.#size = 0;
      this.#line(text);
      from = at + 1;
    }
    const rest = chunk.subarray(from);
    if (rest.length > 0) this.#chunks.push(rest);
    this.#size += rest.length;
    return this.#size <= MESSAGE_MAX;
  }
}

async function withTimeout<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new QemuError('qemu/qmp-timeout', `${message} within ${ms / 1000} s`));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
