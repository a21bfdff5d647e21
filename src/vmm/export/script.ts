import { shellWord } from '../../qemu/index.ts';
import type { Model } from '../../topology/index.ts';
import { showLoss, type Loss } from '../loss.ts';

/** One argument of a command: ready words, or a word of shell code that must not be quoted. */
export type Word = string | { readonly shell: string };

/** What is to be set before a script can run; `need` stops it with a sentence otherwise. */
export interface Setting {
  readonly name: string;
  readonly what: string;
  /** Absent: there is none, it must be given. */
  readonly byDefault?: string;
}

export interface ScriptParts {
  readonly program: string;
  readonly model: Model;
  readonly settings: readonly Setting[];
  /** One line each: an option and its value. */
  readonly lines: readonly (readonly Word[])[];
  readonly losses: readonly Loss[];
}

/** `"$KERNEL"` */
export function variable(name: string, prefix = ''): Word {
  return { shell: `${prefix === '' ? '' : shellWord(prefix)}"$${name}"` };
}

/** A POSIX script that runs one VMM, with its losses as comments at the head. */
export function vmmScript({ program, model, settings, lines, losses }: ScriptParts): string {
  const words = lines.map((line) => line.map(word).join(' '));
  return [
    '#!/bin/sh',
    `# The topology ${printable(model.name)} for ${program}, written by viommu-topo.`,
    ...(losses.length === 0 ? [] : ['#', '# What it cannot express:']),
    ...losses.map((loss) => `# - ${printable(showLoss(loss))}`),
    'set -eu',
    ...settings.map(setting),
    '',
    [`exec ${program}`, ...words, '"$@"'].join(' \\\n  '),
    '',
  ].join('\n');
}

function setting({ name, what, byDefault }: Setting): string {
  if (byDefault !== undefined) return `${name}=\${${name}:-${shellWord(byDefault)}}`;
  return `: "\${${name}:?set it to ${printable(what).replaceAll(/["$`\\}]/gu, '')}}"`;
}

function word(part: Word): string {
  return typeof part === 'string' ? shellWord(part) : part.shell;
}

/** A name in a comment must not end the comment. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/gu, '?');
}
