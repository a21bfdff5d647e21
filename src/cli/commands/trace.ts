import { InvalidArgumentError, Option, type Command } from 'commander';
import { FormatError } from '../../bytes/index.ts';
import { printable } from '../../report/index.ts';
import {
  ChromeTrace,
  diffTraces,
  eventOf,
  IGNORED,
  readTrace,
  showRecord,
  type TraceDifference,
  type TraceEntry,
} from '../../trace/index.ts';
import type { CommandContext } from '../context.ts';
import { EXIT, InputError } from '../exit.ts';
import { refuseInput, refuseUnending } from '../files.ts';
import { TextFile } from '../text-file.ts';

interface DiffOptions {
  readonly ignore: readonly string[];
  readonly kind?: readonly string[];
  readonly console?: boolean;
  readonly context: number;
  readonly format: 'text' | 'json';
}

interface ShowOptions {
  readonly kind?: readonly string[];
  readonly endpoint?: number;
  readonly limit: number;
}

/** Records told around a difference. */
const CONTEXT_MAX = 1000;

/** `viommu-topo trace`: what `boot --trace` wrote. */
export function registerTrace(program: Command, context: CommandContext): void {
  const trace = program.command('trace').description('read what boot --trace wrote');
  registerDiff(trace, context);
  registerShow(trace, context);
  registerConvert(trace, context);
}

function registerDiff(trace: Command, { io, exit }: CommandContext): void {
  trace
    .command('diff')
    .description('tell where two runs part')
    .argument('<a>', 'a trace (JSON lines)')
    .argument('<b>', 'another')
    .option('--ignore <fields>', 'fields that may differ, with commas', list, [...IGNORED])
    .option('--kind <kinds>', 'compare only these kinds of events, with commas', list)
    .option('--console', 'compare the lines of the console as well')
    .option('--context <n>', 'records shown before and after', contextCount, 3)
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
Examples:
  viommu-topo trace diff good.jsonl bad.jsonl
  viommu-topo trace diff good.jsonl bad.jsonl --kind attach,map,unmap --ignore order,time,text,phys

Exit codes: 0 alike, 1 they part, 2 a file is no trace.`,
    )
    .action(async (a: string, b: string, options: DiffOptions) => {
      const { kind, context, ignore } = options;
      const found = await reading(() =>
        diffTraces(traceOf(a), traceOf(b), {
          ignore,
          ...(kind === undefined ? {} : { kinds: kind }),
          console: options.console === true,
          context,
        }),
      );
      if (options.format === 'json') io.out(`${JSON.stringify(found, undefined, 2)}\n`);
      else io.out(differenceText(found, a, b));
      exit(found.same ? EXIT.OK : EXIT.VERDICT);
    });
}

function registerShow(trace: Command, { io }: CommandContext): void {
  trace
    .command('show')
    .description('print a trace, one line a record')
    .argument('<file>', 'a trace (JSON lines)')
    .option('--kind <kinds>', 'only these kinds of events, with commas', list)
    .option('--endpoint <id>', 'only events that name this endpoint ID', endpointId)
    .option('--limit <n>', 'records printed; 0: all', count, 0)
    .action(async (file: string, options: ShowOptions) => {
      await reading(async () => {
        let printed = 0;
        for await (const { record } of traceOf(file)) {
          if (!isShown(record, options)) continue;
          io.out(`${printable(showRecord(record))}\n`);
          if (++printed === options.limit) return;
        }
      });
    });
}

function registerConvert(trace: Command, { io }: CommandContext): void {
  trace
    .command('convert')
    .description('make a trace for Perfetto or chrome://tracing')
    .argument('<file>', 'a trace (JSON lines)')
    .requiredOption('-o, --output <file>', 'such as run.perfetto.json')
    .action(async (file: string, { output }: { output: string }) => {
      refuseInput(output, [file]);
      const target = new TextFile(output);
      let unknown = 0;
      try {
        const chrome = new ChromeTrace((text) => target.write(text));
        const runs = new Map<number, number>();
        await reading(async () => {
          for await (const { record } of traceOf(file)) {
            if (record.type === 'header') runs.set(record.run, chrome.begin(record));
            const run = runs.get(record.run) ?? 0;
            const event = eventOf(record);
            if (event !== undefined) chrome.event(run, event);
            else if (record.type === 'event') unknown++;
            else if (record.type === 'console') chrome.console(run, record.text, record.time);
            else if (record.type === 'end') chrome.end(run, record);
          }
        });
        chrome.close();
      } finally {
        target.close();
      }
      if (unknown > 0) io.err(`${unknown} event(s) of kinds that the viewer has no place for\n`);
    });
}

function traceOf(file: string): ReturnType<typeof readTrace> {
  refuseUnending(file);
  return readTrace(file);
}

/** Runs what reads traces; what stands in the way is the user's. */
async function reading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FormatError) {
      const cure = 'name a file that boot --trace FILE wrote';
      throw new InputError(`${error.message} [${error.code}]`, cure, { cause: error });
    }
    const { code, path } = error as NodeJS.ErrnoException;
    if (code === undefined || path === undefined) throw error;
    throw new InputError(`cannot read ${path}: ${code}`, 'name a file that exists', {
      cause: error,
    });
  }
}

function isShown(record: TraceEntry['record'], { kind, endpoint }: ShowOptions): boolean {
  if (record.type !== 'event') return kind === undefined && endpoint === undefined;
  if (kind !== undefined && !kind.includes(record.kind)) return false;
  return endpoint === undefined || record['endpoint'] === endpoint;
}

function differenceText(found: TraceDifference, a: string, b: string): string {
  if (found.same) return `alike: ${found.compared} records\n`;
  const line = (mark: string, { record, line: number }: TraceEntry): string =>
    `${mark} ${String(number).padStart(6)}  ${printable(showRecord(record))}`;
  const what = found.fields.length === 0 ? '' : ` in ${found.fields.join(', ')}`;
  return [
    `they part after ${found.compared} records${what}`,
    ...found.before.map((entry) => line(' ', entry)),
    found.a === undefined ? `- ${a} ends here` : line('-', found.a),
    ...found.afterA.map((entry) => line('-', entry)),
    found.b === undefined ? `+ ${b} ends here` : line('+', found.b),
    ...found.afterB.map((entry) => line('+', entry)),
    '',
  ].join('\n');
}

function list(text: string): string[] {
  return text.split(',').filter((word) => word !== '');
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === '') {
    throw new InvalidArgumentError('A number of records is wanted.');
  }
  return value;
}

function contextCount(text: string): number {
  return Math.min(count(text), CONTEXT_MAX);
}

function endpointId(text: string): number {
  const value = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/iu.test(text) ? Number(text) : -1;
  if (value < 0 || value > 0xffff_ffff)
    throw new InvalidArgumentError('An endpoint ID is wanted, such as 0x10.');
  return value;
}
