/** Access to the fields of a report line that never throws, whatever the guest wrote. */
export class Fields {
  readonly #map: ReadonlyMap<string, string>;

  constructor(map: ReadonlyMap<string, string>) {
    this.#map = map;
  }

  get all(): ReadonlyMap<string, string> {
    return this.#map;
  }

  /** Empty when absent. */
  text(name: string): string {
    return this.#map.get(name) ?? '';
  }

  /** Undefined when absent or empty. */
  optional(name: string): string | undefined {
    return this.text(name) === '' ? undefined : this.text(name);
  }

  /** A non-negative integer, decimal or `0x…`, or undefined. */
  integer(name: string): number | undefined {
    const value = this.wide(name);
    return value === undefined || value > BigInt(Number.MAX_SAFE_INTEGER)
      ? undefined
      : Number(value);
  }

  /** {@link integer}, 0 when it is none. */
  count(name: string): number {
    return this.integer(name) ?? 0;
  }

  /** Seconds with a fraction, or undefined. */
  seconds(name: string): number | undefined {
    return /^\d{1,9}\.\d{1,9}$/u.test(this.text(name)) ? Number(this.text(name)) : undefined;
  }

  /** A 64-bit integer, decimal or `0x…`, or undefined. */
  wide(name: string): bigint | undefined {
    const text = this.text(name);
    if (!/^(?:0x[0-9a-fA-F]{1,16}|\d{1,19})$/u.test(text)) return undefined;
    return BigInt(text);
  }
}
