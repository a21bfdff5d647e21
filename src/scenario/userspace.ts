import type { Range } from '../bytes/index.ts';

/**
 * What a program in the guest's user space reported of its work with a device, through VFIO. The
 * steps are those of qemu/vfio-dma/vfio-dma.c, in their order; docs/guides/passthrough.md lists them.
 */
export interface UserspaceObservation {
  readonly device: string;
  /** Whether the program came to its end. */
  readonly ran: boolean;
  readonly error?: string;
  readonly steps: readonly UserspaceStep[];
}

export interface UserspaceStep {
  readonly name: string;
  /** Linux' number of the error that its system call returned; 0: none. */
  readonly errno: number;
  /** `iova`, `bytes`, `access`, `gpa`, `done`, `right`, `untouched` …, as the program has them. */
  readonly numbers: ReadonlyMap<string, bigint>;
  /** Words: `driver`. */
  readonly words: ReadonlyMap<string, string>;
}

export const LINUX_ERRNO: ReadonlyMap<number, string> = new Map([
  [1, 'EPERM'],
  [2, 'ENOENT'],
  [5, 'EIO'],
  [12, 'ENOMEM'],
  [14, 'EFAULT'],
  [16, 'EBUSY'],
  [17, 'EEXIST'],
  [19, 'ENODEV'],
  [22, 'EINVAL'],
  [25, 'ENOTTY'],
  [28, 'ENOSPC'],
  [34, 'ERANGE'],
]);

export function showErrno(errno: number): string {
  return errno === 0 ? 'done' : (LINUX_ERRNO.get(errno) ?? `errno ${errno}`);
}

/** The first step of that name. */
export function stepOf({ steps }: UserspaceObservation, name: string): UserspaceStep | undefined {
  return steps.find((step) => step.name === name);
}

/** The addresses a step is about: `iova` and `bytes`. */
export function rangeOf({ numbers }: UserspaceStep): Range {
  const start = numbers.get('iova') ?? 0n;
  const bytes = numbers.get('bytes') ?? 1n;
  return { start, end: start + (bytes > 0n ? bytes : 1n) - 1n };
}

/** Steps that access what must not be accessible. */
export const REFUSED_ACCESSES = ['write-readable', 'read-unmapped', 'write-unmapped'] as const;

/** Addresses at which the program made an endpoint fault on purpose. */
export function provokedByUserspace(seen: UserspaceObservation): Range[] {
  const names: readonly string[] = REFUSED_ACCESSES;
  return seen.steps.flatMap((step) => {
    if (step.name === 'many') return [rangeOf(step)];
    const start = step.numbers.get('iova');
    if (!names.includes(step.name) || start === undefined) return [];
    return [{ start, end: start + 0xfffn }];
  });
}
