import { FormatError } from '../../../bytes/index.ts';
import { SystemMap } from '../../../emulator/index.ts';
import { readBounded } from '../../../topology/index.ts';
import { InputError } from '../../exit.ts';

/** The largest of a distribution's have some 10 MiB. */
const SIZE_MAX = 64 * 2 ** 20;

/** `--system-map`. @throws InputError */
export function readSystemMap(path: string): SystemMap {
  const read = readBounded(path, SIZE_MAX);
  if (read.kind === 'unreadable') throw new InputError(`cannot read ${path}: ${read.reason}`);
  if (read.kind === 'too-large') throw new InputError(`${path} is no System.map: above 64 MiB`);
  try {
    return SystemMap.parse(Buffer.from(read.bytes).toString('utf8'));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const cure =
      error.code === 'system-map/stub'
        ? 'install that package and name its file below /usr/lib/debug/boot'
        : 'name the System.map that belongs to the kernel';
    throw new InputError(`${path}: ${error.message} [${error.code}]`, cure, { cause: error });
  }
}
