import { readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';

/** Placeholders of arguments and options that name something in the file system. */
const PATHS = /<(?:file|files|dir|image|socket|program)(?:\.{3})?>|\[(?:file|dir)(?:\.{3})?\]/u;
/** A directory with more entries is completed no further: nobody reads that many. */
const ENTRIES_MAX = 1000;

/**
 * `viommu-topo completion SHELL` prints the code that a shell needs, and the hidden `complete -- WORDS`
 * is what that code asks. Both know every command, option and choice that `program` has by now.
 *
 * @param word the word that is being typed
 */
export function addCompletion(program: Command, word = process.argv.at(-1) ?? ''): void {
  const root = tab(program, { completionCommandName: 'completion' });
  const paths = (complete: (value: string, description: string) => void): void => {
    for (const path of pathsFrom(word)) complete(path, '');
  };
  for (const [name, completed] of root.commands) {
    const command = commandAt(program, name);
    for (const option of command?.options ?? []) {
      const mine =
        completed.options.get(option.attributeName()) ?? completed.options.get(option.name());
      if (mine !== undefined && PATHS.test(option.flags)) mine.handler = paths;
    }
    for (const argument of command?.registeredArguments ?? []) {
      const mine = completed.arguments.get(argument.name());
      if (mine !== undefined && argument.argChoices === undefined) mine.handler = paths;
    }
  }
  commandAt(program, 'completion')?.addHelpText(
    'after',
    `
Examples:
  viommu-topo completion bash > ~/.local/share/bash-completion/completions/viommu-topo
  viommu-topo completion zsh > "\${fpath[1]}/_viommu-topo"
  viommu-topo completion fish > ~/.config/fish/completions/viommu-topo.fish`,
  );
}

/** `guest fetch` below the program. */
function commandAt(program: Command, path: string): Command | undefined {
  return path
    .split(' ')
    .reduce<Command | undefined>(
      (above, name) => above?.commands.find((one) => one.name() === name),
      program,
    );
}

/** Files and directories that begin as `word` does; hidden ones when it asks for them. */
function pathsFrom(word: string): string[] {
  const inside = word === '' || word.endsWith('/');
  const directory = inside
    ? word
    : dirname(word) === '.' && !word.startsWith('./')
      ? ''
      : `${dirname(word)}/`;
  const start = inside ? '' : basename(word);
  try {
    return readdirSync(directory === '' ? '.' : directory, { withFileTypes: true })
      .filter(({ name }) => name.startsWith(start) && (start !== '' || !name.startsWith('.')))
      .slice(0, ENTRIES_MAX)
      .map(
        (entry) =>
          `${directory.replace(/\/+$/u, '/')}${entry.name}${entry.isDirectory() ? '/' : ''}`,
      );
  } catch {
    return [];
  }
}
