// A stock kernel on the emulator, and the verdict: what `viommu-topo boot` does.
import {
  bootAndJudge,
  buildFirmware,
  builtImages,
  emulatorBackend,
  fetchGuest,
  loadTopology,
  type Verdict,
} from 'viommu-topo';

/**
 * Boots a topology and judges what the guest shows. The kernel comes from the cache, or, the first
 * time, from the Debian mirror of this machine.
 */
export async function bootTopology(topology: string): Promise<Verdict> {
  const { model, diagnostics } = loadTopology(topology);
  if (model === undefined) throw new Error(diagnostics.map(({ message }) => message).join('\n'));

  const backend = emulatorBackend({ guest: await fetchGuest('arm64') });
  const input = {
    model,
    firmware: builtImages(buildFirmware(model), topology),
    timeLimit: 300,
    seed: 'the same again',
  };
  // What this backend cannot hold is said before anything starts.
  const obstacles = await backend.preflight(input);
  if (obstacles.length > 0) throw new Error(obstacles.map(({ message }) => message).join('\n'));
  return bootAndJudge(backend, input);
}
