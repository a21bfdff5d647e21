import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { makeDirectories } from '../bytes/index.ts';
import { writeWhole } from '../guest/index.ts';
import type { Model } from '../topology/index.ts';

/** What all snapshots together may take; the one that was used longest ago goes first. */
const BYTES_MAX = 1024 * 1024 * 1024;
const SUFFIX = '.vtsnap';

/** Rooms whose code makes a machine what it is. */
const ROOMS = [
  'bytes',
  'emulator',
  'endpoints',
  'host-iommu',
  'iommu',
  'machine',
  'memory',
  'pci',
  'spec',
  'virtio',
] as const;

/** Snapshots of machines at their first questions, by what made them. */
export class SnapshotCache {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Undefined without one. */
  async read(key: string): Promise<Uint8Array | undefined> {
    const path = this.#path(key);
    const bytes = await readFile(path).catch(() => undefined);
    const now = new Date();
    if (bytes !== undefined) await utimes(path, now, now).catch(() => undefined);
    return bytes;
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    makeDirectories(this.#dir);
    await writeWhole(this.#path(key), bytes);
    await this.#prune();
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  #path(key: string): string {
    return join(this.#dir, `${key}${SUFFIX}`);
  }

  async #prune(): Promise<void> {
    const names = (await readdir(this.#dir)).filter((name) => name.endsWith(SUFFIX));
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#dir, name);
        // Another run may have removed it meanwhile.
        const { size, mtimeMs } = (await stat(path).catch(() => undefined)) ?? zero;
        return { path, size, mtimeMs };
      }),
    );
    let total = 0;
    for (const { path, size } of files.toSorted((a, b) => b.mtimeMs - a.mtimeMs)) {
      total += size;
      if (total > BYTES_MAX) await rm(path, { force: true });
    }
  }
}

const zero = { size: 0, mtimeMs: 0 };

/**
 * What a snapshot is good for: the same code, the same machine, the same bytes in RAM at power-on
 * (kernel, initramfs, firmware, command line, random seed).
 *
 * @param placed hash of those bytes
 */
export async function snapshotKey(model: Model, seed: string, placed: string): Promise<string> {
  const hash = createHash('sha256');
  const parts = [await machineCode(), machineHash(model), seed, placed];
  return hash.update(JSON.stringify(parts)).digest('hex');
}

let code: Promise<string> | undefined;

/** Hash of everything that plays the machine: a version's number would not tell of a change. */
export async function machineCode(): Promise<string> {
  code ??= hashRooms();
  return code;
}

async function hashRooms(): Promise<string> {
  const hash = createHash('sha256');
  const root = fileURLToPath(new URL('../', import.meta.url));
  for (const room of ROOMS) {
    const names = await readdir(join(root, room), { recursive: true });
    const files = names.filter((name) => /(?<!\.d)\.(?:js|ts|wasm)$/u.test(name)).toSorted();
    for (const name of files) {
      const bytes = await readFile(join(root, room, name));
      hash.update(`${room}/${name} ${bytes.length} `).update(bytes);
    }
  }
  return hash.digest('hex');
}

/** What of a topology is not the machine: where it was written down, and what is looked for in it. */
const NOT_MACHINE: ReadonlySet<string> = new Set([
  'file',
  'name',
  'place',
  'places',
  'expect',
  'checks',
]);

/** Of everything in a topology that makes its machine. */
export function machineHash(model: Model): string {
  const text = JSON.stringify(model, (key, value: unknown) => {
    if (NOT_MACHINE.has(key)) return undefined;
    if (typeof value === 'bigint') return `${value}n`;
    if (value instanceof Map) return [...(value as ReadonlyMap<unknown, unknown>)];
    if (value instanceof Set) return [...(value as ReadonlySet<unknown>)];
    return value;
  });
  return createHash('sha256').update(text).digest('hex');
}
