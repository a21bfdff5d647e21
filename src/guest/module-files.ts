import { existsSync, readdirSync, type Dirent } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { EnvironmentError } from './environment.ts';
import { moduleName } from './modinfo.ts';

const MODULE_FILE = /^(.+)\.ko(?:\.(xz|zst|gz))?$/u;
/** Distributions pack all modules of a kernel alike. */
const SUFFIXES = ['.xz', '', '.zst', '.gz'] as const;

/** The name of the module in a file of this path; empty when it is none. */
function nameIn(path: string): string {
  return moduleName(MODULE_FILE.exec(path.slice(path.lastIndexOf('/') + 1))?.[1] ?? '');
}

async function pathsByName(list: string): Promise<Map<string, string>> {
  const text = await readFile(list, 'utf8').catch(() => '');
  const paths = new Map<string, string>();
  for (const line of text.split('\n')) {
    const path = line.trim();
    const name = nameIn(path);
    if (name !== '' && !paths.has(name)) paths.set(name, path);
  }
  return paths;
}

/**
 * Where a kernel has its modules. A kernel has thousands, in a thousand directories; those that its
 * build lists in `modules.order` are looked for where that says, and only for others is all read.
 */
export class ModuleFiles {
  readonly #dir: string;
  readonly #listed: ReadonlyMap<string, string>;
  readonly #builtin: ReadonlySet<string>;
  #walked: ReadonlyMap<string, string> | undefined;

  private constructor(
    dir: string,
    listed: ReadonlyMap<string, string>,
    builtin: ReadonlySet<string>,
  ) {
    this.#dir = dir;
    this.#listed = listed;
    this.#builtin = builtin;
  }

  /** Of a directory like `/lib/modules/6.12.95`. */
  static async open(dir: string): Promise<ModuleFiles> {
    const builtin = await pathsByName(join(dir, 'modules.builtin'));
    const listed = await pathsByName(join(dir, 'modules.order'));
    return new ModuleFiles(dir, listed, new Set(builtin.keys()));
  }

  isBuiltin(name: string): boolean {
    return this.#builtin.has(name);
  }

  /**
   * The path of a module's file below the directory, if it has one.
   * @throws EnvironmentError `env/module-missing` when a directory cannot be read
   */
  find(name: string): string | undefined {
    const listed = this.#listed.get(name);
    // Lists of kernels before 5.3 have these paths, too; a path that leads out of here is no hint.
    if (listed !== undefined && !listed.startsWith('/') && !listed.split('/').includes('..')) {
      const suffix = SUFFIXES.find((one) => existsSync(join(this.#dir, `${listed}${one}`)));
      if (suffix !== undefined) return `${listed}${suffix}`;
    }
    if (this.isBuiltin(name)) return undefined;
    this.#walked ??= this.#walk();
    return this.#walked.get(name);
  }

  /** All of them; of two of one name the first by path. */
  #walk(): Map<string, string> {
    const paths: string[] = [];
    const visit = (below: string): void => {
      for (const entry of this.#entries(below)) {
        const path = `${below}${entry.name}`;
        if (entry.isDirectory()) visit(`${path}/`);
        else if (nameIn(path) !== '') paths.push(path);
      }
    };
    visit('');
    const files = new Map<string, string>();
    for (const path of paths.toSorted()) {
      const name = nameIn(path);
      if (!files.has(name)) files.set(name, path);
    }
    return files;
  }

  #entries(below: string): Dirent[] {
    const path = join(this.#dir, below);
    try {
      return readdirSync(path, { withFileTypes: true });
    } catch (cause) {
      throw new EnvironmentError(
        'env/module-missing',
        `Cannot read the modules directory ${path}`,
        'Make it readable, or name the directory of another kernel: --modules DIR.',
        { cause },
      );
    }
  }
}
