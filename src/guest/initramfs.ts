import { readFile } from 'node:fs/promises';

import { type CpioEntry, writeCpio } from './cpio.ts';
import type { Guest } from './fetch.ts';
import { ModuleTree } from './modules.ts';

/** What goes into the initramfs of one boot. */
export interface InitramfsOptions {
  readonly guest: Guest;
  /** Modules that must be there, built in or not; see {@link ModuleTree.resolve} for the order. */
  readonly modules: readonly string[];
  /** The guest's modules, to keep what was unpacked for another initramfs. */
  readonly tree?: ModuleTree;
  /** Modules that are loaded when the kernel has them. */
  readonly optionalModules?: readonly string[];
  /** Parameters of modules by name: `napi_tx=0`; none of a module that is built in. */
  readonly parameters?: ReadonlyMap<string, string>;
  /** Text of `/viommu/plan`, as `formatPlan` makes it. */
  readonly plan: string;
  /** What the guest is told when its plan asks for another one: the scripts for that are there. */
  readonly laterPlan?: string;
  /** More files, by absolute path in the guest; `/init` replaces our own script. */
  readonly files?: ReadonlyMap<string, { readonly data: Uint8Array; readonly mode?: number }>;
}

/** The applets of busybox that `qemu/init/init.sh` calls; the shell has the rest built in. */
const APPLETS = (
  'base64 dd devmem dmesg gzip head hexdump insmod ip mkdir mkfifo mount ping poweroff reboot rm sh ' +
  'sha256sum sleep stty usleep wc yes'
).split(' ');

const INIT_SCRIPT = new URL('../../qemu/init/init.sh', import.meta.url);

/** Verbs of a plan whose scripts are files of their own beside it. */
const CHECKS = ['plan', 'transfer', 'vfio'] as const;

/**
 * The initramfs of a guest: busybox, our init script, its plan, and uncompressed modules.
 *
 * An uncompressed cpio archive: unpacking a compressed one would cost an emulated CPU more than
 * reading a few megabytes. Throws `EnvironmentError`.
 */
export async function buildInitramfs(options: InitramfsOptions): Promise<Uint8Array> {
  const { guest } = options;
  const tree = options.tree ?? (await ModuleTree.open(guest.modulesDir));
  const modules = await tree.resolve(options.modules, options.optionalModules);
  const files = new Map<string, CpioEntry>();
  const put = (entry: CpioEntry): void => void files.set(entry.path, entry);
  const file = (path: string, data: Uint8Array | string, mode = 0o644): void =>
    put({ kind: 'file', path, mode, data: Buffer.from(data) });

  // The kernel opens /dev/console for init before devtmpfs is mounted.
  put({ kind: 'char', path: 'dev/console', mode: 0o600, major: 5, minor: 1 });
  put({ kind: 'char', path: 'dev/null', mode: 0o666, major: 1, minor: 3 });
  for (const path of ['proc', 'sys', 'run']) put({ kind: 'directory', path });
  file('bin/busybox', await readFile(guest.busybox), 0o755);
  for (const applet of APPLETS) put({ kind: 'link', path: `bin/${applet}`, target: 'busybox' });
  file('init', await readFile(INIT_SCRIPT), 0o755);
  file('viommu/plan', options.plan);
  for (const check of CHECKS) {
    if (new RegExp(`^${check} `, 'mu').test(`${options.plan}${options.laterPlan ?? ''}`))
      file(`viommu/checks/${check}.sh`, await readFile(new URL(`${check}.sh`, INIT_SCRIPT)));
  }
  const line = ({ name }: { readonly name: string }): string =>
    `${name} ${options.parameters?.get(name) ?? ''}`.trimEnd();
  file('viommu/modules', modules.map((module) => `${line(module)}\n`).join(''));
  for (const { name, bytes } of modules) file(`viommu/ko/${name}.ko`, bytes);
  for (const [path, { data, mode }] of options.files ?? [])
    file(path.replace(/^\/+/u, ''), data, mode);
  return writeCpio(withParents([...files.values()]));
}

/** Puts every directory on the way to an entry before it; the kernel makes none by itself. */
function withParents(entries: readonly CpioEntry[]): CpioEntry[] {
  const known = new Set(entries.map(({ path }) => path));
  const out: CpioEntry[] = [];
  for (const entry of entries) {
    const parts = entry.path.split('/');
    for (let count = 1; count < parts.length; count++) {
      const path = parts.slice(0, count).join('/');
      if (known.has(path)) continue;
      known.add(path);
      out.push({ kind: 'directory', path });
    }
    out.push(entry);
  }
  return out;
}
