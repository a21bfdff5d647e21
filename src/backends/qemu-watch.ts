import {
  startQemu,
  type QemuExit,
  type QemuProcess,
  type QemuProgram,
  type TraceEvent,
} from '../qemu/index.ts';
import {
  BootAborted,
  type BootHooks,
  type BootInput,
  type DeviceEvent,
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

/** What is to be run, and who else wants to know. */
export interface Machine {
  readonly qemu: QemuProgram;
  readonly argv: readonly string[];
  readonly trace?: (event: TraceEvent) => void;
  /** Its control channel answers. */
  readonly started?: (running: QemuProcess) => void;
  /** At each line of the guest's report. */
  readonly record?: (kind: string, fields: ReadonlyMap<string, string>) => void;
  /**
   * The guest was reset, or powered off, and QEMU stands still (`-action reboot=shutdown,shutdown=pause`).
   * The answer lets it go on, with a console of its own; undefined: it is over.
   */
  readonly stopped?: (
    reason: string,
    running: QemuProcess,
    console: ConsoleWatch,
  ) => Promise<(() => Promise<void>) | undefined>;
  /** Milliseconds until QEMU's control channel must answer. */
  readonly answerTime?: number;
  /** Ends QEMU, beside the signal of the input. */
  readonly signal?: AbortSignal;
}

/** {@link watchMachine} of QEMU's own devices, whose trace is recorded. */
export function watch(
  input: BootInput,
  hooks: BootHooks,
  options: QemuBackendOptions,
  { qemu, argv }: Prepared,
  recorder: DeviceRecorder,
): Promise<Watched> {
  const start = Date.now() / 1000;
  const emit = (event: DeviceEvent): void => {
    recorder.add(event);
    hooks.event?.(event);
  };
  const translator = new TraceTranslator(input.model, emit, start);
  const { console } = hooks;
  // The trace's clock is the host's, so a line has the time at which it came.
  const timed: BootHooks =
    console === undefined
      ? hooks
      : { ...hooks, console: (line) => console(line, Date.now() / 1000 - start) };
  const trace = (event: TraceEvent): void => translator.add(event);
  return watchMachine(input, timed, options, { qemu, argv, trace });
}

/** Starts QEMU and stays until it, the guest, the clock or the user ends the run. */
export async function watchMachine(
  input: BootInput,
  hooks: BootHooks,
  options: Pick<QemuBackendOptions, 'silence'>,
  machine: Machine,
): Promise<Watched> {
  const { qemu, argv, trace, started, signal, answerTime } = machine;
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
  const newConsole = (): ConsoleWatch =>
    new ConsoleWatch(
      hooks,
      (ended) => {
        wait(ended ? POWER_OFF_MS : silence * 1000, ended);
      },
      machine.record,
    );
  let console = newConsole();
  const signals = [ender.signal, input.signal, signal].filter((one) => one !== undefined);
  hooks.progress?.('starting QEMU');
  try {
    const running = await startQemu({
      program: qemu.path,
      args: argv,
      console: (line) => console.line(line),
      ...(trace === undefined ? {} : { trace }),
      signal: AbortSignal.any(signals),
      timeLimit: input.timeLimit * 1000,
      ...(answerTime === undefined ? {} : { answerTime }),
    });
    wait(silence * 1000, false);
    started?.(running);
    whenStopped(
      machine,
      running,
      () => console,
      (): void => {
        wait(silence * 1000, false);
        console = newConsole();
      },
    );
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

/** Asks `stopped` what is to become of a machine that stands still, and ends it when nothing is. */
function whenStopped(
  { stopped }: Machine,
  running: QemuProcess,
  console: () => ConsoleWatch,
  again: () => void,
): void {
  if (stopped === undefined) return;
  running.qmp.onEvent(({ event, data }) => {
    if (event !== 'SHUTDOWN') return;
    const goOn = async (): Promise<void> => {
      const reason = String(data['reason']);
      const resume = await stopped(reason, running, console());
      if (resume === undefined) {
        await running.stop();
        return;
      }
      again();
      await resume();
    };
    // What goes wrong here is a QEMU that is gone, or a server; both are told elsewhere.
    goOn().catch(() => running.kill());
  });
}

function whyOf(exit: QemuExit, silent: boolean, limit: number, silence: number): Watched['exit'] {
  if (silent) return { why: 'silent', limit: silence };
  return exit.cause === 'timed-out' ? { why: 'time-limit', limit } : { why: 'exited', limit };
}
