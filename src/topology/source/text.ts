import type { Diagnostic, SourcePlace } from '../diagnostic.ts';
import { finding } from '../input-rule.ts';
import { FILE_UNREADABLE, NOT_TEXT, YAML_TOO_BIG } from './problems.ts';
import { readBounded } from './read-bounded.ts';

/**
 * Bytes of one topology file. A thousand endpoints take some 60 KB; more than this is not a
 * topology that someone wrote, and the YAML parser needs about 100 bytes of memory for each.
 */
export const TEXT_MAX = 1 << 20;

/** A file as text, with what is needed to name a place in it. */
export class SourceText {
  readonly file: string;
  readonly text: string;
  readonly #lineStarts: number[] = [0];

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
      this.#lineStarts.push(at + 1);
    }
  }

  /** The place of `text.slice(start, limit)`; at least one character wide. */
  place(start: number, limit: number): SourcePlace {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= start) low = middle;
      else high = middle - 1;
    }
    return {
      kind: 'source',
      file: this.file,
      line: low + 1,
      column: start - (this.#lineStarts[low] ?? 0) + 1,
      start,
      limit: Math.max(limit, start + 1),
    };
  }
}

export type Reading = { readonly source: SourceText } | { readonly problem: Diagnostic };

/** Reads a file, never more than {@link TEXT_MAX} + 1 bytes of it. `file` is its name in places. */
export function readSource(path: string, file: string): Reading {
  const read = readBounded(path, TEXT_MAX);
  const place = { kind: 'file', file } as const;
  switch (read.kind) {
    case 'unreadable': {
      const message = `cannot read "${file}": ${read.reason}`;
      return { problem: finding(FILE_UNREADABLE, place, message) };
    }
    case 'too-large': {
      const message = `"${file}" is larger than ${TEXT_MAX >> 20} MiB`;
      return { problem: finding(YAML_TOO_BIG, place, message) };
    }
    default:
      return decode(read.bytes, file);
  }
}

/** UTF-8 bytes to text; a NUL, another control character or a bad sequence is a problem. */
export function decode(bytes: Uint8Array, file: string): Reading {
  const text = new TextDecoder('utf-8').decode(bytes);
  const source = new SourceText(file, text);
  // C0 controls but for tab, line feed and carriage return, and DEL.
  // eslint-disable-next-line no-control-regex
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  const damage = isUtf8(bytes) ? -1 : text.indexOf('\ufffd');
  if (control !== null && (damage === -1 || control.index < damage)) {
    const code = control[0].charCodeAt(0).toString(16).padStart(2, '0');
    const place = source.place(control.index, control.index + 1);
    return { problem: finding(NOT_TEXT, place, `control character 0x${code} in the text`) };
  }
  if (damage !== -1) {
    const place = source.place(damage, damage + 1);
    return { problem: finding(NOT_TEXT, place, 'these bytes are not UTF-8') };
  }
  return { source };
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
