import { Option, type Command } from 'commander';
import { seconds } from '../../arguments.ts';
import { InputError } from '../../exit.ts';
import { BACKEND_NAMES, type BackendName } from './backends.ts';

/** What the command line of `boot` says. */
export interface BootOptions {
  readonly backend: BackendName;
  readonly firmwareKind?: 'device-tree' | 'acpi';
  readonly kernel?: string;
  readonly modules?: string;
  readonly series?: string;
  readonly stockCmdline?: boolean;
  readonly append: readonly string[];
  readonly firmware: 'own' | 'qemu';
  readonly firmwareFrom?: string;
  readonly accel: 'auto' | 'kvm' | 'tcg';
  readonly qemu?: string;
  readonly timeout: number;
  readonly seed: string;
  readonly format: 'text' | 'json' | 'junit';
  readonly output?: string;
  readonly verbose?: boolean;
  readonly console?: boolean;
  readonly quiet?: boolean;
  readonly force?: boolean;
}

/** Seconds a boot may take: TCG needs ten on a quiet machine, and CI machines are not quiet. */
const TIME_LIMIT = 300;

/** Every option of `boot`, in the order of its help. */
export function addBootOptions(command: Command): Command {
  return command
    .addOption(choice('--backend <backend>', 'who plays the machine', BACKEND_NAMES))
    .option('--kernel <image>', 'a kernel of your own; needs --modules')
    .option('--modules <dir>', 'its modules: /lib/modules/VERSION')
    .option('--series <version>', 'series of the stock kernel (default: 6.12)')
    .option('--stock-cmdline', 'no kernel parameters for speed')
    .option('--append <parameter>', 'one more kernel parameter; may be repeated', collect, [])
    .addOption(choice('--firmware <whose>', 'our firmware, or what QEMU makes', ['own', 'qemu']))
    .addOption(
      new Option(
        '--firmware-kind <kind>',
        'model, emulator: which of the two (default: the tree, if any)',
      ).choices(['device-tree', 'acpi']),
    )
    .option('--firmware-from <dir>', 'firmware that build wrote there and somebody edited')
    .addOption(choice('--accel <accel>', 'auto tries KVM out', ['auto', 'kvm', 'tcg']))
    .option('--qemu <program>', 'the QEMU to use (default: the one on PATH)')
    .option('--timeout <seconds>', 'end the guest after this long', seconds, TIME_LIMIT)
    .option('--seed <text>', 'what everything random comes from', 'viommu-topo')
    .addOption(choice('--format <format>', 'of the verdict', ['text', 'json', 'junit']))
    .option('-o, --output <file>', 'write the verdict there, the text still to the terminal')
    .option('--verbose', 'every item of every promise')
    .option('--console', 'show the guest’s console while it runs')
    .option('--quiet', 'no progress')
    .option('--force', 'boot although the topology has errors');
}

/** Options that are wrong together. @throws InputError */
export function checkOptions({ kernel, modules }: BootOptions): void {
  if ((kernel === undefined) !== (modules === undefined)) {
    throw new InputError(
      kernel === undefined ? '--modules without --kernel' : '--kernel without --modules',
      'give both: --kernel /boot/vmlinuz-VERSION --modules /lib/modules/VERSION',
    );
  }
}

function choice(flags: string, text: string, of: readonly string[]): Option {
  return new Option(flags, text).choices(of).default(of[0]);
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
