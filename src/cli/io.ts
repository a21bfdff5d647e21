/** Where a command reads and writes; tests give their own. */
export interface Io {
  /** Results: what a user would redirect to a file. */
  readonly out: (text: string) => void;
  /** Raw results, for binary output to standard output. */
  readonly outBytes: (bytes: Uint8Array) => void;
  /** Everything said to the person in front: diagnostics, progress, errors. */
  readonly err: (text: string) => void;
  /** Whether `err` goes to a terminal that understands cursor movement. */
  readonly interactive: boolean;
  /** How wide that terminal is now; absent or undefined: not known. */
  readonly columns?: () => number | undefined;
  /** Whether `out` and `err` may carry colours. */
  readonly colorOut: boolean;
  readonly colorErr: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What is typed; absent where nobody can. */
  readonly keys?: Keys;
  /** Aborted by SIGINT and SIGTERM; the reason is the signal's name. */
  readonly signal: AbortSignal;
}

/** A keyboard and its screen, for commands that hand them on to somebody. */
export interface Keys {
  /** Lines and columns of the screen. */
  readonly size: () => { readonly rows: number; readonly columns: number };
  /** Keys come as they are pressed, Ctrl-C among them; ends with the function that it returns. */
  readonly listen: (heard: (bytes: Uint8Array) => void, ended: () => void) => () => void;
}

/** Colours only on a terminal, unless FORCE_COLOR asks for them or NO_COLOR forbids them. */
export function colours(
  stream: Pick<NodeJS.WriteStream, 'isTTY'>,
  env: NodeJS.ProcessEnv,
): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR'] && env['FORCE_COLOR'] !== '0') return true;
  return stream.isTTY && env['TERM'] !== 'dumb';
}

/** A terminal in front of a person: CI systems have some that nobody looks at. */
export function movesCursor(
  stream: Pick<NodeJS.WriteStream, 'isTTY'>,
  env: NodeJS.ProcessEnv,
): boolean {
  const inCi = !['', '0', 'false', undefined].includes(env['CI']);
  return stream.isTTY && env['TERM'] !== 'dumb' && !inCi;
}

/** The process's own streams. */
export function processIo(signal: AbortSignal): Io {
  return {
    out: (text) => void process.stdout.write(text),
    outBytes: (bytes) => void process.stdout.write(bytes),
    err: (text) => void process.stderr.write(text),
    interactive: movesCursor(process.stderr, process.env),
    columns: () => process.stderr.columns,
    colorOut: colours(process.stdout, process.env),
    colorErr: colours(process.stderr, process.env),
    env: process.env,
    keys: processKeys,
    signal,
  };
}

const processKeys: Keys = {
  // No rows and no columns is what a terminal has whose size nobody has set.
  size: () => ({ rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 }),
  listen: (heard, ended) => {
    const { stdin } = process;
    if (stdin.isTTY) stdin.setRawMode(true);
    stdin.on('data', heard).on('end', ended).resume();
    return () => {
      stdin.off('data', heard).off('end', ended).pause();
      if (stdin.isTTY) stdin.setRawMode(false);
    };
  },
};
