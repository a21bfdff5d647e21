import type { BootHooks, BootInput, Observation } from '../scenario/index.ts';
import type { EmulatorBackendOptions } from './emulator-options.ts';
import { TapLink } from './tap-link.ts';
import { closeTaps, openTaps, withTaps } from './taps.ts';

/** Milliseconds between two looks at what the host has sent. */
const LOOK_MS = 1;

type Run = (
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
) => Promise<Observation>;

/** How a run is made when NICs are on TAP interfaces: in real time, since the host lives in it. */
export async function runOnTaps(
  input: BootInput,
  hooks: BootHooks,
  options: EmulatorBackendOptions,
  run: Run,
): Promise<Observation> {
  const { taps: attachments = [] } = options;
  if (attachments.length === 0) return run(input, hooks, options);
  const taps = openTaps(attachments);
  const links = new Map<string, TapLink>();
  let failure: { readonly error: unknown } | undefined;
  const timer = setInterval(() => {
    try {
      for (const link of links.values()) link.work();
    } catch (error) {
      failure = { error };
      clearInterval(timer);
    }
  }, LOOK_MS);
  try {
    const observation = await run(input, hooks, {
      ...options,
      realTime: true,
      link: ({ id }, wake) => {
        const found = taps.find(({ attachment }) => attachment.endpoint === id);
        if (found === undefined) return undefined;
        const link = new TapLink(found.tap, wake);
        links.set(id, link);
        return link;
      },
    });
    if (failure !== undefined) throw failure.error;
    return withTaps(observation, attachments, troubles(links), true);
  } finally {
    clearInterval(timer);
    closeTaps(taps);
  }
}

function troubles(links: ReadonlyMap<string, TapLink>): string[] {
  return [...links.values()].flatMap((link) => link.troubles);
}
