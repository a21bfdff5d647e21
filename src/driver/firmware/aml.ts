import { ByteView, FormatError } from '../../bytes/index.ts';
import * as op from '../../spec/aml.ts';

/** A value of the namespace, as far as data objects go. */
export type AmlValue = bigint | string | Uint8Array | readonly AmlValue[];

/** A device of the namespace with its named data objects. */
export interface AmlDevice {
  /** `_SB_.PC00`. */
  readonly path: string;
  readonly names: ReadonlyMap<string, AmlValue>;
}

/** Deepest nesting of scopes and packages; real tables have some ten. */
const DEPTH_MAX = 64;
const DEVICES_MAX = 4096;

/**
 * Devices and their data in the byte code of a DSDT (ACPI 6.5, 20.2): scopes, devices and names, as
 * tables for the model guest are made of; methods are passed over. Reading stops at the first term of another kind, since
 * only an interpreter knows where that ends.
 *
 * @throws FormatError when the code is cut off
 */
export function readAml(code: Uint8Array): AmlDevice[] {
  const reader = new AmlReader(code);
  reader.terms(0, code.length, '', undefined, 0);
  return reader.devices;
}

class AmlReader {
  readonly devices: { path: string; names: Map<string, AmlValue> }[] = [];
  readonly #view: ByteView;
  #at = 0;

  constructor(code: Uint8Array) {
    this.#view = new ByteView(code, 'le', 'aml');
  }

  /** Reads terms up to `end`; false when one of an unknown kind stopped it. */
  terms(
    from: number,
    end: number,
    scope: string,
    into: Map<string, AmlValue> | undefined,
    depth: number,
  ): boolean {
    if (depth > DEPTH_MAX) throw this.#bad('scopes nested too deep');
    this.#at = from;
    while (this.#at < end) {
      const code = this.#byte();
      if (code === op.AML_NAME_OP) {
        const name = this.#name();
        const value = this.#value(depth);
        if (value === undefined) return false;
        into?.set(name.slice(-4), value);
      } else if (code === op.AML_SCOPE_OP) {
        const stop = this.#package();
        const path = join(scope, this.#name());
        if (!this.terms(this.#at, stop, path, undefined, depth + 1)) return false;
        this.#at = stop;
      } else if (code === op.AML_METHOD_OP) {
        // Nothing runs here.
        this.#at = this.#package();
      } else if (code === op.AML_EXT_OP_PREFIX && this.#view.u8(this.#at) === op.AML_DEVICE_OP) {
        this.#at++;
        if (!this.#device(scope, depth)) return false;
      } else {
        return false;
      }
    }
    return true;
  }

  #device(scope: string, depth: number): boolean {
    const stop = this.#package();
    const path = join(scope, this.#name());
    const names = new Map<string, AmlValue>();
    if (this.devices.length >= DEVICES_MAX) return false;
    this.devices.push({ path, names });
    const whole = this.terms(this.#at, stop, path, names, depth + 1);
    this.#at = stop;
    return whole;
  }

  #value(depth: number): AmlValue | undefined {
    if (depth > DEPTH_MAX) throw this.#bad('packages nested too deep');
    const code = this.#byte();
    switch (code) {
      case op.AML_ZERO_OP:
        return 0n;
      case op.AML_ONE_OP:
        return 1n;
      case op.AML_BYTE_PREFIX:
        return BigInt(this.#byte());
      case op.AML_WORD_PREFIX:
        return BigInt(this.#view.u16(this.#skip(2)));
      case op.AML_DWORD_PREFIX:
        return BigInt(this.#view.u32(this.#skip(4)));
      case op.AML_QWORD_PREFIX:
        return this.#view.u64(this.#skip(8));
      case op.AML_STRING_PREFIX:
        return this.#string();
      case op.AML_BUFFER_OP:
        return this.#buffer(depth);
      case op.AML_PACKAGE_OP:
        return this.#list(depth);
      default:
        return undefined;
    }
  }

  #string(): string {
    let text = '';
    for (let byte = this.#byte(); byte !== 0; byte = this.#byte())
      text += String.fromCodePoint(byte);
    return text;
  }

  #buffer(depth: number): Uint8Array | undefined {
    const stop = this.#package();
    const size = this.#value(depth + 1);
    if (typeof size !== 'bigint') return undefined;
    const bytes = this.#view.slice(this.#at, stop - this.#at, 'buffer');
    this.#at = stop;
    return bytes;
  }

  #list(depth: number): AmlValue[] | undefined {
    const stop = this.#package();
    const count = this.#byte();
    const values: AmlValue[] = [];
    for (let i = 0; i < count && this.#at < stop; i++) {
      const value = this.#value(depth + 1);
      if (value === undefined) return undefined;
      values.push(value);
    }
    this.#at = stop;
    return values;
  }

  /** PkgLength: where the package ends. */
  #package(): number {
    const start = this.#at;
    const lead = this.#byte();
    const more = lead >> 6;
    let length = more === 0 ? lead & 0x3f : lead & 0xf;
    for (let i = 0; i < more; i++) length += this.#byte() * 2 ** (4 + 8 * i);
    const stop = start + length;
    if (stop > this.#view.length || stop < this.#at) throw this.#bad('a package that ends outside');
    return stop;
  }

  /** A name string; root and parent prefixes are dropped, as our scopes nest anyway. */
  #name(): string {
    let lead = this.#byte();
    while (lead === 0x5c || lead === 0x5e) lead = this.#byte();
    if (lead === op.AML_NULL_NAME) return '';
    let count = 1;
    if (lead === op.AML_DUAL_NAME_PREFIX) count = 2;
    else if (lead === op.AML_MULTI_NAME_PREFIX) count = this.#byte();
    else this.#at--;
    const segments = Array.from({ length: count }, () => this.#view.latin1(this.#skip(4), 4));
    return segments.join('.');
  }

  #byte(): number {
    return this.#view.u8(this.#skip(1));
  }

  /** Where the next `count` bytes begin, which are then behind us. */
  #skip(count: number): number {
    const at = this.#at;
    this.#at += count;
    return at;
  }

  #bad(what: string): FormatError {
    return new FormatError('aml/structure', this.#at, `AML: ${what}`);
  }
}

function join(scope: string, name: string): string {
  return scope === '' || name === '' ? scope + name : `${scope}.${name}`;
}
