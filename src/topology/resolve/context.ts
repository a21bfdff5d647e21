import type { Diagnostic, SourcePlace } from '../diagnostic.ts';
import { finding, type Details, type InputRule } from '../input-rule.ts';
import { didYouMean } from '../nearest.ts';
import type { TopologyInput } from '../schema/topology.ts';
import { keyPlaceAt, nodeAt, placeAt, type DataNode, type Path } from '../source/node.ts';
import { DUPLICATE_ID, UNKNOWN_NAME } from './problems.ts';

/** What can be named. */
export type NameKind = 'host' | 'bridge' | 'vIOMMU' | 'endpoint' | 'doorbell' | 'reserved region';

/** Names that are compared for "did you mean": thousands of unknown ones must not take minutes. */
const GUESSES_MAX = 50_000;

interface Named {
  readonly kind: NameKind;
  readonly place: SourcePlace;
}

/** What every part of `resolve` works with: the input, its places, its names, and the findings. */
export class Context {
  readonly input: TopologyInput;
  readonly file: string;
  readonly diagnostics: Diagnostic[] = [];
  /** Whether something was left out of the model that the rest refers to. */
  partial = false;
  readonly #root: DataNode;
  readonly #dropped: ReadonlySet<string>;
  readonly #names = new Map<string, Named>();
  readonly #byKind = new Map<NameKind, string[]>();
  #guesses = GUESSES_MAX;

  constructor(input: TopologyInput, root: DataNode, file: string, dropped: ReadonlySet<string>) {
    this.input = input;
    this.file = file;
    this.#root = root;
    this.#dropped = dropped;
  }

  /** The place of the value at `path`, or of the deepest thing on the way that exists. */
  place(...path: Path): SourcePlace {
    return placeAt(this.#root, path);
  }

  /** The place of the key at the end of `path`. */
  keyPlace(...path: Path): SourcePlace {
    return keyPlaceAt(this.#root, path);
  }

  /** The place of an item's id, which stands for the whole item in messages. */
  idPlace(...path: Path): SourcePlace {
    return placeAt(this.#root, [...path, 'id']);
  }

  /** The place of each value of the map at `path`, by key. */
  places(...path: Path): Readonly<Record<string, SourcePlace>> {
    const node = nodeAt(this.#root, path);
    if (node?.kind !== 'map') return {};
    return Object.fromEntries([...node.entries].map(([key, entry]) => [key, entry.value.place]));
  }

  report(rule: InputRule, place: Diagnostic['place'], message: string, details?: Details): void {
    this.diagnostics.push(finding(rule, place, message, details));
  }

  /** Registers a name; false when it is taken, which is reported. */
  define(kind: NameKind, id: string, place: SourcePlace): boolean {
    const earlier = this.#names.get(id);
    if (earlier === undefined) {
      this.#names.set(id, { kind, place });
      const list = this.#byKind.get(kind);
      if (list === undefined) this.#byKind.set(kind, [id]);
      else list.push(id);
      return true;
    }
    const message = `the id "${id}" is given twice`;
    const related = [{ place: earlier.place, message: `also the id of this ${earlier.kind}` }];
    this.report(DUPLICATE_ID, place, message, { related });
    return false;
  }

  /** The name if it is one of `kinds`; reports what is unknown. `none` is no name. */
  lookUp(
    kinds: readonly NameKind[],
    id: string | undefined,
    place: SourcePlace,
  ): string | undefined {
    if (id === undefined || id === 'none') return undefined;
    const named = this.#names.get(id);
    if (named !== undefined && kinds.includes(named.kind)) return id;
    // What was dropped for a mistake of its own is not unknown as well.
    if (named === undefined && this.#dropped.has(id)) return undefined;
    const candidates = this.names(kinds);
    const what = kinds.join(' or ');
    const message =
      named === undefined
        ? `there is no ${what} "${id}"${this.#guess(id, candidates)}`
        : `"${id}" is a ${named.kind}, not a ${what}`;
    this.report(UNKNOWN_NAME, place, message);
    return undefined;
  }

  /** All names of some kinds, each kind in the order of the file. */
  names(kinds: readonly NameKind[]): string[] {
    return kinds.flatMap((kind) => this.#byKind.get(kind) ?? []);
  }

  #guess(id: string, candidates: readonly string[]): string {
    this.#guesses -= candidates.length;
    return this.#guesses < 0 ? '' : didYouMean(id, candidates);
  }
}
