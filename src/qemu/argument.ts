/**
 * A command line before it is written down: the same structure becomes an argument vector for a
 * process and readable lines of a shell script, so the two cannot differ.
 */

/** A file whose path is known only where the command is used. */
export type FileName =
  'kernel' | 'initrd' | 'tree' | 'acpi-tables' | 'viot' | 'qmp-socket' | 'trace' | `disk:${string}`;

/** A part of a value: literal text, a file's path, or something the user may choose. */
export type Part = string | { readonly file: FileName } | { readonly choice: 'accel' | 'cpu' };

/** One option of QEMU and its value. */
export interface Argument {
  readonly option: `-${string}`;
  readonly value?: readonly Part[];
}

/** Options that belong together, under a comment that says what they are for. */
export interface ArgumentGroup {
  readonly comment: string;
  readonly arguments: readonly Argument[];
}

/** What the parts of a value stand for. */
export interface Bindings {
  readonly files: ReadonlyMap<FileName, string>;
  readonly accel: string;
  readonly cpu: string;
}

/** `-option value`; strings are literal text. */
export function argument(option: `-${string}`, ...value: Part[]): Argument {
  return value.length === 0 ? { option } : { option, value };
}

/** A property of a `-device`, `-drive` … list; undefined ones are left out. */
export type Property = readonly [name: string, value: Part | number | bigint | boolean | undefined];

/** `-option kind,name=value,…`, in the order given. */
export function propertyList(
  option: `-${string}`,
  kind: string,
  properties: readonly Property[],
): Argument {
  const value: Part[] = [];
  let text = kind;
  for (const [name, raw] of properties) {
    if (raw === undefined) continue;
    text += `${text === '' ? '' : ','}${name}=`;
    if (typeof raw === 'object') {
      value.push(text, raw);
      text = '';
      continue;
    }
    text += typeof raw === 'boolean' ? (raw ? 'on' : 'off') : escapeComma(String(raw));
  }
  if (text !== '') value.push(text);
  return mergeText({ option, value });
}

/** After a bound part the next text starts with the comma; an empty kind starts without one. */
function mergeText(arg: { option: `-${string}`; value: Part[] }): Argument {
  return {
    option: arg.option,
    value: arg.value.map((part, at) =>
      typeof part === 'string' && at > 0 && !part.startsWith(',') ? `,${part}` : part,
    ),
  };
}

/** QEMU's option parser takes `,,` for a comma inside a value. */
export function escapeComma(text: string): string {
  return text.replaceAll(',', ',,');
}

/** Options whose value is a comma-separated list, where a path needs its commas doubled. */
const LISTS: ReadonlySet<string> = new Set([
  '-device',
  '-drive',
  '-chardev',
  '-netdev',
  '-blockdev',
  '-object',
  '-qmp',
  '-M',
  '-acpitable',
]);

/**
 * The argument vector, without the program.
 *
 * Throws `RangeError` when a file of the command is not bound: a mistake of the caller.
 */
export function argumentVector(groups: readonly ArgumentGroup[], bindings: Bindings): string[] {
  return groups
    .flatMap((group) => group.arguments)
    .flatMap((arg) =>
      arg.value === undefined
        ? [arg.option]
        : [arg.option, arg.value.map((part) => bind(part, arg.option, bindings)).join('')],
    );
}

function bind(part: Part, option: string, bindings: Bindings): string {
  if (typeof part === 'string') return part;
  if ('choice' in part) return bindings[part.choice];
  const path = bindings.files.get(part.file);
  if (path === undefined) throw new RangeError(`no path was given for the file ${part.file}`);
  return LISTS.has(option) ? escapeComma(path) : path;
}

/** Every file the command names, in order of appearance. */
export function filesOf(groups: readonly ArgumentGroup[]): FileName[] {
  const names = groups
    .flatMap((group) => group.arguments)
    .flatMap((arg) => arg.value ?? [])
    .flatMap((part) => (typeof part === 'object' && 'file' in part ? [part.file] : []));
  return [...new Set(names)];
}
