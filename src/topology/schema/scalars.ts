import { z } from 'zod';
import type { Range } from '../../bytes/index.ts';
import { hex } from '../../bytes/index.ts';
import type { InputRule } from '../input-rule.ts';
import { didYouMean } from '../nearest.ts';
import { readBdf, readBdfRange, type Bdf, type BdfRange } from './address.ts';
import { readNumber, readRange, shown, type Reading } from './number.ts';
import {
  BAD_BDF,
  BAD_CHOICE,
  BAD_NAME,
  BAD_NUMBER,
  BAD_RANGE,
  MISSING_KEY,
  WRONG_TYPE,
} from './problems.ts';

// Every scalar of the language is a reader of what YAML gives (text, exact integer, boolean or
// null), with the JSON Schema of what a user may write beside it. Keeping them out of zod's own
// unions means one issue per mistake, with a rule and a sentence of ours.

type Json = Readonly<Record<string, unknown>>;

const U64_MAX = 0xffff_ffff_ffff_ffffn;
export const U32_MAX = 0xffff_ffff;

const NUMBER = '(0[xX][0-9a-fA-F_]+|[0-9][0-9_]*)[KMGTkmgt]?';
const BDF = '([0-9a-fA-F]{1,4}:)?[0-9a-fA-F]{1,2}:[01]?[0-9a-fA-F]\\.[0-7]';
export const NAME = '[A-Za-z][A-Za-z0-9_-]{0,30}';

/** A scalar that `read` understands; what it does not is an issue of `rule`. */
function scalar<T>(
  rule: InputRule,
  description: string,
  json: Json,
  read: (value: unknown) => Reading<T>,
) {
  return z
    .unknown()
    .transform((value, context): T => {
      const reading: Reading<T> = value === undefined ? { error: 'missing' } : read(value);
      if ('value' in reading) return reading.value;
      const params = { rule: value === undefined ? MISSING_KEY.id : rule.id };
      context.issues.push({ code: 'custom', message: reading.error, input: value, params });
      return z.NEVER;
    })
    .meta({ description, ...json });
}

const numberJson: Json = {
  anyOf: [
    { type: 'integer', minimum: 0 },
    { type: 'string', pattern: `^${NUMBER}$` },
  ],
};

const rangeJson: Json = {
  anyOf: [
    { type: 'integer', minimum: 0 },
    { type: 'string', pattern: `^${NUMBER}(-${NUMBER})?$` },
  ],
};

function within(value: bigint, min: bigint, max: bigint): string | undefined {
  if (value >= min && value <= max) return undefined;
  return `${hex(value)} is outside ${hex(min)}-${hex(max)}`;
}

/** An exact 64-bit number, or a smaller one. */
export function u64(description: string, min = 0n, max: bigint = U64_MAX) {
  return scalar(BAD_NUMBER, description, numberJson, (value) => {
    const reading = readNumber(value);
    if ('error' in reading) return reading;
    const error = within(reading.value, min, max);
    return error === undefined ? reading : { error };
  });
}

/** A number of at most 32 bits. */
export function u32(description: string, min = 0, max: number = U32_MAX) {
  return scalar(BAD_NUMBER, description, numberJson, (value): Reading<number> => {
    const reading = readNumber(value);
    if ('error' in reading) return reading;
    const error = within(reading.value, BigInt(min), BigInt(max));
    return error === undefined ? { value: Number(reading.value) } : { error };
  });
}

/** A number of at most 32 bits that may be below zero. */
export function i32(description: string) {
  const json: Json = { type: 'integer', minimum: -0x8000_0000, maximum: 0x7fff_ffff };
  return scalar(BAD_NUMBER, description, json, (value): Reading<number> => {
    const negative = typeof value === 'bigint' && value < 0n;
    const reading = readNumber(negative ? -value : value);
    if ('error' in reading) return reading;
    const error = within(reading.value, 0n, 0x7fff_ffffn);
    const magnitude = Number(reading.value);
    return error === undefined ? { value: negative ? -magnitude : magnitude } : { error };
  });
}

/** A range of 64-bit addresses. */
export function range64(description: string) {
  return scalar(BAD_RANGE, description, rangeJson, readRange);
}

/** A range of numbers of at most 32 bits. */
export function range32(description: string, max: number = U32_MAX) {
  return scalar(BAD_RANGE, description, rangeJson, (value): Reading<Range<number>> => {
    const reading = readRange(value);
    if ('error' in reading) return reading;
    const { start, end } = reading.value;
    const error = within(end, 0n, BigInt(max));
    return error === undefined ? { value: { start: Number(start), end: Number(end) } } : { error };
  });
}

