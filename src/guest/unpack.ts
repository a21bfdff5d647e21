import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { cacheDirectory, cacheSubdirectory, writeWhole } from './cache.ts';
import { run } from './run.ts';

const SUM_BYTES = 32;

function sum(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/**
 * A module as the kernel takes it, by its file name: `.ko`, `.ko.gz`, `.ko.xz`, `.ko.zst`; the last two
 * by the host's programs. Starting one takes longer than all else that is done for a module: what came
 * out is kept in the cache, by the sum of what went in, after the sum of itself.
 *
 * @param cache default: {@link cacheDirectory}
 */
export async function unpackModule(
  path: string,
  bytes: Uint8Array,
  cache: string = cacheDirectory(),
): Promise<Uint8Array> {
  if (path.endsWith('.gz')) return promisify(gunzip)(bytes);
  const [program, ...argv] = path.endsWith('.xz')
    ? ['xz', '-dc']
    : path.endsWith('.zst')
      ? ['zstd', '-dcq']
      : [];
  if (program === undefined) return bytes;
  const kept = join(cache, 'unpacked', `${sum(bytes).toString('hex')}.ko`);
  const known = await readFile(kept).catch(() => undefined);
  const unpacked = known?.subarray(SUM_BYTES);
  if (unpacked !== undefined && known?.subarray(0, SUM_BYTES).equals(sum(unpacked)))
    return unpacked;
  const made = await run(program, argv, { input: bytes });
  // A cache that cannot be written to costs time, and nothing else.
  await cacheSubdirectory(cache, 'unpacked')
    .then(() => writeWhole(kept, Buffer.concat([sum(made), made])))
    .catch(() => undefined);
  return made;
}
