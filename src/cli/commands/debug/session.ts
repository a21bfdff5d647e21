import { DebugError, type DebugClient, type Json, type Notice } from '../../../debug/index.ts';
import { printable } from '../../../report/index.ts';
import { EXIT, type ExitCode } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { showAnswer, showNotice, stopLine } from './show.ts';
import { WORDS, type Call } from './words.ts';

/** Carries out commands on one connection, and says what comes of them. */
export class DebugSession {
  readonly #client: DebugClient;
  readonly #io: Io;
  readonly #json: boolean;
  readonly #announces: boolean;
  #waiting: (() => void) | undefined;

  /** @param announces whether stops that nobody waits for are said, too */
  constructor(client: DebugClient, io: Io, json: boolean, announces = false) {
    this.#client = client;
    this.#io = io;
    this.#json = json;
    this.#announces = announces;
    client.onNotice = (notice) => this.#notice(notice);
    client.onClose = () => this.#waiting?.();
  }

  /** @throws SocketError when the connection is lost */
  async run(call: Call): Promise<ExitCode> {
    switch (call.kind) {
      case 'ask':
        return this.#ask(call);
      case 'wait':
        return this.#wait();
      case 'help':
        this.#io.out(WORDS.map(({ usage, help }) => `${usage}\n    ${help}\n`).join(''));
        return EXIT.OK;
      case 'quit':
        return EXIT.OK;
      default:
        return call satisfies never;
    }
  }

  async #ask({ method, params }: Call & { kind: 'ask' }): Promise<ExitCode> {
    try {
      const answer = await this.#client.ask(method, params);
      this.#io.out(this.#json ? `${JSON.stringify(answer)}\n` : showAnswer(method, answer));
      return EXIT.OK;
    } catch (error) {
      if (!(error instanceof DebugError)) throw error;
      this.#io.err(`${printable(error.message)}\n`);
      return EXIT.INPUT;
    }
  }

  /** The answer is asked for after each notice, so that none can be missed. */
  async #wait(): Promise<ExitCode> {
    for (;;) {
      const noticed = new Promise<void>((done) => void (this.#waiting = done));
      if (this.#client.isClosed) return this.#ended();
      const status = await this.#client.ask('status').catch((error: unknown) => {
        if (this.#client.isClosed) return undefined;
        throw error;
      });
      const { state, stop } = (status ?? { state: 'ended' }) as { state?: Json; stop?: Json };
      if (state === 'ended') return this.#ended();
      if (state === 'stopped') {
        this.#io.out(this.#json ? `${JSON.stringify(stop ?? {})}\n` : `${stopLine(stop)}\n`);
        return EXIT.OK;
      }
      await noticed;
    }
  }

  #ended(): ExitCode {
    this.#io.err('the run ended\n');
    return EXIT.VERDICT;
  }

  #notice({ method, params }: Notice): void {
    if (method !== 'trace') this.#waiting?.();
    const text = this.#json ? `${JSON.stringify(params)}\n` : showNotice(method, params);
    if (method === 'trace' || method === 'missed') this.#io.out(text);
    else if (this.#announces) this.#io.err(text);
  }
}
