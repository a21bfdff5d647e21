import { Option, type Command } from 'commander';
import { DebugClient, SocketError } from '../../../debug/index.ts';
import type { CommandContext } from '../../context.ts';
import { EXIT, InputError, type ExitCode } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { interact } from './interactive.ts';
import { DebugSession } from './session.ts';
import { readCalls, WORDS, type Call } from './words.ts';

interface DebugOptions {
  readonly format: 'text' | 'json';
}

/** `viommu-topo debug`: asks, stops and disturbs a running machine. */
export function registerDebug(program: Command, { io, exit }: CommandContext): void {
  program
    .command('debug')
    .description('look into a running boot or serve, stop it, and let things fail')
    .argument('<socket>', 'the one of --debug')
    .argument('[command...]', 'what to do; several are divided by ";". Default: a prompt')
    .addOption(
      new Option('--format <format>', 'of the answers').choices(['text', 'json']).default('text'),
    )
    .addHelpText(
      'after',
      `
Commands:
${WORDS.map(({ usage, help }) => `  ${usage}\n      ${help}`).join('\n')}

ENDPOINT is a topology id, 0000:00:02.0, or an endpoint ID (0x10).

Examples:
  viommu-topo boot topologies/its.yaml --debug run/its.sock --wait &
  viommu-topo debug run/its.sock 'break map 3; continue; wait; dump disk0'
  viommu-topo debug run/its.sock translate disk0 0xfffff000 --format json
  viommu-topo debug run/its.sock

Exit codes: 0 done, 1 the run ended before what was waited for, 2 a wrong command or nobody of that
name, 3 no such socket, or not yours.`,
    )
    .action(async (path: string, words: string[], options: DebugOptions) => {
      const calls = readCalls(words);
      if (words.length > 0 && calls.length === 0)
        throw new InputError('no command', 'debug SOCKET help');
      exit(await debug(path, calls, options, io));
    });
}

async function debug(
  path: string,
  calls: readonly Call[],
  { format }: DebugOptions,
  io: Io,
): Promise<ExitCode> {
  let client: DebugClient | undefined;
  const close = (): void => client?.close();
  try {
    client = await DebugClient.connect(path);
    io.signal.addEventListener('abort', close);
    if (calls.length === 0) {
      const { stdin: input, stdout: output } = process;
      return await interact(client, io, { input, output, isTerminal: input.isTTY });
    }
    const session = new DebugSession(client, io, format === 'json');
    for (const call of calls) {
      const code = call.kind === 'quit' ? EXIT.OK : await session.run(call);
      if (code !== EXIT.OK || call.kind === 'quit') return code;
    }
    return EXIT.OK;
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    io.err(`viommu-topo: ${error.message}\n  cure: ${error.cure}\n`);
    return EXIT.ENVIRONMENT;
  } finally {
    io.signal.removeEventListener('abort', close);
    client?.close();
  }
}
