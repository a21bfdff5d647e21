import { z } from 'zod';
import { hex, type Range } from '../bytes/index.ts';

/** Version of the protocol; grows when a client of an older one would be misled. */
export const DEBUG_PROTOCOL = 1;

/** Plain JSON: what crosses threads and sockets. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** Codes of errors beside JSON-RPC's own (-32700 to -32600). */
export const DEBUG_ERRORS = {
  /** There is no such endpoint, vIOMMU, domain or break. */
  notFound: -32001,
  /** Not now: the guest runs, or it is stopped. */
  wrongState: -32002,
  /** JSON-RPC: parameters amiss. */
  invalidParams: -32602,
  /** JSON-RPC: no such method. */
  noMethod: -32601,
} as const;

/** An answer that is an error; goes to the client as it is. */
export class DebugError extends Error {
  override readonly name = 'DebugError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What answers: an inspector, or what passes requests on to one in another thread. */
export interface Answerer {
  /** @throws DebugError */
  handle(method: string, params: unknown): Json | Promise<Json>;
  /** Told of `stopped`, `continued`, `trace` and `ended`. */
  onNotice: ((method: string, params: Json) => void) | undefined;
}

const LAST = (1n << 64n) - 1n;

/** `0x…` or decimal text, or a number; 64 bits. */
export const address = z
  .union([z.string().regex(/^(?:0x[0-9a-f]{1,16}|\d{1,20})$/iu), z.int().min(0)])
  .transform((value, context) => {
    const number = BigInt(value);
    if (number <= LAST) return number;
    context.addIssue({ code: 'custom', message: 'more than 64 bits' });
    return z.NEVER;
  });

/** `0x1000-0x1fff`, or one address. */
const range = z.string().transform((text, context): Range => {
  const [first = '', last = first, ...more] = text.split('-');
  const [start, end] = [address.safeParse(first), address.safeParse(last)];
  if (start.success && end.success && more.length === 0 && start.data <= end.data) {
    return { start: start.data, end: end.data };
  }
  context.addIssue({ code: 'custom', message: 'no address and no range of addresses' });
  return z.NEVER;
});

/** A topology id, `0000:00:02.0`, or an endpoint ID. */
const endpoint = z.union([z.string().min(1).max(200), z.int().min(0).max(0xffff_ffff)]);
const viommu = z.string().min(1).max(200);
const count = z.int().min(1).max(1_000_000_000);
const accessWord = z.enum(['read', 'write']);

/** Mappings in one answer; the rest is asked for with `from`. */
const PAGE_MAX = 10_000;

/** Parameters of each method. */
export const PARAMS = {
  hello: z.strictObject({}),
  status: z.strictObject({}),
  list: z.strictObject({
    what: z.enum(['viommus', 'endpoints', 'domains']).optional(),
    viommu: viommu.optional(),
  }),
  stat: z.strictObject({ viommu: viommu.optional() }),
  dump: z.strictObject({
    viommu: viommu.optional(),
    endpoint: endpoint.optional(),
    domain: z.int().min(0).max(0xffff_ffff).optional(),
    from: address.optional(),
    limit: z.int().min(1).max(PAGE_MAX).optional(),
  }),
  translate: z.strictObject({
    endpoint,
    iova: address,
    viommu: viommu.optional(),
    length: address.optional(),
    access: accessWord.optional(),
  }),
  print: z.strictObject({ on: z.boolean(), flood: z.boolean().optional() }),
  fault: z.strictObject({
    kind: z.enum(['access', 'map', 'record']),
    endpoint,
    viommu: viommu.optional(),
    count: count.optional(),
    status: z.int().min(1).max(255).optional(),
    address: address.optional(),
    reason: z.enum(['unknown', 'domain', 'mapping']).optional(),
    access: accessWord.optional(),
  }),
  break: z.strictObject({
    on: z.enum(['map', 'unmap', 'attach', 'detach', 'probe', 'fault', 'address']),
    n: count.optional(),
    endpoint: endpoint.optional(),
    viommu: viommu.optional(),
    address: range.optional(),
  }),
  breaks: z.strictObject({}),
  delete: z.strictObject({ id: z.int().min(1) }),
  pause: z.strictObject({}),
  continue: z.strictObject({}),
} as const;

export type Method = keyof typeof PARAMS;
export type Params<M extends Method> = z.output<(typeof PARAMS)[M]>;

export const METHODS: readonly Method[] = Object.keys(PARAMS) as Method[];

/** @throws DebugError that names the parameter */
export function readParams<M extends Method>(method: M, params: unknown): Params<M> {
  const { success, data, error } = PARAMS[method].safeParse(params ?? {});
  if (success) return data as Params<M>;
  const [issue] = error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw new DebugError(
    DEBUG_ERRORS.invalidParams,
    `${method}: ${where}${issue?.message ?? 'wrong parameters'}`,
  );
}

/** Addresses become `0x…`, ranges objects of them; undefined is left out. */
export function json(value: unknown): Json {
  if (typeof value === 'bigint') return hex(value);
  if (Array.isArray(value)) return value.map(json);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, one]) => (one === undefined ? [] : [[key, json(one)]])),
    );
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : null;
}
