import { z } from 'zod';

import * as layout from './core/layout.ts';
import { GIC_INTERRUPTS } from './gic-interrupts.ts';
import { UART_INPUT_MAX } from './pl011.ts';
import { GITS_BASER_COUNT } from '../spec/gicv3.ts';
import { UART_FIFO_DEPTH } from '../spec/pl011.ts';

/** What a snapshot's parts must look like before any of them is put into a machine. */
const bytes = (length: number): z.ZodType<Uint8Array> =>
  z.instanceof(Uint8Array).refine((value) => value.length === length, `not ${length} bytes`);
const anyBytes = z.instanceof(Uint8Array);
const upTo = (max: number): z.ZodNumber => z.number().int().min(0).max(max);
const u8 = upTo(0xff);
const u32 = upTo(0xffff_ffff);
const u64 = z.bigint().min(0n).max(0xffff_ffff_ffff_ffffn);
const perInterrupt = bytes(GIC_INTERRUPTS);

/** An LPI's number has 16 bits. */
const INTERRUPT_MAX = 0xffff;
const DEVICES_MAX = 4096;
const EVENTS_MAX = 65_536;
const LINES_MAX = 64;
const LINE_MAX = 4096;
const SAID_MAX = 100_000;
/** Interrupts that run inside each other: one for each priority. */
const RUNNING_MAX = 256;

const gic = {
  enabled: perInterrupt,
  latched: perInterrupt,
  level: perInterrupt,
  active: perInterrupt,
  edge: perInterrupt,
  priority: perInterrupt,
  target: perInterrupt,
  distributorOn: z.boolean(),
  cpu: z.strictObject({ control: u32, mask: u32, binaryPoint: u32 }),
  running: z
    .array(z.strictObject({ id: upTo(INTERRUPT_MAX), priority: upTo(0x100) }))
    .max(RUNNING_MAX),
};
const lpis = z.strictObject({
  on: z.boolean(),
  table: u64,
  pending: z.array(upTo(INTERRUPT_MAX)).max(INTERRUPT_MAX),
});
const its = z.strictObject({
  on: z.boolean(),
  commandBase: u64,
  write: u32,
  read: u32,
  tables: z.array(u64).length(GITS_BASER_COUNT),
  devices: z
    .array(z.tuple([u32, upTo(32), z.array(z.tuple([u32, upTo(INTERRUPT_MAX)])).max(EVENTS_MAX)]))
    .max(DEVICES_MAX),
});

/** {@link CpuSideState} as it comes from a file. */
export const CPU_SIDE = z.strictObject({
  cpu: bytes(layout.STATE_END - layout.STATE),
  gic: z.union([
    z.strictObject(gic),
    z.strictObject({ ...gic, lpis, asleep: z.boolean(), pendingTable: u64 }),
  ]),
  its: z.array(z.tuple([z.string(), its])),
  uart: z.strictObject({
    registers: z.array(z.tuple([upTo(0xfff), u32])).max(0x400),
    mask: u32,
    raw: u32,
    fifo: z.array(u8).max(UART_FIFO_DEPTH),
    waiting: z.array(u8).max(UART_INPUT_MAX),
  }),
  console: z.strictObject({
    lines: z.array(z.string().max(LINE_MAX * 4)).max(LINES_MAX),
    open: anyBytes.refine((value) => value.length < LINE_MAX),
  }),
  work: z.strictObject({
    next: u64,
    sleep: z.strictObject({ round: upTo(1000), more: z.boolean().optional() }).optional(),
  }),
});

/** Pages of RAM, the devices on the bus, and which machine it is of. */
export const SNAPSHOT = z.strictObject({
  version: z.number(),
  ramSize: u32,
  placedSha256: z.string(),
  cpuSide: CPU_SIDE,
  pages: z.strictObject({ numbers: anyBytes, bytes: anyBytes }),
  said: z.array(z.tuple([z.string().max(LINE_MAX * 4), z.number()])).max(SAID_MAX),
  plugged: z.array(z.string()).max(0x1_0000),
  machine: z.strictObject({
    version: z.number(),
    hosts: z.record(z.string(), z.strictObject({ functions: z.record(z.string(), z.any()) })),
    mmio: z.record(z.string(), z.any()),
    order: z.number().int().min(0),
  }),
});
