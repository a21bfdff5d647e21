/** What the user's machine lacks; the command line tool prints it and exits 3. */
export type EnvironmentCode =
  | 'env/program-missing'
  | 'env/program-failed'
  | 'env/no-debian-mirror'
  | 'env/mirror-unreachable'
  | 'env/package-missing'
  | 'env/package-damaged'
  | 'env/kernel-unsuitable'
  | 'env/module-missing'
  | 'env/cache-unusable'
  | 'env/cache-busy'
  | 'env/temporary-unusable'
  | 'env/tap-unavailable';

/**
 * Something outside the topology is missing or broken: a program, a mirror, a package, a kernel.
 *
 * `message` says what was seen, `cure` what the user can do about it, as a command where one helps.
 */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  readonly code: EnvironmentCode;
  readonly cure: string;

  constructor(code: EnvironmentCode, message: string, cure: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.cure = cure;
  }
}
