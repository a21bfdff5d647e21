import { renderDiagnostics } from '../report/index.ts';
import { loadTopology, type KernelVersion, type Model } from '../topology/index.ts';
import { InputError } from './exit.ts';
import type { Io } from './io.ts';

export interface LoadChoice {
  readonly kernel?: KernelVersion;
  /** Goes on although there are errors, as long as there is a model: wrong firmware on purpose. */
  readonly force?: boolean;
  /** Bytes of RAM instead of what the topology says. */
  readonly memory?: bigint;
}

/**
 * Loads a topology for a command that needs a right one, and says what is wrong with it.
 * @throws InputError when it has errors
 */
export function requireTopology(file: string, io: Io, choice: LoadChoice = {}): Model {
  const { kernel, memory } = choice;
  const loaded = loadTopology(file, {
    ...(kernel === undefined ? {} : { kernel }),
    ...(memory === undefined ? {} : { memory }),
  });
  io.err(renderDiagnostics(loaded.diagnostics, loaded.sources, { color: io.colorErr }));
  const errors = loaded.diagnostics.filter(({ severity }) => severity === 'error').length;
  if (loaded.model !== undefined && (errors === 0 || choice.force === true)) return loaded.model;
  if (loaded.model === undefined)
    throw new InputError(`${file} is not a topology that can be used`);
  throw new InputError(
    `${file} has ${errors} error${errors === 1 ? '' : 's'}`,
    'mend what is said above, or use --force to go on with firmware that is wrong',
  );
}
