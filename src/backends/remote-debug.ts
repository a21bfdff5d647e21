import { DebugError, Inspector, type Answerer, type Json } from '../debug/index.ts';
import type { SetupContext, VfioUserServer } from '../vfio-user/index.ts';

/** A debugger's question to the server's thread. */
interface DebugQuestion {
  readonly method: string;
  readonly params: unknown;
}

/** What comes back: an error of the debugger is an answer, since only plain data crosses threads. */
type DebugReply =
  | { readonly value: Json }
  | { readonly error: { readonly code: number; readonly message: string } };

/** What the server's thread says without being asked. */
interface DebugNotice {
  readonly debug: string;
  readonly params: Json;
}

/** The name of the question. */
export const DEBUG_QUESTION = 'debug';

/** In the server's thread: the inspector, made when somebody asks for the first time. */
export function debugAnswers(
  context: SetupContext,
  clock: () => bigint,
): (argument: unknown) => DebugReply {
  let inspector: Inspector | undefined;
  return (argument) => {
    const { method, params } = argument as DebugQuestion;
    if (inspector === undefined) {
      const { hold, release } = context;
      const info = { tool: 'viommu-topo', backend: 'vfio-user' };
      inspector = new Inspector(context.machine(), { hold, release, clock }, info);
      inspector.onNotice = (debug, told): void =>
        context.notice({ debug, params: told } satisfies DebugNotice);
    }
    try {
      return { value: inspector.handle(method, params) };
    } catch (error) {
      if (!(error instanceof DebugError)) throw error;
      return { error: { code: error.code, message: error.message } };
    }
  };
}

/** In the thread that has the debugger's socket: passes questions on, and notices back. */
export class RemoteInspector implements Answerer {
  onNotice: ((method: string, params: Json) => void) | undefined;
  #server: VfioUserServer | undefined;

  /** To be called when the server is there. */
  connect(server: VfioUserServer): void {
    this.#server = server;
  }

  async handle(method: string, params: unknown): Promise<Json> {
    if (this.#server === undefined) throw new Error('the server is not there yet');
    // What is absent must stay absent on its way.
    const question: DebugQuestion = { method, params: params ?? {} };
    const reply = (await this.#server.ask(DEBUG_QUESTION, question)) as DebugReply;
    if ('value' in reply) return reply.value;
    throw new DebugError(reply.error.code, reply.error.message);
  }

  /** Takes what the server's thread says; false when it is not for a debugger. */
  take(notice: unknown): boolean {
    if (typeof notice !== 'object' || notice === null || !('debug' in notice)) return false;
    const { debug, params } = notice as DebugNotice;
    this.onNotice?.(debug, params);
    return true;
  }

  /** The server goes: whoever is connected is told. */
  end(): void {
    this.onNotice?.('ended', {});
  }
}
