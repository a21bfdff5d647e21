/** A number that was read, or why it is none. */
export type Reading<T> = { readonly value: T } | { readonly error: string };

const UNITS: Readonly<Record<string, bigint>> = { K: 10n, M: 20n, G: 30n, T: 40n };
const FORM = /^(?:0x([0-9a-f]+(?:_[0-9a-f]+)*)|([0-9]+(?:_[0-9]+)*))([KMGT])?$/i;
/** 64 bits in decimal have 20 digits; more than this is not worth converting. */
const LENGTH_MAX = 64;
const U64_MAX = (1n << 64n) - 1n;

/** `0x8020000`, `0xffff_f000`, `4096`, `64K`, `512M`; at most 64 bits. */
export function readNumber(value: unknown): Reading<bigint> {
  if (typeof value === 'bigint') {
    if (value < 0n) return { error: `${clip(String(value))} is negative` };
    return value > U64_MAX ? { error: `${clip(String(value))} does not fit 64 bits` } : { value };
  }
  if (typeof value !== 'string') return { error: `${shown(value)} is not a number` };
  const text = value.trim();
  const match = text.length <= LENGTH_MAX ? FORM.exec(text) : null;
  // `0xfg` is a slip, not 15 GiB.
  if (match === null || /^0[xX].*[kmgt]$/.test(text)) {
    return { error: `"${clip(value)}" is not a number` };
  }
  const [, hexDigits, digits = '', unit] = match;
  if (hexDigits === undefined && /^0[0-9_]/.test(digits)) {
    const rest = digits.replace(/^0+(?=.)/, '');
    return { error: `"${text}" begins with 0: write 0x${rest} or ${rest}` };
  }
  const plain = BigInt(hexDigits === undefined ? strip(digits) : `0x${strip(hexDigits)}`);
  const scaled = plain << (unit === undefined ? 0n : (UNITS[unit.toUpperCase()] ?? 0n));
  return scaled > U64_MAX ? { error: `"${text}" does not fit 64 bits` } : { value: scaled };
}

/** `0x0-0xffff`, both ends included; one number is a range of one. */
export function readRange(value: unknown): Reading<{ start: bigint; end: bigint }> {
  const text = typeof value === 'string' ? value.trim() : value;
  const dash = typeof text === 'string' ? text.indexOf('-', 1) : -1;
  const start = readNumber(typeof text === 'string' && dash > 0 ? text.slice(0, dash) : text);
  if ('error' in start) return start;
  if (typeof text !== 'string' || dash <= 0) {
    return { value: { start: start.value, end: start.value } };
  }
  const end = readNumber(text.slice(dash + 1));
  if ('error' in end) return end;
  if (end.value < start.value) return { error: `"${clip(text)}" ends before it starts` };
  return { value: { start: start.value, end: end.value } };
}

function strip(digits: string): string {
  return digits.replaceAll('_', '');
}

/** The beginning of a text, for messages. */
export function clip(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** A value of a file in a few words. */
export function shown(value: unknown): string {
  if (value === null) return 'an empty value';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') return `"${clip(value)}"`;
  return typeof value === 'bigint' || typeof value === 'boolean'
    ? clip(String(value))
    : typeof value;
}
