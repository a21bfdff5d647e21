import { createInterface } from 'node:readline/promises';
import type { DebugClient, Json } from '../../../debug/index.ts';
import { EXIT, InputError, type ExitCode } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { DebugSession } from './session.ts';
import { complete, readCalls } from './words.ts';

/** Lines that are remembered. */
const HISTORY = 500;

/** Where the lines of an interactive debugger come from. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  readonly isTerminal: boolean;
}

/** A prompt with history and completion, until `quit`, the end of the input, or of the run. */
export async function interact(
  client: DebugClient,
  io: Io,
  { input, output, isTerminal }: Terminal,
): Promise<ExitCode> {
  const session = new DebugSession(client, io, false, true);
  const names = await namesOf(client);
  const lines = createInterface({
    input,
    output,
    terminal: isTerminal,
    historySize: HISTORY,
    removeHistoryDuplicates: true,
    completer: (line: string) => complete(line, names),
  });
  const { onClose } = client;
  client.onClose = (): void => {
    onClose?.();
    lines.close();
  };
  io.signal.addEventListener('abort', () => lines.close(), { once: true });
  if (isTerminal) lines.setPrompt('(viommu) ');
  lines.prompt();
  for await (const line of lines) {
    try {
      const calls = readCalls([line]);
      for (const call of calls) if (call.kind !== 'quit') await session.run(call);
      if (calls.some(({ kind }) => kind === 'quit')) break;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      io.err(`${error.message}${error.cure === undefined ? '' : `: ${error.cure}`}\n`);
    }
    lines.prompt();
  }
  lines.close();
  client.close();
  return EXIT.OK;
}

/** Endpoints and vIOMMUs, for completion. */
async function namesOf(client: DebugClient): Promise<string[]> {
  const { endpoints, viommus } = (await client.ask('list')) as Readonly<Record<string, Json>>;
  const all = [
    ...(Array.isArray(endpoints) ? endpoints : []),
    ...(Array.isArray(viommus) ? viommus : []),
  ];
  const words = all.flatMap((one) => {
    const { name, viommu } = one as { name?: Json; viommu?: Json };
    return [name, viommu].filter((word) => typeof word === 'string');
  });
  return [...new Set(words)];
}
