import { emulatorBackend, modelBackend, qemuBackend } from '../../../backends/index.ts';
import type { BootOptionSet, Guest } from '../../../guest/index.ts';
import type { Backend } from '../../../scenario/index.ts';
import type { BootOptions } from './options.ts';

/** The backends of `--backend`, the default first. */
export const BACKEND_NAMES = ['qemu', 'model', 'emulator'] as const;

export type BackendName = (typeof BACKEND_NAMES)[number];

/** What a backend is made from. */
export interface BackendParts {
  readonly options: BootOptions;
  /** The stock guest; fetched when it is asked for. */
  readonly guest: () => Promise<Guest>;
}

/** One line for each backend. */
export const BACKENDS: Readonly<
  Record<BackendName, (parts: BackendParts) => Backend | Promise<Backend>>
> = {
  qemu: async ({ options, guest }) => {
    const { qemu, accel, firmware, firmwareFrom } = options;
    return qemuBackend({
      guest: await guest(),
      ...(qemu === undefined ? {} : { qemu }),
      accel,
      firmware: firmwareFrom === undefined ? firmware : 'own',
      ...cmdline(options),
    });
  },
  model: ({ options }) => modelBackend(kind(options)),
  emulator: async ({ options, guest }) =>
    emulatorBackend({ guest: await guest(), ...cmdline(options), ...kind(options) }),
};

function cmdline({ stockCmdline, append }: BootOptions): {
  readonly bootOptions: BootOptionSet;
  readonly append: readonly string[];
} {
  return { bootOptions: stockCmdline === true ? 'stock' : 'fast', append };
}

function kind({ firmwareKind }: BootOptions): { readonly firmware?: 'device-tree' | 'acpi' } {
  return firmwareKind === undefined ? {} : { firmware: firmwareKind };
}
