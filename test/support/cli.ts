import { runCommand } from '../../src/cli/main.ts';

export interface CliResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line inside this process, with its output kept. */
export async function cli(...argv: string[]): Promise<CliResult> {
  let out = '';
  let err = '';
  const code = await runCommand(argv, {
    out: (text) => void (out += text),
    outBytes: (bytes) => void (out += Buffer.from(bytes).toString('latin1')),
    err: (text) => void (err += text),
    interactive: false,
    colorOut: false,
    colorErr: false,
    env: {},
    signal: new AbortController().signal,
  });
  return { code, out, err };
}
