import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { format } from 'prettier';

// docs/reference/library.md is written from what the entry points export and from the docstrings
// there, so that it cannot be out of date: `npx vitest run -u` writes it anew.

const ROOT = join(import.meta.dirname, '../..');

/** The entry points of package.json, in order. */
const ENTRIES: readonly {
  readonly name: string;
  readonly file: string;
  readonly about: string;
}[] = [
  {
    name: 'viommu-topo',
    file: 'src/index.ts',
    about: '',
  },
  {
    name: 'viommu-topo/testing',
    file: 'src/driver/index.ts',
    about:
      'The model driver: a guest in TypeScript and its parts, for tests of a device. It runs on anything that has memory, a bus and interrupts. [The model backend](../concepts/model.md) says what it does, and in which order.',
  },
  {
    name: 'viommu-topo/matchers',
    file: 'src/matchers/index.ts',
    about:
      'For `expect.extend` of Vitest or Jest. [Testing a VMM](../guides/testing-a-vmm.md) shows them at work.',
  },
];

/** A name that an entry point exports, and what its docstring begins with. */
export interface Exported {
  readonly entry: string;
  readonly section: string;
  readonly name: string;
  readonly kind: string;
  /** Relative to the repository. */
  readonly file: string;
  /** First sentence; empty when there is no docstring. */
  readonly summary: string;
}

/** Everything that is exported, in the order of the sources. */
export function exported(): readonly Exported[] {
  return ENTRIES.flatMap(({ name: entry, file }) =>
    namesOf(join(ROOT, file)).map(({ name, from, section }): Exported => {
      const found = declarationOf(from, name);
      if (found === undefined) throw new Error(`${file} exports ${name}, which nobody declares`);
      return {
        entry,
        section,
        name,
        kind: found.kind,
        file: relative(ROOT, found.file),
        summary: firstSentence(found.doc),
      };
    }),
  );
}

/** The whole document, as prettier would leave it. */
export async function libraryDocument(): Promise<string> {
  const all = exported();
  const parts = [INTRODUCTION];
  for (const { name, about } of ENTRIES) {
    const own = all.filter(({ entry }) => entry === name);
    parts.push(`## ${name}`, about);
    for (const section of new Set(own.map((one) => one.section))) {
      if (section !== '') parts.push(`### ${section}`);
      parts.push(table(own.filter((one) => one.section === section)));
    }
  }
  return format(parts.join('\n\n'), { parser: 'markdown', printWidth: 100 });
}

const INTRODUCTION = `# The library

\`npm install viommu-topo\` and import from it. What stands here is the public surface; anything else may change with any version. Types come with the package, with the whole docstrings: units, ranges, errors, the section of the specification.

- Addresses and other 64-bit numbers are \`bigint\`. A range \`{ start, end }\` includes its end. Requester IDs, endpoint IDs, buses and segments are numbers. Sizes are bytes, times are seconds, unless a name says otherwise.
- What a file says never throws: it comes back as diagnostics. Readers of bytes throw \`FormatError\` and nothing else, with a code and the offset. What the machine lacks is an \`EnvironmentError\` with the command that mends it.
- Nothing here prints, exits or reads the environment, but for what finds programs and the cache.

Examples that run, each held by a test: [check somebody's device tree](../examples/check-device-tree.ts), [drive the device model](../examples/drive-device-model.ts), [boot and judge](../examples/boot-and-judge.ts), [a VMM's own test](../examples/vmm.test.ts), [compare two traces](../examples/compare-traces.ts).

This page is written from the exports and their docstrings (\`test/support/library-document.ts\`).`;

function table(rows: readonly Exported[]): string {
  const lines = rows.map(
    ({ name, kind, summary, file }) =>
      `| [\`${name}\`](../../${file}) | ${kind} | ${summary.replaceAll('|', '\\|')} |`,
  );
  return ['| name | kind | what it is |', '|---|---|---|', ...lines].join('\n');
}

interface Named {
  readonly name: string;
  readonly from: string;
  readonly section: string;
}

/** Names that a file re-exports or declares, with the section they stand in. */
function namesOf(file: string): Named[] {
  const text = readFileSync(file, 'utf8');
  let section = '';
  const names: Named[] = [];
  const piece =
    /^\/\/ ## (.*)$|^export (?:type )?\{([^}]*)\} from '([^']+)'|^export (?:interface|type|const|function|class) (\w+)/gmu;
  for (const [, heading, list, from, own] of text.matchAll(piece)) {
    if (heading !== undefined) section = heading;
    if (own !== undefined) names.push({ name: own, from: file, section });
    for (const word of (list ?? '').split(',')) {
      const name = word.trim().replace(/^type /u, '');
      if (name !== '') names.push({ name, from: resolve(dirname(file), from ?? ''), section });
    }
  }
  return names;
}

interface Declaration {
  readonly file: string;
  readonly kind: string;
  readonly doc: string;
}

/** Follows re-exports to where a name is declared. */
function declarationOf(file: string, name: string): Declaration | undefined {
  const text = readFileSync(file, 'utf8');
  const own = new RegExp(
    `^export (?:abstract )?(?:async )?(function|const|class|interface|type)\\*? ${name}\\b`,
    'mu',
  ).exec(text);
  if (own !== null) {
    const doc = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n$/u.exec(text.slice(0, own.index))?.[1] ?? '';
    return { file, kind: own[1] ?? '', doc };
  }
  const from =
    /^(?:export|import) (?:type )?\{([^}]*)\} from '(\.[^']+)'|^export \* from '([^']+)'/gmu;
  for (const [, list, named, star] of text.matchAll(from)) {
    const words = (list ?? '').split(',').map((word) => word.trim().replace(/^type /u, ''));
    if (list !== undefined && !words.includes(name)) continue;
    const found = declarationOf(resolve(dirname(file), named ?? star ?? ''), name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function firstSentence(doc: string): string {
  const text = doc
    .replaceAll(/^\s*\* ?/gmu, '')
    .split(/^\s*@|\n\n/mu)[0]
    ?.replaceAll(/\s+/gu, ' ')
    .replaceAll(/\{@link (\w+)\}/gu, '`$1`')
    .trim();
  return /^.*?[.!?](?=\s|$)/u.exec(text ?? '')?.[0] ?? text ?? '';
}
