import { MemoryStore } from '../../src/endpoints/index.ts';
import type { ServerSetup, SetupContext } from '../../src/vfio-user/index.ts';

/** A setup module as a backend has one: disks of its own, and a question about the machine. */
export function setup({ model, data, machine, log }: SetupContext): ServerSetup {
  const { fill } = data as { readonly fill: number };
  log(`${model.name}: disks of ${fill}`);
  const store = new MemoryStore(new Uint8Array(1 << 20).fill(fill));
  return {
    machine: { store: () => store },
    questions: {
      byte: (at) => store.bytes[Number(at)],
      mappings: () =>
        [...machine().viommus.values()].map(({ device }) => device.state.domains.size),
      broken: () => {
        throw new Error('planted');
      },
    },
  };
}
