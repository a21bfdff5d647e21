import { Option, type Command } from 'commander';
import {
  bootAndJudge,
  builtImages,
  emulatorBackend,
  imagesFrom,
  modelBackend,
  qemuBackend,
} from '../../backends/index.ts';
import { buildFirmware } from '../../firmware/index.ts';
import { customGuest, fetchGuest, type Guest } from '../../guest/index.ts';
import { stockSeries } from '../../qemu/index.ts';
import {
  renderDiagnostics,
  renderVerdict,
  verdictJson,
  verdictsJunit,
} from '../../report/index.ts';
import type { Backend, BootInput, FirmwareImages, Verdict } from '../../scenario/index.ts';
import type { KernelVersion, Model } from '../../topology/index.ts';
import { kernelVersion, seconds } from '../arguments.ts';
import { EXIT, InputError } from '../exit.ts';
import { writeResult } from '../files.ts';
import type { Io } from '../io.ts';
import { Progress } from '../progress.ts';
import type { CommandContext } from '../context.ts';
import { requireTopology } from '../topology.ts';

interface BootOptions {
  readonly backend: 'qemu' | 'model' | 'emulator';
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

/** `viommu-topo boot`: stock guests on topologies, and verdicts. */
export function registerBoot(program: Command, { io, exit }: CommandContext): void {
  const choice = (flags: string, text: string, of: readonly string[]): Option =>
    new Option(flags, text).choices(of).default(of[0]);
  program
    .command('boot')
    .description('boot a stock guest on a topology and judge what it shows')
    .argument('<file...>', 'topologies, booted one after the other')
    .addOption(
      choice('--backend <backend>', 'who plays the machine', ['qemu', 'model', 'emulator']),
    )
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
    .option('--force', 'boot although the topology has errors')
    .addHelpText(
      'after',
      `
Examples:
  viommu-topo boot topologies/one-endpoint.yaml
  viommu-topo boot topologies/*.yaml --backend model
  viommu-topo boot topologies/q35-*.yaml --format junit -o verdicts.xml
  viommu-topo build its.yaml -o out && $EDITOR out/topology.dts && dtc -o out/topology.dtb out/topology.dts
  viommu-topo boot its.yaml --firmware-from out

Exit codes: 0 all promises kept, 1 some broken, 2 a file or argument is wrong, 3 the machine lacks
something. The console log is kept when a verdict failed; its path is in the verdict.`,
    )
    .action(async (files: string[], options: BootOptions) => {
      const runner = new Runner(io, options);
      const verdicts: Verdict[] = [];
      // All files are read before the first guest starts: a typo in the last one is told at once.
      for (const ready of files.map((file) => runner.load(file))) {
        verdicts.push(await runner.boot(ready));
      }
      runner.report(verdicts);
      exit(verdicts.every(({ outcome }) => outcome === 'pass') ? EXIT.OK : EXIT.VERDICT);
    });
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

interface Ready {
  readonly file: string;
  readonly model: Model;
  readonly firmware: FirmwareImages;
}

class Runner {
  readonly #io: Io;
  readonly #options: BootOptions;
  readonly #guests = new Map<string, Promise<Guest>>();

  constructor(io: Io, options: BootOptions) {
    if ((options.kernel === undefined) !== (options.modules === undefined)) {
      throw new InputError(
        options.kernel === undefined ? '--modules without --kernel' : '--kernel without --modules',
        'give both: --kernel /boot/vmlinuz-VERSION --modules /lib/modules/VERSION',
      );
    }
    this.#io = io;
    this.#options = options;
  }

  load(file: string): Ready {
    const kernel = this.#kernelVersion();
    const model = requireTopology(file, this.#io, {
      ...(kernel === undefined ? {} : { kernel }),
      force: this.#options.force === true || this.#options.firmwareFrom !== undefined,
    });
    return { file, model, firmware: this.#firmware(file, model) };
  }

  async boot({ file, model, firmware }: Ready): Promise<Verdict> {
    const { timeout, seed, console: showConsole, quiet } = this.#options;
    const progress = new Progress(this.#io, quiet === true);
    try {
      const backend = await this.#backend(model, progress);
      const input: BootInput = {
        model,
        firmware,
        signal: this.#io.signal,
        timeLimit: timeout,
        seed,
      };
      await this.#preflight(backend, input, file, progress);
      const verdict = await bootAndJudge(backend, input, {
        progress: (stage) => progress.stage(`${model.name}: ${stage}`),
        ...(showConsole === true
          ? {
              console: (line: string) => {
                progress.end();
                this.#io.err(`${line}\n`);
              },
            }
          : {}),
      });
      progress.end();
      if (this.#options.format === 'text') this.#print(verdict);
      return verdict;
    } finally {
      progress.end();
    }
  }

  /** JSON and JUnit at the end, whole; with -o into a file. */
  report(verdicts: readonly Verdict[]): void {
    const { format, output } = this.#options;
    const text = format === 'text' ? undefined : machineReadable(format, verdicts);
    if (output === undefined) {
      if (text !== undefined) this.#io.out(text);
      return;
    }
    if (format !== 'text') for (const verdict of verdicts) this.#print(verdict);
    const plain = verdicts.map((verdict) =>
      renderVerdict(verdict, { color: false, verbose: true }),
    );
    writeResult(output, text ?? plain.join('\n'));
  }

  #print(verdict: Verdict): void {
    const verbose = this.#options.verbose === true;
    this.#io.out(renderVerdict(verdict, { color: this.#io.colorOut, verbose }));
  }

  #kernelVersion(): KernelVersion | undefined {
    const { series } = this.#options;
    if (series !== undefined) return kernelVersion(series);
    // A kernel of the user's own is judged by its name, where that tells the version.
    const named = /(\d+\.\d+)[^/]*$/.exec(this.#options.modules ?? '')?.[1];
    return named === undefined ? undefined : kernelVersion(named);
  }

  #guest(model: Model, progress: Progress): Promise<Guest> {
    const arch = model.arch === 'arm64' ? 'arm64' : 'amd64';
    const { kernel, modules } = this.#options;
    const series = this.#options.series ?? stockSeries(model.guest.kernel);
    const key = `${arch} ${series}`;
    const fetch = {
      signal: this.#io.signal,
      onProgress: (line: string) => progress.stage(`guest: ${line}`),
    };
    const made =
      this.#guests.get(key) ??
      (kernel !== undefined && modules !== undefined
        ? customGuest({ arch, kernel, modules, fetch })
        : fetchGuest(arch, { ...fetch, series }));
    this.#guests.set(key, made);
    return made;
  }

  async #backend(model: Model, progress: Progress): Promise<Backend> {
    const { qemu, accel, firmware, firmwareFrom, stockCmdline, append } = this.#options;
    const { backend, firmwareKind } = this.#options;
    if (backend === 'model') {
      return modelBackend(firmwareKind === undefined ? {} : { firmware: firmwareKind });
    }
    const guest = await this.#guest(model, progress);
    const bootOptions = stockCmdline === true ? 'stock' : 'fast';
    if (backend === 'emulator') {
      const kind = firmwareKind === undefined ? {} : { firmware: firmwareKind };
      return emulatorBackend({ guest, bootOptions, append, ...kind });
    }
    return qemuBackend({
      guest,
      ...(qemu === undefined ? {} : { qemu }),
      accel,
      firmware: firmwareFrom === undefined ? firmware : 'own',
      bootOptions,
      append,
    });
  }

  #firmware(file: string, model: Model): FirmwareImages {
    const { firmwareFrom } = this.#options;
    if (firmwareFrom === undefined) return builtImages(buildFirmware(model), `built from ${file}`);
    try {
      return imagesFrom(firmwareFrom);
    } catch (error) {
      if (error instanceof RangeError) {
        throw new InputError(error.message, 'name a directory that build wrote', { cause: error });
      }
      throw error;
    }
  }

  async #preflight(
    backend: Backend,
    input: BootInput,
    file: string,
    progress: Progress,
  ): Promise<void> {
    const obstacles = await backend.preflight(input);
    if (obstacles.length === 0) return;
    progress.end();
    this.#io.err(renderDiagnostics(obstacles, new Map(), { color: this.#io.colorErr }));
    if (obstacles.some(({ severity }) => severity === 'error')) {
      throw new InputError(`the ${backend.name} backend cannot boot ${file}`, 'see above');
    }
  }
}

function machineReadable(format: 'json' | 'junit', verdicts: readonly Verdict[]): string {
  if (format === 'junit') return verdictsJunit(verdicts);
  // One verdict is an object, several are an array of them.
  const [first, ...rest] = verdicts.map(verdictJson);
  return rest.length === 0 ? (first ?? 'null') : `[${[first, ...rest].join(',\n')}]\n`;
}
