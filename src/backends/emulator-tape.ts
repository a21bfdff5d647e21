import type { BootHooks, BootInput, Observation } from '../scenario/index.ts';
import type { EmulatorBackendOptions } from './emulator-options.ts';
import { kindOf } from './emulator-session.ts';
import { machineCode, machineHash } from './snapshot-cache.ts';
import type { RunTape } from './tape.ts';

/** How a run is made that is written down, or compared with one that was. */
export async function runOnTape(
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
  run: (
    input: BootInput,
    hooks: BootHooks,
    options: EmulatorBackendOptions,
  ) => Promise<Observation>,
): Promise<Observation> {
  const { tape } = options;
  if (tape === undefined) return run(input, hooks, options);
  const taped = tapedOptions(options, tape);
  return run(await onTape(input, taped, tape), hooks, taped);
}

/** Tells of what the run is made; the input, for as long as there is somebody to tell to. */
async function onTape(
  input: BootInput,
  options: EmulatorBackendOptions,
  tape: RunTape,
): Promise<BootInput> {
  const { model, seed } = input;
  tape.origin({
    topology: model.name,
    firmware: kindOf(input, options),
    kernel: `${options.guest.release} ${options.guest.kernelSha256}`,
    seed,
    machine: machineHash(model),
    code: await machineCode(),
  });
  const signals = [input.signal, tape.signal].filter((signal) => signal !== undefined);
  return { ...input, signal: AbortSignal.any(signals) };
}

function tapedOptions(options: EmulatorBackendOptions, tape: RunTape): EmulatorBackendOptions {
  const { terminal: given, ...rest } = options;
  const terminal = tape.terminal(given);
  return {
    ...rest,
    ...(tape.realTime === undefined ? {} : { realTime: tape.realTime }),
    ...(terminal === undefined ? {} : { terminal }),
  };
}
