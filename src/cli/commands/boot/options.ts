import { Option, type Command } from 'commander';
import { bytes, collect, count, seconds } from '../../arguments.ts';
import { BACKEND_NAMES, type BackendName } from './backends.ts';
import { netOption, type NetOption } from './net.ts';

/** Forms of a verdict, the default first. */
export const VERDICT_FORMATS = ['text', 'json', 'junit', 'tap'] as const;

export type VerdictFormat = (typeof VERDICT_FORMATS)[number];

/** What the command line of `boot` says. Plain data: workers get a copy. */
export interface BootOptions {
  /** Default: by the topology's architecture. */
  readonly backend?: BackendName;
  readonly firmware?: 'dt' | 'acpi' | 'both';
  readonly firmwareBy: 'own' | 'qemu';
  readonly firmwareFrom?: string;
  readonly kernel?: string;
  readonly modules?: string;
  readonly series?: string;
  readonly mem?: bigint;
  readonly stockCmdline?: boolean;
  readonly cmdline?: string;
  readonly append: readonly string[];
  readonly systemMap?: string;
  readonly accel?: 'auto' | 'kvm' | 'tcg';
  readonly qemu?: string;
  readonly jobs?: number;
  readonly timeout: number;
  readonly seed: string;
  readonly format: VerdictFormat;
  readonly output?: string;
  readonly verbose?: boolean;
  readonly trace?: string;
  readonly traceFormat?: 'jsonl' | 'chrome';
  readonly pcap?: string;
  readonly net: readonly NetOption[];
  readonly debug?: string;
  readonly wait?: boolean;
  readonly report?: string;
  readonly fromSnapshot?: boolean;
  readonly record?: string;
  readonly replay?: string;
  readonly realtime?: boolean;
  readonly console?: boolean;
  readonly showConsole?: boolean;
  readonly quiet?: boolean;
  readonly force?: boolean;
}

/** Seconds a boot may take: TCG needs ten on a quiet machine, and CI machines are not quiet. */
const TIME_LIMIT = 300;

/** Every option of `boot`, in the order of its help. */
export function addBootOptions(command: Command): Command {
  addMachineOptions(command);
  addGuestOptions(command);
  return command
    .option('-j, --jobs <number>', 'boots at once (default: cores, as memory allows)', count)
    .option(
      '--timeout <seconds>',
      'end a guest after this long; emulator: of its own time',
      seconds,
      TIME_LIMIT,
    )
    .option('--from-snapshot', 'emulator: skip the kernel’s start, if an earlier boot left it')
    .option('--record <file>', 'emulator: write down what a replay needs')
    .option('--replay <file>', 'emulator: run it again, and say where it parts')
    .option('--realtime', 'emulator: the guest’s clock is the wall’s, and sleeps take their time')
    .option('--console', 'emulator: a shell in the guest after its checks; Ctrl-] leaves it')
    .option('--seed <text>', 'what everything random comes from', 'viommu-topo')
    .addOption(choice('--format <format>', 'of the verdict', VERDICT_FORMATS))
    .option('-o, --output <file>', 'write the verdict there, the text still to the terminal')
    .option('--verbose', 'every item of every promise')
    .option('--trace <file>', 'write every event there: JSON lines, or FILE.perfetto.json')
    .addOption(
      new Option('--trace-format <format>', 'of the trace (default: by its name)').choices([
        'jsonl',
        'chrome',
      ]),
    )
    .option('--report <dir>', 'write a page there for each boot: open it in a browser')
    .option('--debug <socket>', 'emulator, qemu-vfio-user: let viommu-topo debug look into the run')
    .option('--wait', 'emulator, with --debug: wait for its continue before the first instruction')
    .option('--pcap <dir>', 'model, emulator: write the frames of each NIC there')
    .option(
      '--net <tap=name,...>',
      'emulator, qemu-vfio-user: a NIC on a TAP interface [,endpoint=ID][,ip=A/N,peer=A]; repeatable',
      netOption,
      [],
    )
    .option('--show-console', 'show the guest’s console while it runs')
    .option('--quiet', 'no progress')
    .option('--force', 'boot although the topology has errors');
}

function addMachineOptions(command: Command): void {
  command
    .addOption(
      new Option(
        '--backend <backend>',
        'who plays the machine (default: emulator for arm64, qemu for x86-64)',
      ).choices(BACKEND_NAMES),
    )
    .addOption(
      new Option(
        '--firmware <kind>',
        'device tree, ACPI tables, or a boot with each (default: dt where there is one)',
      ).choices(['dt', 'acpi', 'both']),
    )
    .addOption(choice('--firmware-by <whose>', 'ours, or what QEMU makes', ['own', 'qemu']))
    .option('--firmware-from <dir>', 'firmware that build wrote there and somebody edited')
    .option('--mem <size>', 'RAM, such as 1G, instead of what the topology says', bytes)
    .addOption(
      new Option('--accel <accel>', 'qemu: auto (default) tries KVM out').choices([
        'auto',
        'kvm',
        'tcg',
      ]),
    )
    .option('--qemu <program>', 'the QEMU to use (default: the one on PATH)');
}

function addGuestOptions(command: Command): void {
  command
    .option('--kernel <image>', 'a kernel of your own; needs --modules')
    .option('--modules <dir>', 'its modules: /lib/modules/VERSION')
    .option('--series <version>', 'series of the stock kernel (default: 6.12)')
    .option('--system-map <file>', 'emulator: names for addresses when a guest hangs')
    .option('--stock-cmdline', 'no kernel parameters for speed')
    .option('--cmdline <text>', 'kernel parameters instead of those for speed')
    .option('--append <parameter>', 'one more kernel parameter; may be repeated', collect, []);
}

function choice(flags: string, text: string, of: readonly string[]): Option {
  return new Option(flags, text).choices(of).default(of[0]);
}
