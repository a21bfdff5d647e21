import { renderVerdict, verdictJson, verdictsJunit, verdictsTap } from '../../../report/index.ts';
import type { BootHooks, DeviceEvent, Observation, Verdict } from '../../../scenario/index.ts';
import { writeResult } from '../../files.ts';
import type { Io } from '../../io.ts';
import type { BootOptions, VerdictFormat } from './options.ts';
import type { Boot } from './boots.ts';
import { reportOutput } from './report-output.ts';
import { traceOutput } from './trace-output.ts';

/** What an output is made from. */
export interface OutputParts {
  readonly io: Io;
  readonly options: BootOptions;
  /** Boots at once. */
  readonly jobs: number;
  /** Must be called before something is printed while a guest runs. */
  readonly clearProgress: () => void;
}

/** Somebody who wants to know of boots: prints, writes files, draws. All parts are optional. */
export interface Output {
  /** A line of a guest's console. */
  console?(boot: Boot, line: string, time?: number): void;
  /** What the device did; only backends that can see it tell of it. */
  event?(boot: Boot, event: DeviceEvent): void;
  /** Everything that was seen of a boot, before its verdict. */
  observed?(boot: Boot, observation: Observation): void;
  /** A boot is over; in the order of the files. */
  verdict?(verdict: Verdict, boot: Boot): void;
  /** All boots are over. */
  end?(verdicts: readonly Verdict[]): void | Promise<void>;
  /** Whatever became of the boots: nothing follows. */
  close?(): void;
}

/** Answers undefined when the options do not ask for it. */
export type MakeOutput = (parts: OutputParts) => Output | undefined;

/** One line for each output. */
const OUTPUTS: readonly MakeOutput[] = [
  consoleOutput,
  textOutput,
  fileOutput,
  traceOutput,
  reportOutput,
];

/** The outputs that the options ask for. */
export function outputsFor(parts: OutputParts): Output[] {
  return OUTPUTS.flatMap((make) => make(parts) ?? []);
}

/** What a backend is to tell, so that all outputs hear it. Nothing that nobody listens to. */
export function hooksOf(
  outputs: readonly Output[],
  boot: Boot,
): Pick<BootHooks, 'console' | 'event' | 'observed'> {
  const lines = outputs.filter((output) => output.console !== undefined);
  const events = outputs.filter((output) => output.event !== undefined);
  const observers = outputs.filter((output) => output.observed !== undefined);
  return {
    ...(lines.length === 0
      ? {}
      : {
          console: (line, time): void =>
            lines.forEach((output) => output.console?.(boot, line, time)),
        }),
    ...(events.length === 0
      ? {}
      : { event: (event): void => events.forEach((output) => output.event?.(boot, event)) }),
    ...(observers.length === 0
      ? {}
      : {
          observed: (observation): void =>
            observers.forEach((output) => output.observed?.(boot, observation)),
        }),
  };
}

/** `--show-console` */
function consoleOutput({ io, options, jobs, clearProgress }: OutputParts): Output | undefined {
  if (options.showConsole !== true) return undefined;
  return {
    console: ({ model }, line) => {
      clearProgress();
      io.err(jobs === 1 ? `${line}\n` : `${model.name}| ${line}\n`);
    },
  };
}

/** Verdicts for the terminal: as they come, or, when a file gets them in another form, at the end. */
function textOutput({ io, options }: OutputParts): Output | undefined {
  const { format, output, verbose } = options;
  const print = (verdict: Verdict): void =>
    io.out(renderVerdict(verdict, { color: io.colorOut, verbose: verbose === true }));
  if (format === 'text') return { verdict: print };
  return output === undefined ? undefined : { end: (verdicts) => verdicts.forEach(print) };
}

/** JSON, JUnit and TAP at the end, whole; with -o into a file. */
function fileOutput({ io, options }: OutputParts): Output | undefined {
  const { format, output } = options;
  if (format === 'text' && output === undefined) return undefined;
  return {
    end: (verdicts) => {
      const text = machineReadable(format, verdicts);
      if (output === undefined) io.out(text);
      else writeResult(output, text);
    },
  };
}

function plain(verdicts: readonly Verdict[]): string {
  return verdicts
    .map((verdict) => renderVerdict(verdict, { color: false, verbose: true }))
    .join('\n');
}

/** Verdicts as a file holds them. */
export function machineReadable(format: VerdictFormat, verdicts: readonly Verdict[]): string {
  if (format === 'text') return plain(verdicts);
  if (format === 'junit') return verdictsJunit(verdicts);
  if (format === 'tap') return verdictsTap(verdicts);
  // One verdict is an object, several are an array of them.
  const [first, ...rest] = verdicts.map(verdictJson);
  return rest.length === 0 ? (first ?? 'null') : `[${[first, ...rest].join(',\n')}]\n`;
}
