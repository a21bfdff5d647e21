import { bootAndJudge, type RunTape, type Terminal } from '../../../backends/index.ts';
import type { Guest } from '../../../guest/index.ts';
import { renderDiagnostics } from '../../../report/index.ts';
import type { Backend, BootHooks, BootInput, Verdict } from '../../../scenario/index.ts';
import { ConsoleLeft, InputError } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { Progress } from '../../progress.ts';
import { BACKENDS } from './backends.ts';
import type { Boot } from './boots.ts';
import { BootProgress } from './boot-progress.ts';
import { Guests } from './guests.ts';
import { defaultJobs, inParallel } from './jobs.ts';
import type { BootOptions } from './options.ts';
import { hooksOf, outputsFor } from './outputs.ts';
import type { BootPool } from './pool.ts';
import { joinTerminal } from './terminal.ts';

/** A boot that nothing stands in the way of. */
interface Prepared {
  readonly boot: Boot;
  readonly backend: Backend;
  readonly input: BootInput;
  /** The guest, where the backend has asked for one. */
  readonly guest: Guest | undefined;
}

/**
 * Boots, several at once if the options or the machine say so, and tells the outputs in order.
 *
 * @throws ConsoleLeft when the user left the console before there was a verdict
 */
export async function runBoots(
  boots: readonly Boot[],
  io: Io,
  options: BootOptions,
  tape?: RunTape,
): Promise<readonly Verdict[]> {
  const ender = new AbortController();
  const signal = AbortSignal.any([io.signal, ender.signal]);
  let left = false;
  const leave = (): void => {
    left = true;
    ender.abort();
  };
  const joined = options.console === true ? joinTerminal(io, leave) : undefined;
  const terminal = joined?.terminal;
  const prepared = await prepareAll(boots, { io, options, signal, terminal, tape });
  const jobs = Math.min(options.jobs ?? defaultJobs(boots), boots.length);
  // Where a guest has the screen, nobody else writes on it.
  const hasScreen = (joined?.terminal ?? tape?.terminal(undefined)) !== undefined;
  const quiet = options.quiet === true || hasScreen;
  const progress = new BootProgress(io, quiet, boots.length, jobs);
  const parts = { io, options, jobs, clearProgress: (): void => progress.clear() };
  const outputs = outputsFor(parts);
  const inWorkers = jobs > 1 && boots.some(({ backend }) => backend === 'emulator');
  const pool = inWorkers ? new (await import('./pool.ts')).BootPool(jobs, options) : undefined;
  const verdicts = new Map<number, Verdict>();
  let told = 0;
  const tell = (): void => {
    for (let verdict = verdicts.get(told); verdict !== undefined; verdict = verdicts.get(told)) {
      const boot = boots[told++];
      if (boot === undefined) break;
      progress.clear();
      for (const output of outputs) output.verdict?.(verdict, boot);
    }
  };
  try {
    await inParallel(
      prepared,
      jobs,
      async (one, index) => {
        const hooks = { ...progress.start(one.boot), ...hooksOf(outputs, one.boot) };
        verdicts.set(index, await bootOne(one, hooks, pool, signal));
        joined?.release();
        progress.finish(one.boot);
        tell();
      },
      () => ender.abort(),
    );
    progress.clear();
    const all = boots.flatMap((_, index) => verdicts.get(index) ?? []);
    for (const output of outputs) await output.end?.(all);
    return all;
  } catch (error) {
    throw left ? new ConsoleLeft() : error;
  } finally {
    joined?.release();
    progress.clear();
    await pool?.end();
    for (const output of outputs) output.close?.();
  }
}

/** The emulator keeps a core busy and goes to a worker; QEMU is a process anyway. */
async function bootOne(
  { boot, backend, input, guest }: Prepared,
  hooks: BootHooks,
  pool: BootPool | undefined,
  signal: AbortSignal,
): Promise<Verdict> {
  if (pool === undefined || boot.backend !== 'emulator' || guest === undefined) {
    return bootAndJudge(backend, input, hooks);
  }
  return pool.boot(boot, guest, hooks, signal);
}

interface Surroundings {
  readonly io: Io;
  readonly options: BootOptions;
  readonly signal: AbortSignal;
  readonly terminal: Terminal | undefined;
  readonly tape: RunTape | undefined;
}

/** Everything that can be said before the first guest starts: missing guests, what cannot be booted. */
async function prepareAll(
  boots: readonly Boot[],
  { io, options, signal, terminal, tape }: Surroundings,
): Promise<readonly Prepared[]> {
  const progress = new Progress(io, options.quiet === true);
  const guests = new Guests(io, options);
  const prepared: Prepared[] = [];
  const { timeout: timeLimit, seed } = options;
  try {
    for (const boot of boots) {
      const { model, firmware } = boot;
      let guest: Guest | undefined;
      const backend = await BACKENDS[boot.backend]({
        options,
        boot,
        guest: async () => (guest = await guests.of(model, progress)),
        say: (line) => io.err(`${line}\n`),
        ...(terminal === undefined ? {} : { terminal }),
        ...(tape === undefined ? {} : { tape }),
      });
      const input: BootInput = { model, firmware, signal, timeLimit, seed };
      await preflight(backend, input, boot.file, io, () => progress.end());
      prepared.push({ boot, backend, input, guest });
    }
  } finally {
    progress.end();
  }
  return prepared;
}

async function preflight(
  backend: Backend,
  input: BootInput,
  file: string,
  io: Io,
  clearProgress: () => void,
): Promise<void> {
  const obstacles = await backend.preflight(input);
  if (obstacles.length === 0) return;
  clearProgress();
  io.err(renderDiagnostics(obstacles, new Map(), { color: io.colorErr }));
  if (obstacles.some(({ severity }) => severity === 'error')) {
    throw new InputError(`the ${backend.name} backend cannot boot ${file}`, 'see above');
  }
}
