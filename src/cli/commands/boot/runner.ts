import { bootAndJudge } from '../../../backends/index.ts';
import { renderDiagnostics } from '../../../report/index.ts';
import type { Backend, BootInput, Verdict } from '../../../scenario/index.ts';
import { InputError } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { Progress } from '../../progress.ts';
import { BACKENDS } from './backends.ts';
import { Guests } from './guests.ts';
import type { BootOptions } from './options.ts';
import { hooksOf, outputsFor } from './outputs.ts';
import type { Boot } from './boots.ts';

/** Boots one after the other, and tells the outputs. */
export async function runBoots(
  boots: readonly Boot[],
  io: Io,
  options: BootOptions,
): Promise<readonly Verdict[]> {
  let progress = new Progress(io, options.quiet === true);
  const clearProgress = (): void => progress.end();
  const outputs = outputsFor({ io, options, clearProgress });
  const guests = new Guests(io, options);
  const verdicts: Verdict[] = [];
  try {
    for (const boot of boots) {
      const { model, firmware } = boot;
      progress = new Progress(io, options.quiet === true);
      const guest = (): ReturnType<Guests['of']> => guests.of(model, progress);
      const backend = await BACKENDS[boot.backend]({ options, boot, guest });
      const { timeout: timeLimit, seed } = options;
      const input: BootInput = { model, firmware, signal: io.signal, timeLimit, seed };
      await preflight(backend, input, boot.file, io, clearProgress);
      const verdict = await bootAndJudge(backend, input, {
        progress: (stage) => progress.stage(`${model.name}: ${stage}`),
        ...hooksOf(outputs, boot),
      });
      progress.end();
      verdicts.push(verdict);
      for (const output of outputs) output.verdict?.(verdict, boot);
    }
  } finally {
    progress.end();
  }
  for (const output of outputs) output.end?.(verdicts);
  return verdicts;
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
