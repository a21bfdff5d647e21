import { execa } from 'execa';
import type { Finding } from './finding.ts';

interface Judge {
  readonly program: string;
  readonly argv: readonly string[];
  /** The version in what it prints. */
  readonly version: RegExp;
  readonly use: string;
  readonly install: string;
  /** Why a version is of no use, if it is. */
  readonly flaw?: (version: string) => string | undefined;
}

/** The first ACPICA that knows VIOT; older ones print it as unknown. */
const IASL_VIOT = 20210930;

/** Programs that help, without which everything still works; each with Debian's package. */
const PROGRAMS: readonly Judge[] = [
  {
    program: 'dtc',
    argv: ['--version'],
    version: /DTC v?(\S+)/u,
    use: 'a second opinion on device trees, and edits of them',
    install: 'sudo apt-get install device-tree-compiler',
  },
  {
    program: 'iasl',
    argv: ['-v'],
    version: /version (\d+)/u,
    use: 'a second opinion on ACPI tables',
    install: 'sudo apt-get install acpica-tools',
    flaw: (version) =>
      Number(version) < IASL_VIOT
        ? `${version} does not know VIOT; it needs ${IASL_VIOT}`
        : undefined,
  },
  {
    program: 'dt-validate',
    argv: ['--version'],
    version: /(\d+(?:\.\d+)+)/u,
    use: 'device trees against the kernel’s bindings (tests)',
    install: 'sudo apt-get install dt-schema',
  },
  {
    program: 'chromium',
    argv: ['--version'],
    version: /Chromium (\S+)/u,
    use: 'tests of the HTML report',
    install: 'sudo apt-get install chromium',
  },
];

/** Waits longest for a browser that starts for the first time. */
const PATIENCE_MS = 20_000;

export function findPrograms(signal: AbortSignal): Promise<Finding[]> {
  return Promise.all(PROGRAMS.map((judge) => ask(judge, signal)));
}

async function ask(judge: Judge, signal: AbortSignal): Promise<Finding> {
  const { program, argv, use, install } = judge;
  const result = await execa(program, argv, {
    reject: false,
    timeout: PATIENCE_MS,
    stdin: 'ignore',
    all: true,
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  if (result.code === 'ENOENT') {
    return { subject: program, state: 'missing', seen: 'not on PATH', use, cure: install };
  }
  const version = judge.version.exec(result.all ?? '')?.[1];
  if (version === undefined) {
    const seen = `does not answer ${argv.join(' ')} as it should (exit code ${String(result.exitCode)})`;
    return { subject: program, state: 'bad', seen, use, cure: install };
  }
  const flaw = judge.flaw?.(version);
  if (flaw !== undefined) return { subject: program, state: 'bad', seen: flaw, use, cure: install };
  return { subject: program, state: 'ok', seen: version, use };
}
