import { TapeRecorder, TapeReplayer, type RunTape } from '../../../backends/index.ts';
import { FormatError } from '../../../bytes/index.ts';
import { readBounded } from '../../../topology/index.ts';
import { InputError } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { TextFile } from '../../text-file.ts';
import { packageVersion } from '../../version.ts';
import type { BootOptions } from './options.ts';

/** The largest recording that is read. */
const SIZE_MAX = 256 * 2 ** 20;

/** `--record` or `--replay` of one boot. */
export interface Taping {
  readonly tape: RunTape;
  /** Of a recording that was broken off: the run ends there, without a verdict. */
  readonly isOver: () => boolean;
  /** When the run is over, however it ended. */
  readonly close: () => void;
  /** Says how it went; false: not as recorded. */
  readonly tell: () => boolean;
}

/** @throws InputError for what is no recording */
export function tapingFor(options: BootOptions, io: Io): Taping | undefined {
  if (options.record !== undefined) return recorder(options.record, options);
  return options.replay === undefined ? undefined : replayer(options.replay, io);
}

function recorder(path: string, { realtime }: BootOptions): Taping {
  const file = new TextFile(path);
  const tape = new TapeRecorder({
    tool: packageVersion(),
    write: (text) => file.write(text),
    realTime: realtime === true,
  });
  return {
    tape,
    isOver: () => false,
    close: () => {
      tape.close();
      file.close();
    },
    tell: () => true,
  };
}

function replayer(path: string, io: Io): Taping {
  const tape = read(path, (bytes) => io.outBytes(bytes));
  return {
    tape,
    isOver: () => tape.result.ended,
    close: () => undefined,
    tell: () => {
      const { otherwise, parted, ended, checks, events, lines, instructions } = tape.result;
      for (const what of otherwise) io.err(`replay: ${what}\n`);
      if (parted !== undefined) {
        io.err(`replay: the run parts from the recording: ${parted}\n`);
        return false;
      }
      const until = ended ? 'until the recording was broken off' : 'to the end';
      io.err(
        `replay: the same ${until}: ${instructions} instructions, ` +
          `${checks} checkpoints, ${events} events, ${lines} lines\n`,
      );
      return true;
    },
  };
}

function read(path: string, output: (bytes: Uint8Array) => void): TapeReplayer {
  const file = readBounded(path, SIZE_MAX);
  if (file.kind === 'unreadable') throw new InputError(`cannot read ${path}: ${file.reason}`);
  if (file.kind === 'too-large') throw new InputError(`${path} is no recording: above 256 MiB`);
  try {
    return new TapeReplayer(Buffer.from(file.bytes).toString('utf8'), output);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const cure = 'name a file that `boot --record` wrote';
    throw new InputError(`${path}: ${error.message} [${error.code}]`, cure, { cause: error });
  }
}
