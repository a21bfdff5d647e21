import type { z } from 'zod';
import type { Diagnostic } from '../diagnostic.ts';
import { finding, type InputRule } from '../input-rule.ts';
import { didYouMean } from '../nearest.ts';
import {
  keyPlaceAt,
  nodeAt,
  placeAt,
  plain,
  without,
  type DataNode,
  type Path,
} from '../source/node.ts';
import { shown } from './number.ts';
import { BAD_CHOICE, MISSING_KEY, SCHEMA_RULES, UNKNOWN_KEY, WRONG_TYPE } from './problems.ts';
import { topology, type TopologyInput } from './topology.ts';

export interface Validated {
  /** What is left of the file without its faulty parts; absent when nothing usable is. */
  readonly input?: TopologyInput;
  /** The data that `input` was made of: paths of `input` lead to places in it. */
  readonly root: DataNode;
  readonly diagnostics: readonly Diagnostic[];
  /** Names of things that were dropped: not unknown, only faulty. */
  readonly dropped: ReadonlySet<string>;
  /** Whether values were dropped, not only unknown keys: the rest is not the whole. */
  readonly partial: boolean;
}

type Issue = z.core.$ZodIssue;

/** Unknown keys that are compared with the known ones: nobody reads more, and it takes long. */
const GUESSES_MAX = 1000;

/** Each round drops at least one node; a mistake drops what contains it at most this often. */
const ROUNDS_MAX = 12;

/**
 * Checks the form of a topology.
 *
 * Faulty parts are reported and dropped, so that the rest can still be resolved and all mistakes
 * of a file come in one run. Only the first round reports: what is missing later, we dropped.
 */
export function validate(data: DataNode): Validated {
  let root = data;
  let diagnostics: Diagnostic[] | undefined;
  const dropped = new Set<string>();
  let partial = false;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const result = topology.safeParse(plain(root));
    if (result.success) {
      return { input: result.data, root, diagnostics: diagnostics ?? [], dropped, partial };
    }
    partial ||= result.error.issues.some((issue) => issue.code !== 'unrecognized_keys');
    const before = root;
    const guesses = { left: GUESSES_MAX };
    diagnostics ??= result.error.issues.flatMap((issue) => explain(before, issue, guesses));
    root = prune(root, result.error.issues, dropped);
    if (root === before) break;
  }
  return { root, diagnostics: diagnostics ?? [], dropped, partial: true };
}

function explain(root: DataNode, issue: Issue, guesses: { left: number }): Diagnostic[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') {
    const known = issue.message.split(' ');
    return issue.keys.map((key) => {
      const place = keyPlaceAt(root, [...path, key]);
      const hint = guesses.left-- > 0 ? didYouMean(key, known) : '';
      return finding(UNKNOWN_KEY, place, `unknown key "${key}"${hint}`, {
        cure: `write one of ${known.join(', ')}`,
      });
    });
  }
  if (nodeAt(root, path) === undefined) return [missing(root, path)];
  const place = placeAt(root, path);
  if (issue.code === 'custom') {
    return [finding(ruleOf(issue.params?.['rule']), place, messageOf(path, issue.message))];
  }
  if (issue.code === 'invalid_type') {
    const wanted = issue.expected === 'array' ? 'a list' : 'a map';
    const message = `${wanted} is expected, not ${shown(plain(nodeAt(root, path) ?? root))}`;
    return [finding(WRONG_TYPE, place, messageOf(path, message))];
  }
  const rule = issue.code === 'invalid_union' ? BAD_CHOICE : WRONG_TYPE;
  return [finding(rule, place, messageOf(path, issue.message))];
}

/** The last key says what the value is of: `interrupt: "x" is not a number`. */
function messageOf(path: Path, message: string): string {
  const key = path.findLast((step) => typeof step === 'string');
  return key === undefined ? message : `${key}: ${message}`;
}

function missing(root: DataNode, path: Path): Diagnostic {
  const key = String(path.at(-1));
  return finding(MISSING_KEY, placeAt(root, path.slice(0, -1)), `the key "${key}" is missing`, {
    cure: `state "${key}"`,
  });
}

function ruleOf(id: unknown): InputRule {
  return SCHEMA_RULES.find((rule) => rule.id === id) ?? WRONG_TYPE;
}

function prune(root: DataNode, issues: readonly Issue[], dropped: Set<string>): DataNode {
  const paths = issues.flatMap((issue) => pathsToDrop(root, issue));
  for (const path of paths) noteNames(nodeAt(root, path), dropped);
  return paths.length === 0 ? root : without(root, paths);
}

function pathsToDrop(root: DataNode, issue: Issue): Path[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...path, key]);
  const item = path.findLastIndex((step) => typeof step === 'number');
  // Half a vIOMMU would only cause more messages; half a host still says which buses exist.
  if (item > 0 && path[0] !== 'pci') return [path.slice(0, item + 1)];
  if (nodeAt(root, path) !== undefined) return path.length === 0 ? [] : [path];
  const parent = path.slice(0, -1);
  return parent.length === 0 ? [] : [parent];
}

/** Remembers the ids in what is dropped; depth is bounded by the scanner. */
function noteNames(node: DataNode | undefined, dropped: Set<string>): void {
  if (node === undefined) return;
  if (node.kind === 'scalar') {
    if (typeof node.value === 'string') dropped.add(node.value);
  } else if (node.kind === 'list') {
    for (const item of node.items) noteNames(item, dropped);
  } else {
    for (const entry of node.entries.values()) noteNames(entry.value, dropped);
  }
}
