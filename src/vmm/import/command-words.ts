import { parse } from 'shell-quote';
import { ImportError } from './machine.ts';

/** Longer than any command line that a shell accepts. */
const TEXT_MAX = 1 << 20;

const PROGRAM = /(?:^|\/)(?:qemu(?:-system-\w+|-kvm)|kvm)$/u;
/** `kvm` is also an argument: as a command it stands first. */
const LINE = /^[^#]*qemu(?:-system-\w+|-kvm)|^\s*(?:sudo\s+|exec\s+)*(?:\/\S*\/)?kvm\s+-/u;
const ASSIGNMENT = /^\s*(?:(?:export|readonly|local|declare)\s+)?([A-Za-z_]\w*)(\+?)=(.*)$/su;

/** A QEMU command taken apart. */
export interface CommandWords {
  /** The program, and what follows. */
  readonly words: readonly string[];
  /** How many more commands of QEMU there are, which were not taken. */
  readonly others: number;
}

/**
 * A command line as a shell would take it apart: quotes, backslashes and comments, and the variables
 * that a script has set before. JSON that has lost its quotes, as `ps` prints it, is one word. Of a
 * script, the first command that runs `qemu-system-…` with options is taken. Words that are divided by
 * NUL, as in `/proc/PID/cmdline`, are taken as they are.
 * @throws ImportError
 */
export function commandWords(text: string): CommandWords {
  checkLength(text);
  const commands = text.includes('\0')
    ? [fromProgram(text.replace(/\0+$/u, '').split('\0'))]
    : scriptLines(text)
        .filter((line) => LINE.test(line))
        .map((line) => fromProgram(split(line)));
  const real = commands.filter((words) => words.some((word) => word.startsWith('-')));
  const words = real[0] ?? commands[0];
  if (words === undefined || words.length === 0) {
    throw new ImportError(
      'there is no qemu-system-… command in it',
      'give a file with the command line, as ps prints it or as in a script',
    );
  }
  return { words, others: Math.max(real.length - 1, 0) };
}

function checkLength(text: string): void {
  if (text.length <= TEXT_MAX) return;
  throw new ImportError('the command line is longer than 1 MiB', 'give the command alone');
}

function fromProgram(words: readonly string[]): string[] {
  const start = words.findIndex((word) => PROGRAM.test(word));
  return start < 0 ? [] : words.slice(start);
}

/** The lines that are no assignments, with the variables put in. */
function scriptLines(text: string): string[] {
  const variables = new Map<string, string>();
  const lines: string[] = [];
  let size = 0;
  for (const line of logicalLines(text)) {
    const filled = /^\s*#/u.test(line) ? line : withVariables(line, variables);
    // Variables made of variables double with each line.
    size += filled.length;
    if (size > TEXT_MAX) checkLength(filled.padEnd(TEXT_MAX + 1));
    const assigned = ASSIGNMENT.exec(filled);
    const value = assigned === null ? undefined : assignedText(assigned[3] ?? '');
    const [, name = '', more] = assigned ?? [];
    if (value === undefined) lines.push(filled);
    else variables.set(name, more === '+' ? joined(variables.get(name), value) : value);
  }
  return lines;
}

/** Lines that a backslash continues, and arrays up to their parenthesis, are one. */
function logicalLines(text: string): string[] {
  const lines: string[] = [];
  let array: string[] | undefined;
  for (const line of text.replaceAll(/\\\r?\n/gu, ' ').split(/\r?\n/u)) {
    if (array === undefined && !/^\s*\w+\+?=\([^)]*$/u.test(line)) {
      lines.push(line);
      continue;
    }
    array ??= [];
    array.push(line.replace(/(?:^|\s)#.*$/u, ''));
    if (!/\)\s*(?:#.*)?$/u.test(line)) continue;
    lines.push(array.join(' '));
    array = undefined;
  }
  return array === undefined ? lines : [...lines, ...array];
}

/** The text of a variable; undefined when the assignment is only for the command after it. */
function assignedText(source: string): string | undefined {
  const array = /^\((.*)\)\s*(?:#.*)?$/su.exec(source);
  if (array !== null) return array[1];
  const quoted =
    /^"([^"]*)"\s*(?:[#;].*)?$/su.exec(source) ?? /^'([^']*)'\s*(?:[#;].*)?$/su.exec(source);
  if (quoted !== null) return quoted[1];
  return /^(\S*)\s*(?:#.*)?$/u.exec(source)?.[1];
}

function joined(before: string | undefined, more: string): string {
  // A string is lengthened, an array gets more words: a blank between is right for both here.
  return before === undefined || before === '' ? more : `${before} ${more.trimStart()}`;
}

function withVariables(line: string, variables: ReadonlyMap<string, string>): string {
  return line
    .replaceAll(/"?\$\{(\w+)\[[@*]\]\}"?/gu, (all, name: string) => variables.get(name) ?? all)
    .replaceAll(
      /\$(?:\{(\w+)(?::?-([^{}]*))?\}|(\w+))/gu,
      (all, long?: string, otherwise?: string, short?: string) =>
        variables.get(long ?? short ?? '') ?? otherwise ?? all,
    );
}

/** One command, up to what ends it. */
function split(line: string): string[] {
  const { text, objects } = keepObjects(line);
  const words: string[] = [];
  for (const part of parsed(text)) {
    if (typeof part === 'string') words.push(objects.get(part) ?? part);
    else if ('pattern' in part) words.push(part.pattern);
    else if ('comment' in part) break;
    else if ('op' in part && /^(?:;|&|\||&&|\|\|)$/u.test(part.op)) {
      // What stands before the command is not it.
      if (words.some((word) => PROGRAM.test(word))) break;
      words.length = 0;
    }
  }
  return words;
}

function parsed(text: string): ReturnType<typeof parse> {
  try {
    return parse(text, (name) => `$${name}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ImportError(`the command cannot be taken apart: ${why}`, 'give the command alone');
  }
}

/** Replaces JSON objects that stand unquoted by names without anything that a shell would see. */
function keepObjects(line: string): { text: string; objects: ReadonlyMap<string, string> } {
  const objects = new Map<string, string>();
  let text = '';
  let done = 0;
  for (const { index } of line.matchAll(/(?<=\s)\{"/gu)) {
    if (index < done) continue;
    const end = objectEnd(line, index);
    if (end === undefined) continue;
    const name = `\u0001${objects.size}\u0001`;
    objects.set(name, line.slice(index, end));
    text += line.slice(done, index) + name;
    done = end;
  }
  return { text: text + line.slice(done), objects };
}

/** Where the object that starts at `start` ends, a blank or the line's end after it. */
function objectEnd(line: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = start; at < line.length; at++) {
    const character = line[at];
    if (inString) {
      if (character === '\\') at++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '{' || character === '[') depth++;
    else if ((character === '}' || character === ']') && --depth === 0) {
      return /^(?:\s|$)/u.test(line.slice(at + 1, at + 2)) ? at + 1 : undefined;
    }
  }
  return undefined;
}
