import type { Terminal } from '../../../backends/index.ts';
import { InputError } from '../../exit.ts';
import type { Io } from '../../io.ts';

/** Ctrl-], as telnet and picocom have it: no shell and no editor needs it. */
const ESCAPE = 0x1d;
/** What a terminal's driver makes of Ctrl-D: the end of what is typed. */
const END_OF_INPUT = Uint8Array.of(0x04);

/** `--console`: the user's terminal, joined to a guest's. */
export interface JoinedTerminal {
  readonly terminal: Terminal;
  /** Gives the user's terminal back, as it was. */
  readonly release: () => void;
}

/**
 * @param leave called when the user types Ctrl-]
 * @throws InputError without anything to type at
 */
export function joinTerminal(io: Io, leave: () => void): JoinedTerminal {
  const { keys } = io;
  if (keys === undefined) throw new InputError('--console: there is nothing to type at here');
  let stop: (() => void) | undefined;
  const waiting: Uint8Array[] = [];
  const flush = (): void => {
    if (waiting.length > 0) io.outBytes(Buffer.concat(waiting.splice(0)));
  };
  const terminal: Terminal = {
    ...keys.size(),
    // Guests send byte by byte.
    output: (bytes) => {
      if (waiting.push(bytes) === 1) setImmediate(flush);
    },
    connect: (input) => {
      stop = keys.listen(
        (bytes) => {
          const at = bytes.indexOf(ESCAPE);
          if (at !== 0) input(at < 0 ? bytes : bytes.subarray(0, at));
          if (at >= 0) leave();
        },
        () => input(END_OF_INPUT),
      );
    },
  };
  const release = (): void => {
    stop?.();
    flush();
  };
  return { terminal, release };
}
