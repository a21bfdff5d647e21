import { bootCmdline } from '../../../guest/index.ts';
import { InputError } from '../../exit.ts';
import { cmdlineOf, type BackendName } from './backends.ts';
import type { BootOptions } from './options.ts';
import { readSystemMap } from './system-map.ts';

/** Linux keeps no more of a command line, on arm64 and on x86-64, and says nothing (COMMAND_LINE_SIZE). */
const COMMAND_LINE_MAX = 2048 - 1;

/** Those that start a QEMU. */
const IN_QEMU = ['qemu', 'qemu-vfio-user'] as const;

/** Options that not every backend has: they ask for the first that does, and contradict the others. */
const ONLY: readonly {
  readonly flag: string;
  readonly backends: readonly [BackendName, ...BackendName[]];
  readonly given: (options: BootOptions) => boolean;
}[] = [
  { flag: '--qemu', backends: IN_QEMU, given: ({ qemu }) => qemu !== undefined },
  { flag: '--accel', backends: IN_QEMU, given: ({ accel }) => accel !== undefined },
  { flag: '--firmware-by qemu', backends: ['qemu'], given: (o) => o.firmwareBy === 'qemu' },
  { flag: '--wait', backends: ['emulator'], given: (o) => o.wait === true },
  {
    flag: '--debug',
    backends: ['emulator', 'qemu-vfio-user'],
    given: (o) => o.debug !== undefined,
  },
  { flag: '--pcap', backends: ['emulator', 'model'], given: (o) => o.pcap !== undefined },
  { flag: '--from-snapshot', backends: ['emulator'], given: (o) => o.fromSnapshot === true },
  { flag: '--net', backends: ['emulator', 'qemu-vfio-user'], given: (o) => o.net.length > 0 },
  { flag: '--record', backends: ['emulator'], given: (o) => o.record !== undefined },
  { flag: '--replay', backends: ['emulator'], given: (o) => o.replay !== undefined },
  { flag: '--realtime', backends: ['emulator'], given: (o) => o.realtime === true },
  { flag: '--console', backends: ['emulator'], given: (o) => o.console === true },
  { flag: '--system-map', backends: ['emulator'], given: (o) => o.systemMap !== undefined },
];

/** The backend that the options ask for, if they do. @throws InputError when they contradict */
export function askedBackend(options: BootOptions): BackendName | undefined {
  let asked: { readonly name: BackendName; readonly by: string } | undefined =
    options.backend === undefined
      ? undefined
      : { name: options.backend, by: `--backend ${options.backend}` };
  for (const { flag, backends, given } of ONLY) {
    if (!given(options)) continue;
    if (asked !== undefined && !backends.includes(asked.name)) {
      throw new InputError(
        `${flag} is for --backend ${backends.join(' or ')}, and there is ${asked.by}`,
        'leave one of the two out',
      );
    }
    asked ??= { name: backends[0], by: flag };
  }
  return asked?.name;
}

/** One terminal has room for one guest, and for nothing else. */
function checkConsole(options: BootOptions): void {
  const { console, firmware, showConsole, format, output } = options;
  if (console !== true) return;
  const others = [
    ...(firmware === 'both' ? ['--firmware both'] : []),
    ...(showConsole === true ? ['--show-console'] : []),
    ...(format !== 'text' && output === undefined ? [`--format ${format} without --output`] : []),
  ];
  if (others.length > 0) {
    throw new InputError(
      `--console has the terminal for itself, and there is ${others.join(', ')}`,
    );
  }
}

/** A snapshot is of a run in virtual time, which nobody looked into. */
function checkSnapshot({ fromSnapshot, console, realtime, debug, net }: BootOptions): void {
  if (fromSnapshot !== true) return;
  const others = [
    ...(console === true ? ['--console'] : []),
    ...(realtime === true ? ['--realtime'] : []),
    ...(debug === undefined ? [] : ['--debug']),
    ...(net.length > 0 ? ['--net'] : []),
  ];
  if (others.length > 0) {
    throw new InputError(
      `--from-snapshot starts no guest for ${others.join(' or ')}`,
      'leave --from-snapshot out',
    );
  }
}

/** What comes from outside is in the recording; what is not written down must not come. */
function checkTape(options: BootOptions): void {
  const { record, replay, console, realtime, debug, net, fromSnapshot } = options;
  if (record === undefined && replay === undefined) return;
  const flag = record === undefined ? '--replay' : '--record';
  const others = [
    ...(record !== undefined && replay !== undefined ? ['--replay'] : []),
    ...(debug === undefined ? [] : ['--debug']),
    ...(net.length > 0 ? ['--net'] : []),
    ...(fromSnapshot === true ? ['--from-snapshot'] : []),
    ...(replay !== undefined && console === true ? ['--console'] : []),
    ...(replay !== undefined && realtime === true ? ['--realtime'] : []),
  ];
  if (others.length > 0) {
    throw new InputError(
      `${flag} does not go with ${others.join(' or ')}`,
      'leave one of them out; a replay has its keys and its time from the recording',
    );
  }
}

/** Options that are wrong together. @throws InputError */
export function checkOptions(options: BootOptions): void {
  const { kernel, modules, mem, firmwareFrom, stockCmdline, cmdline } = options;
  if ((kernel === undefined) !== (modules === undefined)) {
    throw new InputError(
      kernel === undefined ? '--modules without --kernel' : '--kernel without --modules',
      'give both: --kernel /boot/vmlinuz-VERSION --modules /lib/modules/VERSION',
    );
  }
  if (mem !== undefined && firmwareFrom !== undefined) {
    throw new InputError(
      '--mem and --firmware-from: the firmware there says how much memory there is',
      'build it from a topology with that much memory',
    );
  }
  if (stockCmdline === true && cmdline !== undefined) {
    throw new InputError(
      '--stock-cmdline and --cmdline: both replace the parameters for speed',
      'leave one of them out',
    );
  }
  if (options.wait === true && options.debug === undefined) {
    throw new InputError(
      '--wait without --debug: nobody could let the guest go on',
      'add --debug SOCKET',
    );
  }
  checkConsole(options);
  checkSnapshot(options);
  checkTape(options);
  const { bootOptions, append } = cmdlineOf(options);
  const length = bootCmdline('arm64', bootOptions, append).length;
  if (length > COMMAND_LINE_MAX) {
    throw new InputError(
      `the kernel command line has ${length} characters, and Linux keeps ${COMMAND_LINE_MAX}`,
      'shorten --cmdline or --append, or leave the parameters for speed out: --stock-cmdline',
    );
  }
  askedBackend(options);
  // Read again where it is used; a slip is to be told before a guest is fetched.
  if (options.systemMap !== undefined) readSystemMap(options.systemMap);
}