/** One PCI function. */
export function bdf(description: string) {
  const json: Json = { type: 'string', pattern: `^${BDF}$` };
  return scalar<Bdf>(BAD_BDF, description, json, readBdf);
}

/** One PCI function or a range of them. */
export function bdfRange(description: string) {
  const json: Json = { type: 'string', pattern: `^${BDF}(-${BDF})?$` };
  return scalar<BdfRange>(BAD_BDF, description, json, readBdfRange);
}

/** The name of something in the file. */
export function name(description: string) {
  const json: Json = { type: 'string', pattern: `^${NAME}$` };
  return scalar<string>(BAD_NAME, description, json, (value) =>
    typeof value === 'string' && new RegExp(`^${NAME}$`).test(value)
      ? { value }
      : { error: `${shown(value)} is not a name` },
  );
}

/** Any text. */
export function text(description: string) {
  return scalar<string>(WRONG_TYPE, description, { type: 'string' }, (value) =>
    typeof value === 'string' ? { value } : { error: `text is expected, not ${shown(value)}` },
  );
}

/** `true` or `false`. */
export function flag(description: string) {
  return scalar<boolean>(WRONG_TYPE, description, { type: 'boolean' }, (value) =>
    typeof value === 'boolean'
      ? { value }
      : { error: `true or false is expected, not ${shown(value)}` },
  );
}

/** One of a few words. */
export function choice<const T extends string>(description: string, choices: readonly T[]) {
  return scalar<T>(BAD_CHOICE, description, { enum: choices }, (value) => {
    const found = choices.find((word) => word === value);
    if (found !== undefined) return { value: found };
    const hint = typeof value === 'string' ? didYouMean(value, choices) : '';
    return { error: `${shown(value)} is not one of ${choices.join(', ')}${hint}` };
  });
}

/** The word `none`, or a number of at most 32 bits. */
export function u32OrNone(description: string, max: number = U32_MAX) {
  const json: Json = {
    anyOf: [{ const: 'none' }, ...(numberJson['anyOf'] as readonly Json[])],
  };
  return scalar<number | 'none'>(BAD_NUMBER, description, json, (value) => {
    if (value === 'none') return { value };
    const reading = readNumber(value);
    if ('error' in reading) return reading;
    const error = within(reading.value, 0n, BigInt(max));
    return error === undefined ? { value: Number(reading.value) } : { error };
  });
}

/** A number of 32 bits, or the name of a node whose phandle stands there. */
export function cell(description: string) {
  const json: Json = {
    anyOf: [...(numberJson['anyOf'] as readonly Json[]), { type: 'string', pattern: `^${NAME}$` }],
  };
  return scalar<number | string>(BAD_NUMBER, description, json, (value) => {
    if (typeof value === 'string' && new RegExp(`^${NAME}$`).test(value)) return { value };
    const reading = readNumber(value);
    if ('error' in reading) return reading;
    const error = within(reading.value, 0n, BigInt(U32_MAX));
    return error === undefined ? { value: Number(reading.value) } : { error };
  });
}

/** A Linux version: `6.12`. */
export function version(description: string) {
  const json: Json = {
    anyOf: [{ type: 'number' }, { type: 'string', pattern: '^[0-9]{1,3}\\.[0-9]{1,3}$' }],
  };
  return scalar(BAD_NUMBER, description, json, (value) => {
    const match = typeof value === 'string' ? /^(\d{1,3})\.(\d{1,3})$/.exec(value) : null;
    if (match === null) return { error: `${shown(value)} is not a kernel version like 6.12` };
    return { value: { major: Number(match[1]), minor: Number(match[2]) } };
  });
}

/** A scalar of any kind; whole numbers that JavaScript holds exactly become numbers. */
export function anyScalar(description: string) {
  const json: Json = { type: ['string', 'number', 'boolean'] };
  return scalar<string | number | boolean>(WRONG_TYPE, description, json, (value) => {
    if (typeof value === 'string' || typeof value === 'boolean') return { value };
    if (typeof value === 'bigint') {
      const exact = value >= -0x1f_ffff_ffff_ffffn && value <= 0x1f_ffff_ffff_ffffn;
      return { value: exact ? Number(value) : hex(value) };
    }
    return { error: `${shown(value)} is not text, a number, true or false` };
  });
}
