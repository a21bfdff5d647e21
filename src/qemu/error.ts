/** Why QEMU could not do what it was asked. */
export type QemuErrorCode =
  | 'qemu/not-started'
  | 'qemu/exited'
  | 'qemu/timed-out'
  | 'qemu/aborted'
  | 'qemu/qmp-closed'
  | 'qemu/qmp-error'
  | 'qemu/qmp-timeout'
  | 'qemu/no-tables';

/** Everything known about a QEMU process when something went wrong with it. */
export interface QemuStory {
  readonly argv: readonly string[];
  /** Milliseconds from start to end. */
  readonly duration: number;
  readonly exitCode?: number;
  readonly signal?: string;
  /** The last lines of its standard error, trace lines left out. */
  readonly errors: readonly string[];
  /** The last lines of the guest's console. */
  readonly console: readonly string[];
}

/** A failure of QEMU with its whole story in the message. */
export class QemuError extends Error {
  override readonly name = 'QemuError';
  readonly code: QemuErrorCode;
  readonly story: QemuStory | undefined;

  constructor(code: QemuErrorCode, message: string, story?: QemuStory, options?: ErrorOptions) {
    super(story === undefined ? message : `${message}\n${showStory(story)}`, options);
    this.code = code;
    this.story = story;
  }
}

/** The story as lines: command, how it ended, and both tails. */
export function showStory(story: QemuStory): string {
  const ended =
    story.signal === undefined
      ? story.exitCode === undefined
        ? 'still running'
        : `exit code ${story.exitCode}`
      : `killed by ${story.signal}`;
  return [
    `  command: ${story.argv.map(shellWord).join(' ')}`,
    `  ended:   ${ended} after ${(story.duration / 1000).toFixed(1)} s`,
    ...story.errors.map((line) => `  stderr:  ${line}`),
    ...story.console.map((line) => `  console: ${line}`),
  ].join('\n');
}

/** A word as a POSIX shell reads it back unchanged. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
