import { startQemu, type QemuExit } from '../qemu/index.ts';
import {
  BootAborted,
  type BootHooks,
  type BootInput,
  type DeviceRecorder,
} from '../scenario/index.ts';
import { ConsoleWatch } from './qemu-console.ts';
import { TraceTranslator } from './qemu-events.ts';
import type { Prepared, QemuBackendOptions } from './qemu-prepare.ts';

/** Longest pause of a healthy guest, in seconds: an action that waits for a device, on a busy machine. */
const SILENCE = 60;

/** A guest that said its last gets this long to power off, in milliseconds. */
const POWER_OFF_MS = 10_000;

export interface Watched {
  readonly console: ConsoleWatch;
  readonly exit: { readonly why: 'exited' | 'time-limit' | 'silent'; readonly limit: number };
  readonly errors: readonly string[];
}

/** Starts QEMU and stays until it, the guest, the clock or the user ends the run. */
export async function watch(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
  { qemu, argv }: Prepared,
  recorder: DeviceRecorder,
): Promise<Watched> {
  const silence = options.silence ?? SILENCE;
  const ender = new AbortController();
  let silent = false;
  let timer: NodeJS.Timeout | undefined;
  const wait = (milliseconds: number, ended: boolean): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent = !ended;
      ender.abort();
    }, milliseconds);
  };
  const console = new ConsoleWatch(hooks, (ended) => {
    wait(ended ? POWER_OFF_MS : silence * 1000, ended);
  });
  const translator = new TraceTranslator(input.model, (event) => {
    recorder.add(event);
    hooks.event?.(event);
  });
  const signals = [ender.signal, ...(input.signal === undefined ? [] : [input.signal])];
  hooks.progress?.('starting QEMU');
  try {
    const running = await startQemu({
      program: qemu.path,
      args: argv,
      console: (line) => console.line(line),
      trace: (event) => translator.add(event),
      signal: AbortSignal.any(signals),
      timeLimit: input.timeLimit * 1000,
    });
    wait(silence * 1000, false);
    const exit = await running.exit;
    if (input.signal?.aborted === true) throw new BootAborted('the boot was ended');
    return {
      console,
      exit: whyOf(exit, silent, input.timeLimit, silence),
      errors: exit.story.errors,
    };
  } catch (error) {
    // Ended before QEMU answered: not QEMU's failure, but what was asked for.
    if (input.signal?.aborted === true) throw new BootAborted('the boot was ended');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function whyOf(exit: QemuExit, silent: boolean, limit: number, silence: number): Watched['exit'] {
  if (silent) return { why: 'silent', limit: silence };
  return exit.cause === 'timed-out' ? { why: 'time-limit', limit } : { why: 'exited', limit };
}
