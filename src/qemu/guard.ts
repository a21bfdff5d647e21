import { spawn } from 'node:child_process';
import { accessSync, constants, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { delimiter, join } from 'node:path';

/**
 * That nothing of ours outlives us.
 *
 * Three nets, since each has a hole: on a normal exit (or an exception) the process's own `exit`
 * hook ends what runs and removes what lies around; when this process is killed outright, the
 * kernel (`setpriv --pdeathsig`) or, where that program is missing, a shell that waits for the end
 * of a pipe we hold, ends QEMU.
 */

const groups = new Set<number>();
const directories = new Set<string>();
let hooked = false;

function hook(): void {
  if (hooked) return;
  hooked = true;
  process.on('exit', releaseEverything);
}

/** Ends every process group and removes every directory that is guarded. Synchronous. */
export function releaseEverything(): void {
  for (const group of groups) killGroup(group, 'SIGKILL');
  groups.clear();
  for (const path of directories) rmSync(path, { recursive: true, force: true });
  directories.clear();
}

/** Guards the group led by process `pid` until the returned function is called. */
export function guardGroup(pid: number): () => void {
  hook();
  groups.add(pid);
  return () => {
    groups.delete(pid);
  };
}

/** Guards a temporary directory; the returned function removes it. */
export function guardDirectory(path: string): () => void {
  hook();
  directories.add(path);
  return () => {
    directories.delete(path);
    rmSync(path, { recursive: true, force: true });
  };
}

/** Sends `signal` to a whole process group; a group that is gone is no error. */
export function killGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // ESRCH: it ended by itself.
  }
}

/** A command that runs `argv` and dies with us, where the machine has the means. */
export interface Leash {
  readonly argv: readonly string[];
  /** To be called with the process's pid when the command itself is no leash. */
  readonly watch?: (pid: number) => void;
}

/** Puts `argv` on a leash. */
export function leash(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Leash {
  const setpriv = onPath('setpriv', env);
  if (setpriv !== undefined) return { argv: [setpriv, '--pdeathsig', 'KILL', '--', ...argv] };
  return { argv, watch: watchGroup };
}

/** A shell that blocks on a pipe from us; when the pipe ends, so does the group. */
export function watchGroup(pid: number): void {
  const watcher = spawn(
    '/bin/sh',
    ['-c', 'read -r _; kill -KILL -"$1" 2>/dev/null', 'sh', `${pid}`],
    {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  // A missing shell leaves the other nets; it must not end the run.
  watcher.on('error', () => undefined);
  watcher.unref();
  const pipe = watcher.stdin;
  if (pipe instanceof Socket) pipe.unref();
  const timer = setInterval(() => {
    if (groups.has(pid)) return;
    clearInterval(timer);
    // The group is gone and its number may be used again: end the watcher first, then the pipe.
    watcher.kill('SIGKILL');
    pipe.destroy();
  }, 200);
  timer.unref();
}

/** The first executable file called `name` on PATH. */
export function onPath(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  for (const dir of (env['PATH'] ?? '').split(delimiter)) {
    if (dir === '') continue;
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
