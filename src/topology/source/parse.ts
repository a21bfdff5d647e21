import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  type Node,
  type Pair,
  type Scalar,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { Diagnostic, SourcePlace } from '../diagnostic.ts';
import { finding, type InputRule } from '../input-rule.ts';
import type { DataNode, MapEntry, ScalarNode } from './node.ts';
import { DUPLICATE_KEY, YAML_FEATURE, YAML_SYNTAX, YAML_TOO_BIG } from './problems.ts';
import { scan } from './scan.ts';
import type { SourceText } from './text.ts';

/** Nodes that all aliases of a file together may stand for. */
export const ALIASED_NODES_MAX = 10_000;
/** One broken quote can make every later line an error: nobody reads more than these. */
const SYNTAX_ERRORS_MAX = 20;

export interface Parsed {
  /** Absent when the text is no YAML at all. */
  readonly root?: DataNode;
  readonly diagnostics: readonly Diagnostic[];
}

/** YAML text to plain data with places. Every problem is a diagnostic; nothing throws. */
export function parse(source: SourceText): Parsed {
  const tooMuch = scan(source);
  if (tooMuch !== undefined) return { diagnostics: [tooMuch] };
  const document = parseDocument(source.text, {
    intAsBigInt: true,
    // The parser's own check compares each key with each other one; ours is a Map.
    uniqueKeys: false,
    merge: false,
    schema: 'core',
    prettyErrors: false,
    logLevel: 'error',
  });
  const diagnostics = document.errors
    .slice(0, SYNTAX_ERRORS_MAX)
    .map((error) => syntaxError(source, error));
  if (diagnostics.length > 0) return { diagnostics };
  const reader = new NodeReader(source);
  const root = document.contents === null ? undefined : reader.read(document.contents);
  return { ...(root === undefined ? {} : { root }), diagnostics: reader.diagnostics };
}

function syntaxError(source: SourceText, error: YAMLError): Diagnostic {
  const [start, limit] = error.pos;
  const end = source.text.length;
  const place = source.place(Math.min(start, end), Math.min(limit, end));
  if (error.code === 'MULTIPLE_DOCS') {
    return finding(YAML_FEATURE, place, 'a second YAML document begins here', {
      cure: 'one file is one topology: keep the first document only',
    });
  }
  return finding(YAML_SYNTAX, place, error.message.split('\n', 1)[0] ?? error.message);
}

/** Turns the parser's nodes into ours. Depth is bounded by `scan`. */
class NodeReader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #source: SourceText;
  /** What each anchor stands for, and how many nodes that is. */
  readonly #anchors = new Map<string, { readonly node: DataNode; readonly size: number }>();
  #size = 0;
  #aliased = 0;

  constructor(source: SourceText) {
    this.#source = source;
  }

  read(node: Node): DataNode {
    this.#size++;
    if (isAlias(node)) return this.#alias(node.source, this.#place(node));
    const before = this.#size - 1;
    if (node.tag !== undefined) {
      this.#report(YAML_FEATURE, this.#place(node), `the tag "${node.tag}" is not supported`);
    }
    const result = this.#content(node);
    const anchor = (node as { anchor?: string }).anchor;
    if (anchor !== undefined) {
      this.#anchors.set(anchor, { node: result, size: this.#size - before });
    }
    return result;
  }

  #content(node: Node): DataNode {
    const place = this.#place(node);
    if (isMap(node)) return { kind: 'map', entries: this.#entries(node as YAMLMap<Node>), place };
    if (isSeq(node)) {
      const items = node.items.map((item) =>
        item === null ? this.#empty(place) : this.read(item as Node),
      );
      return { kind: 'list', items, place };
    }
    if (isScalar(node)) return { kind: 'scalar', value: scalarValue(node), place };
    return this.#empty(place);
  }

  #entries(map: YAMLMap<Node>): Map<string, MapEntry> {
    const entries = new Map<string, MapEntry>();
    for (const pair of map.items) {
      const place = this.#place(pair.key);
      const key = this.#key(pair);
      if (key === undefined) continue;
      const earlier = entries.get(key);
      const value = pair.value === null ? this.#empty(place) : this.read(pair.value as Node);
      if (earlier === undefined) entries.set(key, { place, value });
      else {
        this.#report(DUPLICATE_KEY, place, `the key "${key}" stands twice in this map`, {
          related: [{ place: earlier.place, message: 'first here' }],
        });
      }
    }
    return entries;
  }

  #key(pair: Pair<Node>): string | undefined {
    const place = this.#place(pair.key);
    if (!isScalar(pair.key)) {
      this.#report(YAML_FEATURE, place, 'a key must be plain text');
      return undefined;
    }
    const key = pair.key.source ?? JSON.stringify(pair.key.value);
    if (key === '<<') {
      this.#report(YAML_FEATURE, place, 'merge keys ("<<") are not supported');
      return undefined;
    }
    return key;
  }

  #alias(name: string, place: SourcePlace): DataNode {
    const target = this.#anchors.get(name);
    if (target === undefined) {
      this.#report(YAML_FEATURE, place, `no anchor "&${name}" ends before this alias`);
      return this.#empty(place);
    }
    this.#size += target.size;
    this.#aliased += target.size;
    if (this.#aliased <= ALIASED_NODES_MAX) return target.node;
    // Reported once: the rest of the file is still read, with nothing in place of aliases.
    if (this.#aliased - target.size <= ALIASED_NODES_MAX) {
      const message = `aliases stand for more than ${ALIASED_NODES_MAX} nodes`;
      this.#report(YAML_TOO_BIG, place, message);
    }
    this.#size -= target.size;
    return this.#empty(place);
  }

  #report(
    rule: InputRule,
    place: SourcePlace,
    message: string,
    details?: Parameters<typeof finding>[3],
  ): void {
    this.diagnostics.push(finding(rule, place, message, details));
  }

  #empty(place: SourcePlace): ScalarNode {
    return { kind: 'scalar', value: null, place };
  }

  #place(node: unknown): SourcePlace {
    const range = (node as { range?: readonly [number, number, number] | null } | null)?.range;
    return this.#source.place(range?.[0] ?? 0, range?.[1] ?? 0);
  }
}

/** Integers exactly; what is not written as a plain integer stays text, for `schema` to judge. */
function scalarValue(node: Scalar): ScalarNode['value'] {
  const { value, source } = node;
  if (typeof value === 'boolean' || typeof value === 'string') return value;
  if (value === null || value === undefined) return null;
  // `010`: decimal ten or octal eight? Leave it to the number parser, which refuses it.
  // What does not fit 64 bits is shown as it is written, not in decimal.
  const fits = typeof value === 'bigint' && value >> 64n === 0n;
  const plainly = fits || (typeof value === 'bigint' && value < 0n);
  if (plainly && !/^[-+]?0[0-9]/.test(source ?? '')) return value;
  return source ?? JSON.stringify(value);
}
