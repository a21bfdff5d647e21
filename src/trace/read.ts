import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { FormatError } from '../bytes/index.ts';
import type { DeviceEvent } from '../scenario/index.ts';
import { rangeOf, TRACE_FORMAT, TRACE_VERSION, type TraceRecord } from './record.ts';

/** Bytes of a line. The longest that is written is a console line. */
const LINE_MAX = 1 << 20;
const NEWLINE = 0x0a;

/** A record, and where it is. */
export interface TraceEntry {
  readonly record: TraceRecord;
  /** From 1. */
  readonly line: number;
}

const run = z.int().min(0).default(0);
const words = z.string().max(LINE_MAX);

const HEADER = z.object({
  type: z.literal('header'),
  format: z.literal(TRACE_FORMAT),
  version: z.int().min(1),
  run,
  tool: words,
  topology: words,
  file: words,
  backend: words,
  firmware: words,
  seed: words,
});

const RECORD = z.discriminatedUnion('type', [
  HEADER,
  z.looseObject({ type: z.literal('event'), run, kind: words }),
  z.object({ type: z.literal('console'), run, time: z.number().optional(), text: words }),
  z.object({ type: z.literal('end'), run, events: z.int().min(0), outcome: words, ending: words }),
]);

/**
 * Reads a trace line by line, however large it is.
 *
 * @throws FormatError `trace/…` with the byte offset of the line; its message begins with `FILE:LINE`.
 * Errors of the file system pass through.
 */
export async function* readTrace(file: string): AsyncGenerator<TraceEntry, void, undefined> {
  let line = 0;
  let version: number | undefined;
  for await (const { bytes, offset } of linesOf(file)) {
    line++;
    const fail = (code: string, what: string): FormatError =>
      new FormatError(`trace/${code}`, offset, `${file}:${line}: ${what}`);
    if (bytes.length > LINE_MAX) throw fail('long-line', `longer than ${LINE_MAX} bytes`);
    const text = bytes.toString('utf8').trim();
    if (text === '') continue;
    const record = parse(text, fail);
    if (record.type === 'header') version = record.version;
    if (version === undefined) throw fail('no-header', 'a trace begins with its header');
    if (version > TRACE_VERSION) {
      throw fail(
        'version',
        `version ${version} of the format; this program reads ${TRACE_VERSION}`,
      );
    }
    yield { record, line };
  }
  if (version === undefined)
    throw new FormatError('trace/empty', 0, `${file}: no trace: it is empty`);
}

function parse(text: string, fail: (code: string, what: string) => FormatError): TraceRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail('json', `not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { success, data, error } = RECORD.safeParse(value);
  if (success) return data as TraceRecord;
  const [issue] = error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw fail('record', `no record of a trace: ${where}${issue?.message ?? ''}`);
}

interface Line {
  readonly bytes: Buffer;
  readonly offset: number;
}

/** Lines of a file; one that is too long is given as far as it was read. */
async function* linesOf(file: string): AsyncGenerator<Line, void, undefined> {
  const stream = createReadStream(file);
  let pending: Buffer[] = [];
  let length = 0;
  let offset = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const bytes = Buffer.concat([...pending, chunk.subarray(from, at)]);
      yield { bytes, offset };
      offset += bytes.length + 1;
      pending = [];
      length = 0;
      from = at + 1;
    }
    pending.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > LINE_MAX) break;
  }
  if (length > 0) yield { bytes: Buffer.concat(pending), offset };
}

const address = z
  .string()
  .regex(/^0x[0-9a-f]{1,16}$/u)
  .transform((text) => BigInt(text));
const range = z.string().transform((text, context) => {
  const found = rangeOf(text);
  if (found !== undefined) return found;
  context.addIssue({ code: 'custom', message: 'no range' });
  return z.NEVER;
});
const id = z.int().min(0).max(0xffff_ffff);
const common = {
  order: z.number(),
  time: z.number().optional(),
  viommu: z.string().optional(),
  status: z.int().optional(),
  text: z.string().optional(),
};

const EVENT = z.discriminatedUnion('kind', [
  z.object({ ...common, kind: z.literal('probe'), endpoint: id }),
  z.object({
    ...common,
    kind: z.literal('attach'),
    endpoint: id,
    domain: id,
    bypass: z.boolean().optional(),
  }),
  z.object({ ...common, kind: z.literal('detach'), endpoint: id, domain: id }),
  z.object({
    ...common,
    kind: z.literal('map'),
    domain: id,
    virt: range,
    phys: address,
    flags: id,
  }),
  z.object({ ...common, kind: z.literal('unmap'), domain: id, virt: range }),
  z.object({
    ...common,
    kind: z.literal('access'),
    endpoint: id,
    iova: address,
    length: z.number().optional(),
    write: z.boolean(),
    how: z.enum(['translated', 'bypassed']),
  }),
  z.object({
    ...common,
    kind: z.literal('fault'),
    endpoint: id,
    reason: z.enum(['unknown', 'domain', 'mapping']),
    address: address.optional(),
    write: z.boolean().optional(),
  }),
  z.object({ ...common, kind: z.literal('msi'), endpoint: id, address }),
]);

/** The event of a record again; undefined for kinds that are not known here, or fields amiss. */
export function eventOf(record: TraceRecord): DeviceEvent | undefined {
  if (record.type !== 'event') return undefined;
  const { success, data } = EVENT.safeParse(record);
  if (!success) return undefined;
  // What is absent is left out, as the type of an event wants it.
  return Object.fromEntries(
    Object.entries(data).filter(([, value]) => value !== undefined),
  ) as unknown as DeviceEvent;
}
