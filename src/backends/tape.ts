import { createHash } from 'node:crypto';
import { z } from 'zod';

import { FormatError } from '../bytes/index.ts';
import type { Emulator, RealTime } from '../emulator/index.ts';
import type { DeviceEvent } from '../scenario/index.ts';
import type { Terminal } from './emulator-terminal.ts';

export const TAPE_FORMAT = 'viommu-topo-recording';
export const TAPE_VERSION = 1;

/** What a run is made from, as far as it can be told before its first instruction. */
export interface RunOrigin {
  readonly topology: string;
  readonly firmware: 'device-tree' | 'acpi';
  readonly kernel: string;
  readonly seed: string;
  /** Hashes of the topology's machine, and of the code that plays it. */
  readonly machine: string;
  readonly code: string;
}

/** Somebody who writes a run down, or compares it with one that was written down. */
export interface RunTape {
  /** Whether the run is in real time; undefined: as it is asked for. */
  readonly realTime: boolean | undefined;
  /** Ends a run that there is nothing more to tell to. */
  readonly signal: AbortSignal | undefined;
  /** The terminal that the guest has, instead of the one it is given. */
  terminal(given: Terminal | undefined): Terminal | undefined;
  /** The time of a run in real time. */
  time(open: boolean): RealTime;
  origin(origin: RunOrigin): void;
  /** What lies in RAM before the first instruction (hash); again after a reset. */
  boot(placed: string): void;
  line(text: string): void;
  event(event: DeviceEvent): void;
  /** Now and then, between two instructions, and when the run is over. */
  check(emulator: Emulator, ending?: string): void;
}

const hash8 = z.string().regex(/^[0-9a-f]{8}$/u);
const count = z.number().int().min(0);

const HEADER = z.strictObject({
  kind: z.literal('header'),
  format: z.literal(TAPE_FORMAT),
  version: z.number(),
  tool: z.string(),
  realTime: z.boolean(),
  terminal: z.strictObject({ rows: count.max(10_000), columns: count.max(10_000) }).optional(),
  origin: z.strictObject({
    topology: z.string(),
    firmware: z.enum(['device-tree', 'acpi']),
    kernel: z.string(),
    seed: z.string(),
    machine: z.string(),
    code: z.string(),
  }),
});
const BOOT = z.strictObject({ kind: z.literal('boot'), placed: z.string() });
const INPUT = z.strictObject({
  kind: z.literal('input'),
  /** How often the time was asked for before. */
  after: count,
  bytes: z.base64(),
});
/** What came since the check before: the times that were told, hashes of events and lines. */
const since = {
  /** Nanoseconds, each since the one before. */
  times: z.array(count),
  events: z.array(hash8),
  lines: z.array(hash8),
};
const CHECK = z.strictObject({
  kind: z.literal('check'),
  instructions: count,
  clock: count,
  cpu: z.string(),
  ending: z.string().optional(),
  ...since,
});
/** The run was broken off. */
const CUT = z.strictObject({ kind: z.literal('cut'), ...since });

const RECORD = z.discriminatedUnion('kind', [HEADER, BOOT, INPUT, CHECK, CUT]);

export type TapeHeader = z.infer<typeof HEADER>;
export type TapeCheck = z.infer<typeof CHECK>;
export type TapeRecord = z.infer<typeof RECORD>;

/** Characters: a run of hours has some megabytes. */
const TEXT_MAX = 256 * 1024 * 1024;

/** A recording as `--record` wrote it. @throws FormatError `tape/…` */
export function readTape(text: string): { header: TapeHeader; records: readonly TapeRecord[] } {
  if (text.length > TEXT_MAX) throw new FormatError('tape/length', TEXT_MAX, 'too long');
  const records: TapeRecord[] = [];
  let at = 0;
  for (const line of text.split('\n')) {
    // A recording whose writer was killed may end in the middle of a line.
    if (line !== '' && at + line.length < text.length) records.push(readRecord(line, at));
    at += line.length + 1;
  }
  const [header, ...rest] = records;
  if (header?.kind !== 'header') throw new FormatError('tape/header', 0, 'no recording of a run');
  if (header.version !== TAPE_VERSION) {
    throw new FormatError('tape/version', 0, `a recording of version ${header.version}`);
  }
  if (rest.some(({ kind }) => kind === 'header')) {
    throw new FormatError('tape/header', 0, 'two recordings in one file');
  }
  return { header, records: rest };
}

function readRecord(line: string, at: number): TapeRecord {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new FormatError('tape/json', at, 'a line is no JSON');
  }
  const parsed = RECORD.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FormatError(
    'tape/record',
    at,
    `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
  );
}

/** Short: it only has to show a difference. */
export function hashOfText(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

export function textOfEvent(event: DeviceEvent): string {
  return JSON.stringify(event, (_, value: unknown) =>
    typeof value === 'bigint' ? `0x${value.toString(16)}` : value,
  );
}

/** The CPU, the interrupt controllers and the UART. */
export function hashOfCpu(emulator: Emulator): string {
  const { cpu, gic, uart } = emulator.saveCpuSide();
  const hash = createHash('sha256').update(cpu);
  hash.update(gic.latched).update(gic.level).update(gic.active).update(gic.enabled);
  hash.update(JSON.stringify([uart.mask, uart.raw, uart.fifo, uart.waiting]));
  return hash.digest('hex').slice(0, 16);
}
