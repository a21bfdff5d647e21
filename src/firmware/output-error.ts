import { FirmwareError } from './error.ts';

interface Trouble {
  readonly what: string;
  readonly cure: string;
  readonly full?: boolean;
}

const ELSEWHERE = 'choose another directory';
const FULL = 'make room there, or choose a directory on another disk';

/** What file systems answer when something cannot be written, in words. */
const TROUBLES: Readonly<Record<string, Trouble>> = {
  EACCES: { what: 'permission denied', cure: 'choose a directory that you may write to' },
  EPERM: {
    what: 'the operation is not permitted',
    cure: 'choose a directory that you may write to',
  },
  EROFS: { what: 'the file system is read-only', cure: ELSEWHERE },
  ENOENT: { what: 'no directory can be made there', cure: ELSEWHERE },
  ENOTDIR: { what: 'a part of the path is not a directory', cure: ELSEWHERE },
  EEXIST: { what: 'a file of that name is in the way', cure: ELSEWHERE },
  EISDIR: { what: 'a directory is in the way', cure: ELSEWHERE },
  ENOTEMPTY: { what: 'another program writes there', cure: ELSEWHERE },
  EBUSY: { what: 'it is in use', cure: ELSEWHERE },
  EXDEV: { what: 'it is on another file system than its folder', cure: ELSEWHERE },
  ELOOP: { what: 'symbolic links lead in a circle', cure: ELSEWHERE },
  ENAMETOOLONG: { what: 'the name is too long', cure: 'choose a shorter name' },
  EINVAL: { what: 'the file system does not take this name', cure: ELSEWHERE },
  EIO: { what: 'the disk has an error', cure: 'choose a directory on another disk' },
  EMFILE: { what: 'too many files are open', cure: 'raise the limit: ulimit -n 1024' },
  ENOSPC: { what: 'no space is left on the disk', cure: FULL, full: true },
  EDQUOT: { what: 'your quota on the disk is used up', cure: FULL, full: true },
  EFBIG: {
    what: 'files may not be that large',
    cure: 'raise the limit: ulimit -f unlimited',
    full: true,
  },
};

const NO_DIRECTORY: Trouble = {
  what: 'its directory is not there',
  cure: 'make the directory, or name another file',
};

/** An error of the file system as a sentence with a cure; anything else as it is. */
export function asOutputError(error: unknown, dir: string): unknown {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
  const code = String(error.code);
  // A file is opened; only a directory is made.
  const trouble = code === 'ENOENT' && error.syscall === 'open' ? NO_DIRECTORY : TROUBLES[code];
  const { what, cure, full } = trouble ?? { what: code, cure: ELSEWHERE };
  return new FirmwareError(
    full === true ? 'outputs/no-space' : 'outputs/unwritable',
    `cannot write to ${dir === '' ? '""' : dir}: ${what}`,
    { cure, cause: error },
  );
}
