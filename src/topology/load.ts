import type { Diagnostic, KernelVersion } from './diagnostic.ts';
import { DEFAULT_KERNEL } from './diagnostic.ts';
import { describe } from './describe/index.ts';
import type { Facts } from './facts.ts';
import type { Model } from './model.ts';
import { resolve } from './resolve/index.ts';
import { checkFacts } from './rules/index.ts';
import { validate } from './schema/validate.ts';
import type { TopologyInput } from './schema/topology.ts';
import { loadLayers, TEMPLATES } from './source/extend.ts';
import { YAML_TOO_BIG } from './source/problems.ts';
import { readSource, SourceText } from './source/text.ts';

/** Findings of one rule: nobody reads more, and a hostile file could have a hundred thousand. */
const FINDINGS_MAX = 100;

/** Text of every file that was read, by the name that places use for it. */
export type SourceTexts = ReadonlyMap<string, string>;

/** How a topology is read. */
export interface LoadOptions {
  /** The kernel whose behaviour decides; default: the topology's, else 6.12. */
  readonly kernel?: KernelVersion;
  /** Where `extends: name` looks; default: the templates of this package. */
  readonly templates?: string;
  /** Bytes of RAM, placed as the board does, instead of `machine.memory`. */
  readonly memory?: bigint;
}

/** What came of a file: a model if it can be used, and everything that is wrong with it. */
export interface Loaded {
  /** Present when the file could be read and resolved without an error. */
  readonly model?: Model;
  readonly facts?: Facts;
  /** Everything that is wrong, in order of files and places. */
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: SourceTexts;
}

/**
 * Reads a topology and what it extends, checks its form, resolves it, and runs every rule.
 *
 * Never throws on what a file contains. A model is returned although rules found errors: firmware
 * that is wrong on purpose is a use of this tool.
 */
export function loadTopology(file: string, options: LoadOptions = {}): Loaded {
  const reading = readSource(file, file);
  if ('source' in reading) return load(reading.source, options);
  return { diagnostics: [reading.problem], sources: new Map() };
}

/** {@link loadTopology} of a text; `file` is its name, and where relative `extends` start from. */
export function parseTopology(text: string, file: string, options: LoadOptions = {}): Loaded {
  return load(new SourceText(file, text), options);
}

function load(source: SourceText, options: LoadOptions): Loaded {
  const layered = loadLayers(source, source.file, options.templates ?? TEMPLATES);
  const { sources, root } = layered;
  const unread = layered.diagnostics.length > 0;
  const tooBig = layered.diagnostics.some(({ rule }) => rule === YAML_TOO_BIG.id);
  if (root === undefined || tooBig) {
    return { diagnostics: sorted(layered.diagnostics, sources), sources };
  }
  const validated = validate(root);
  const found = [...layered.diagnostics];
  // With a part of the file missing, "missing" says nothing.
  found.push(...validated.diagnostics.filter((d) => !unread || d.rule !== 'missing-key'));
  const { input } = validated;
  if (input === undefined || unread) return { diagnostics: sorted(found, sources), sources };
  const resolved = resolve(
    withMemory(input, options),
    validated.root,
    source.file,
    validated.dropped,
  );
  found.push(...resolved.diagnostics);
  const whole = found.length === 0;
  // A hundred mistakes are no topology: what rules would add is noise, and takes long.
  if (validated.partial || resolved.partial || found.length >= FINDINGS_MAX) {
    return { diagnostics: sorted(found, sources), sources };
  }
  const facts = factsOf(resolved.model, options);
  found.push(...checkFacts(facts));
  const diagnostics = sorted(found, sources);
  return whole ? { model: resolved.model, facts, diagnostics, sources } : { diagnostics, sources };
}

function withMemory(input: TopologyInput, { memory }: LoadOptions): TopologyInput {
  if (memory === undefined) return input;
  return { ...input, machine: { ...input.machine, memory: { size: memory } } };
}

function factsOf(model: Model, options: LoadOptions): Facts {
  return {
    model,
    ...describe(model),
    kernel: options.kernel ?? model.guest.kernel ?? DEFAULT_KERNEL,
    guestPage: model.guest.pageSize,
  };
}

/** By file in order of reading, then by position; stable, and each finding once. */
function sorted(diagnostics: readonly Diagnostic[], sources: SourceTexts): Diagnostic[] {
  const files = [...sources.keys()];
  const seen = new Set<string>();
  const rank = ({ place }: Diagnostic): [number, number] => [
    files.indexOf(place.file),
    place.kind === 'source' ? place.start : 0,
  ];
  const unique = diagnostics
    .filter((diagnostic) => {
      const key = `${diagnostic.rule} ${rank(diagnostic).join(' ')} ${diagnostic.message}`;
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    })
    .toSorted((a, b) => {
      const [fileA, startA] = rank(a);
      const [fileB, startB] = rank(b);
      return fileA - fileB || startA - startB;
    });
  return capped(unique);
}

/** The first findings of each rule; the last of them says how many more there are. */
function capped(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  const counts = new Map<string, number>();
  const kept = diagnostics.filter(({ rule }) => {
    const count = (counts.get(rule) ?? 0) + 1;
    counts.set(rule, count);
    return count <= FINDINGS_MAX;
  });
  const left = new Map(counts);
  return kept.map((diagnostic) => {
    const { rule, message } = diagnostic;
    const after = (left.get(rule) ?? 1) - 1;
    left.set(rule, after);
    const total = counts.get(rule) ?? 0;
    const more = total - FINDINGS_MAX;
    const isLast = total - after === FINDINGS_MAX;
    if (more <= 0 || !isLast) return diagnostic;
    return { ...diagnostic, message: `${message} (and ${more} more of this kind)` };
  });
}
