import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { EnvironmentError } from './environment.ts';
import { type ModuleInfo, moduleName, readModuleInfo } from './modinfo.ts';
import { ModuleFiles } from './module-files.ts';
import { unpackModule } from './unpack.ts';

/** A module as the initramfs carries it. */
export interface KernelModule {
  /** With `_`, never `-`. */
  readonly name: string;
  /** Uncompressed ELF. */
  readonly bytes: Uint8Array;
  readonly info: ModuleInfo;
}

/**
 * The modules of one kernel: a directory like `/lib/modules/6.12.95`.
 *
 * Dependencies come from the modules themselves and not from `modules.dep`, which a package does
 * not ship (depmod makes it when the package is installed) and which may be stale.
 */
export class ModuleTree {
  readonly dir: string;
  readonly #files: ModuleFiles;
  readonly #loaded = new Map<string, KernelModule>();

  private constructor(dir: string, files: ModuleFiles) {
    this.dir = dir;
    this.#files = files;
  }

  /** Throws {@link EnvironmentError} `env/module-missing` when the directory cannot be read. */
  static async open(dir: string): Promise<ModuleTree> {
    await readdir(dir).catch((cause: unknown) => {
      throw new EnvironmentError(
        'env/module-missing',
        `Cannot read the modules directory ${dir}`,
        'Name the directory of one kernel, as in --modules /lib/modules/VERSION.',
        { cause },
      );
    });
    return new ModuleTree(dir, await ModuleFiles.open(dir));
  }

  /** Where the kernel has it: a file, its own image, or nowhere. */
  where(name: string): 'module' | 'builtin' | 'absent' {
    const wanted = moduleName(name);
    if (this.#files.find(wanted) !== undefined) return 'module';
    return this.#files.isBuiltin(wanted) ? 'builtin' : 'absent';
  }

  /** One module, uncompressed. */
  async read(name: string): Promise<KernelModule> {
    const wanted = moduleName(name);
    const known = this.#loaded.get(wanted);
    if (known !== undefined) return known;
    const path = this.#files.find(wanted);
    if (path === undefined) throw absent(name, this.dir);
    const bytes = await unpackModule(path, await readFile(join(this.dir, path)));
    const loaded = { name: wanted, bytes, info: readModuleInfo(bytes) };
    this.#loaded.set(wanted, loaded);
    return loaded;
  }

  /**
   * The named modules and all they depend on, in the order to load them; built-in ones are left out.
   *
   * `virtio_iommu` comes before the rest whatever the list says: an endpoint whose driver is
   * loaded first is deferred until the IOMMU is there, and after 10 s it is let through without.
   * Throws {@link EnvironmentError} `env/module-missing`; names in `optional` may be absent.
   */
  async resolve(
    names: readonly string[],
    optional: readonly string[] = [],
  ): Promise<KernelModule[]> {
    const order: KernelModule[] = [];
    const seen = new Set<string>();
    const visit = async (name: string, required: boolean): Promise<void> => {
      const wanted = moduleName(name);
      if (seen.has(wanted)) return;
      seen.add(wanted);
      const where = this.where(wanted);
      if (where === 'builtin' || (where === 'absent' && !required)) return;
      const loaded = await this.read(wanted);
      for (const before of loaded.info.depends) await visit(before, true);
      for (const before of loaded.info.pre) await visit(before, false);
      order.push(loaded);
    };
    const all = [...names, ...optional].map(moduleName);
    const required = new Set(names.map(moduleName));
    const first = all.filter((name) => name === 'virtio_iommu');
    for (const name of [...first, ...all]) await visit(name, required.has(name));
    return order;
  }
}

function absent(name: string, dir: string): EnvironmentError {
  return new EnvironmentError(
    'env/module-missing',
    `The kernel has no module ${name}, neither built in nor below ${dir}`,
    'Use a kernel whose configuration has it; `viommu-topo guest fetch` brings one.',
  );
}
