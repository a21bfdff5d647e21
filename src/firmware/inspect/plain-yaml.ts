/** What the YAML printer can print; a `Plain` is printed as it stands, text is quoted. */
export type YamlValue =
  | string
  | number
  | boolean
  | Plain
  | readonly YamlValue[]
  | { readonly [key: string]: YamlValue | undefined };

/** Text that YAML reads as it stands: numbers in hexadecimal, PCI addresses, ids. */
export class Plain {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** `text` without quotes; for ids, ranges and PCI addresses that this room makes itself. */
export function plain(text: string): Plain {
  return new Plain(text);
}

/** Lines of a block mapping. Keys whose value is undefined, or has nothing in it, are left out. */
export function printYaml(value: { readonly [key: string]: YamlValue | undefined }): string {
  return `${[...mapLines(value, '')].join('\n')}\n`;
}

function* mapLines(
  value: { readonly [key: string]: YamlValue | undefined },
  indent: string,
): Generator<string, void, undefined> {
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined || (isList(item) && item.length === 0)) continue;
    if (isScalar(item)) yield `${indent}${key}: ${scalar(item)}`;
    else if (isList(item)) yield* listLines(key, item, indent);
    else {
      // A map of nothing but absent values would read as an empty value, which is none.
      const lines = [...mapLines(item, `${indent}  `)];
      if (lines.length > 0) yield `${indent}${key}:`;
      yield* lines;
    }
  }
}

function* listLines(
  key: string,
  list: readonly YamlValue[],
  indent: string,
): Generator<string, void, undefined> {
  if (list.every(isScalar)) {
    yield `${indent}${key}: [${list.map((item) => scalar(item)).join(', ')}]`;
    return;
  }
  yield `${indent}${key}:`;
  for (const item of list) yield* itemLines(item, `${indent}  `);
}

function* itemLines(item: YamlValue, indent: string): Generator<string, void, undefined> {
  if (isScalar(item)) {
    yield `${indent}- ${scalar(item)}`;
    return;
  }
  if (isList(item)) return;
  let mark = '- ';
  for (const line of mapLines(item, '')) {
    yield `${indent}${mark}${line}`;
    mark = '  ';
  }
}

type Scalar = string | number | boolean | Plain;

function isScalar(value: YamlValue): value is Scalar {
  return typeof value !== 'object' || value instanceof Plain;
}

function isList(value: YamlValue): value is readonly YamlValue[] {
  return Array.isArray(value);
}

/** JSON's double-quoted text is YAML's, for the Latin-1 that firmware can hold. */
function scalar(value: Scalar): string {
  if (value instanceof Plain) return value.text;
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
