import type { ExitCode } from './exit.ts';
import type { Io } from './io.ts';

/** What a command needs of its surroundings. */
export interface CommandContext {
  readonly io: Io;
  /** Sets the exit code of a command that ran to its end. */
  readonly exit: (code: ExitCode) => void;
}
