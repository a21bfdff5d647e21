/**
 * What the checks say, and where they point.
 *
 * A diagnostic has a rule id (the name of its file in `rules/`), a place, a sentence that says what
 * is wrong, one that says what a guest would do with it, and a cure. Rendering it (caret, colours,
 * JSON) is the business of `report` and `cli`.
 */

/** A span of a YAML file. Lines and columns count from 1, offsets (UTF-16 units) from 0. */
export interface SourcePlace {
  readonly kind: 'source';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly start: number;
  /** One past the last character of the span. */
  readonly limit: number;
}

/** A node or property of a flattened device tree. */
export interface TreePlace {
  readonly kind: 'tree';
  readonly file: string;
  /** Full path, `/pcie@4010000000`. */
  readonly path: string;
  readonly property?: string;
  /** Bytes from the start of the blob; absent when the tree never was one. */
  readonly offset?: number;
}

/** A field of an ACPI table. */
export interface TablePlace {
  readonly kind: 'table';
  readonly file: string;
  /** Signature: `VIOT`, `IORT`, `MCFG` … */
  readonly table: string;
  /** Bytes from the start of the table. */
  readonly offset: number;
  readonly field?: string;
}

/** A whole file, when no line or field of it can be named (unreadable, damaged, no topology). */
export interface FilePlace {
  readonly kind: 'file';
  readonly file: string;
  /** Bytes from the start of the file to the damage, when it was read. */
  readonly offset?: number;
}

/** Where in YAML, a device tree, a table or a file. */
export type Place = SourcePlace | TreePlace | TablePlace | FilePlace;

export type Severity = 'error' | 'warning';

/** A second place that disagrees with, or explains, the first. */
export interface Related {
  readonly place: Place;
  readonly message: string;
}

/** One thing that is wrong: where, what a guest does with it, and the cure. */
export interface Diagnostic {
  /** Rule id: lower-case words joined by `-`; documented in `docs/reference/errors.md`. */
  readonly rule: string;
  readonly severity: Severity;
  readonly place: Place;
  /** What is wrong, in one sentence that names the offending value. */
  readonly message: string;
  /** What would happen if a guest were given this, for the kernel that was asked about. */
  readonly effect?: string;
  /** What to write instead. */
  readonly cure?: string;
  readonly related: readonly Related[];
}

/** A Linux version as far as its behaviour differs: 6.12 is `{ major: 6, minor: 12 }`. */
export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
}

/** The kernel that diagnostics speak of unless another is asked for. */
export const DEFAULT_KERNEL: KernelVersion = { major: 6, minor: 12 };

/** Whether `kernel` is `major.minor` or newer. */
export function atLeast(kernel: KernelVersion, major: number, minor: number): boolean {
  return kernel.major > major || (kernel.major === major && kernel.minor >= minor);
}

/** `6.12`. */
export function showKernel(kernel: KernelVersion): string {
  return `${kernel.major}.${kernel.minor}`;
}
