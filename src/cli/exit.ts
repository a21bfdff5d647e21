/** Exit codes of the command line tool; documented in the README. */
export const EXIT = {
  /** Everything asked for was done, and nothing was found wrong. */
  OK: 0,
  /** A guest ran and did not show what the topology promises. */
  VERDICT: 1,
  /** The user's files or arguments are wrong. */
  INPUT: 2,
  /** The machine lacks something: a program, a kernel, a right. */
  ENVIRONMENT: 3,
  /** A mistake of this program. */
  BUG: 70,
  /** Stopped by SIGINT (Ctrl-C), as shells count it. */
  INTERRUPTED: 130,
  /** Stopped by SIGTERM. */
  TERMINATED: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A mistake of the user's that is not a diagnostic of a file: a path, an argument. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly cure: string | undefined;

  constructor(message: string, cure?: string, options?: ErrorOptions) {
    super(message, options);
    this.cure = cure;
  }
}

/** The user left a guest's console, and ended the boot by that. */
export class ConsoleLeft extends Error {
  override readonly name = 'ConsoleLeft';
}
