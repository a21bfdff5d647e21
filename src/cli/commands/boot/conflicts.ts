import { bootCmdline } from '../../../guest/index.ts';
import { InputError } from '../../exit.ts';
import { cmdlineOf, type BackendName } from './backends.ts';
import type { BootOptions } from './options.ts';
import { readSystemMap } from './system-map.ts';

/** Linux keeps no more of a command line, on arm64 and on x86-64, and says nothing (COMMAND_LINE_SIZE). */
const COMMAND_LINE_MAX = 2048 - 1;

/** Options that only one backend has: they ask for it, and contradict the others. */
const ONLY: readonly {
  readonly flag: string;
  readonly backend: BackendName;
  readonly given: (options: BootOptions) => boolean;
}[] = [
  { flag: '--qemu', backend: 'qemu', given: ({ qemu }) => qemu !== undefined },
  { flag: '--accel', backend: 'qemu', given: ({ accel }) => accel !== undefined },
  { flag: '--firmware-by qemu', backend: 'qemu', given: (o) => o.firmwareBy === 'qemu' },
  { flag: '--system-map', backend: 'emulator', given: (o) => o.systemMap !== undefined },
];

/** The backend that the options ask for, if they do. @throws InputError when they contradict */
export function askedBackend(options: BootOptions): BackendName | undefined {
  let asked: { readonly name: BackendName; readonly by: string } | undefined =
    options.backend === undefined
      ? undefined
      : { name: options.backend, by: `--backend ${options.backend}` };
  for (const { flag, backend, given } of ONLY) {
    if (!given(options)) continue;
    if (asked !== undefined && asked.name !== backend) {
      throw new InputError(
        `${flag} is for --backend ${backend}, and there is ${asked.by}`,
        'leave one of the two out',
      );
    }
    asked ??= { name: backend, by: flag };
  }
  return asked?.name;
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
