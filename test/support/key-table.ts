/** The part of JSON Schema that the language uses. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly description?: string;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
}

export interface Key {
  /** `pci.hosts[].id` */
  readonly path: string;
  readonly schema: Schema;
  readonly required: boolean;
}

/** Every key of the language, in the order of the schema. */
export function* keys(schema: Schema, path = ''): Generator<Key> {
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    const full = path === '' ? key : `${path}.${key}`;
    yield { path: full, schema: value, required: schema.required?.includes(key) ?? false };
    yield* keys(value, full);
  }
  if (schema.items !== undefined) yield* keys(schema.items, `${path}[]`);
  if (typeof schema.additionalProperties === 'object') {
    yield* keys(schema.additionalProperties, `${path}.*`);
  }
  for (const one of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) yield* keys(one, path);
}

/** The table of all keys in docs/reference/topology.md. */
export function keyTable(schema: Schema): string {
  const seen = new Set<string>();
  const rows = [...keys(schema)].flatMap(({ path, schema: value, required }) => {
    const words = [value.description ?? '', choices(value), required ? '**Required.**' : '']
      .filter((part) => part !== '')
      .join(' ');
    const row = `| \`${path}\` | ${words.replaceAll('|', '\\|')} |`;
    if (seen.has(row)) return [];
    seen.add(row);
    return [row];
  });
  return ['| key | meaning |', '| --- | --- |', ...rows].join('\n');
}

function choices({ enum: words, const: word, anyOf = [] }: Schema): string {
  if (word !== undefined) return `\`${word}\`.`;
  const all = words ?? anyOf.find((one) => one.enum !== undefined)?.enum;
  return all === undefined ? '' : `One of ${all.map((choice) => `\`${choice}\``).join(', ')}.`;
}
