import { ChromeTrace, JsonLinesTrace, type TraceSink } from '../../../trace/index.ts';
import { packageVersion } from '../../version.ts';
import { TextFile } from '../../text-file.ts';
import type { Boot } from './boots.ts';
import type { Output, OutputParts } from './outputs.ts';

/** `--trace`: every event of every boot, in one file. */
export function traceOutput({ options }: OutputParts): Output | undefined {
  const { trace, seed } = options;
  if (trace === undefined) return undefined;
  const file = new TextFile(trace);
  const sink = sinkFor(trace, options.traceFormat, (text) => file.write(text));
  const runs = new Map<Boot, number>();
  const runOf = (boot: Boot): number => {
    const known = runs.get(boot);
    if (known !== undefined) return known;
    const { model, file: name, backend, kind } = boot;
    const tool = packageVersion();
    const run = sink.begin({
      tool,
      topology: model.name,
      file: name,
      backend,
      firmware: kind,
      seed,
    });
    runs.set(boot, run);
    return run;
  };
  return {
    event: (boot, event) => sink.event(runOf(boot), event),
    console: (boot, line, time) => sink.console(runOf(boot), line, time),
    verdict: ({ outcome, ending }, boot) =>
      sink.end(runOf(boot), { outcome, ending: `${ending.kind}: ${ending.detail}` }),
    close: () => {
      sink.close();
      file.close();
    },
  };
}

function sinkFor(
  file: string,
  format: 'jsonl' | 'chrome' | undefined,
  write: (text: string) => void,
): TraceSink {
  const chrome =
    format === undefined ? /\.(?:perfetto|chrome)\.json$/u.test(file) : format === 'chrome';
  return chrome ? new ChromeTrace(write) : new JsonLinesTrace(write);
}
