import { builtImages, emulatorPreflight, vfioUserPreflight } from '../../backends/index.ts';
import { buildFirmware } from '../../firmware/index.ts';
import { preflight } from '../../qemu/index.ts';
import type { BootInput } from '../../scenario/index.ts';
import type { Diagnostic } from '../../topology/index.ts';
import type { BackendName } from '../commands/boot/backends.ts';
import type { Boot, FirmwareKind } from '../commands/boot/boots.ts';
import { FIRMWARE_WORDS, planBoots } from '../commands/boot/boots.ts';
import type { BootOptions } from '../commands/boot/options.ts';
import { load } from '../commands/boot/ready.ts';
import { InputError } from '../exit.ts';
import type { Io } from '../io.ts';

/** What is multiplied. */
export interface Axes {
  readonly files: readonly string[];
  readonly backends: readonly BackendName[];
  readonly firmware: readonly FirmwareKind[];
  /** Series of the stock kernel; undefined: what the topology asks for. */
  readonly series: readonly (string | undefined)[];
}

/** One boot of the product. */
export interface Cell {
  readonly series: string | undefined;
  readonly boot: Boot;
}

/** A combination that cannot be, and why. */
export interface Gap {
  readonly name: string;
  readonly why: string;
}

export interface Matrix {
  readonly cells: readonly Cell[];
  readonly gaps: readonly Gap[];
}

/**
 * The product, files first, without what cannot be booted. The same arguments give the same cells in
 * the same order, so that shards fit together.
 *
 * @throws InputError for a file that is a topology under no kernel at all
 */
export function matrixOf(axes: Axes, options: BootOptions, io: Io): Matrix {
  const cells: Cell[] = [];
  const gaps: Gap[] = [];
  for (const file of axes.files) {
    for (const series of axes.series) {
      const chosen = { ...options, ...(series === undefined ? {} : { series }) };
      const ready = tryLoad(file, chosen, io, axes.series.length > 1);
      if ('why' in ready) {
        gaps.push({ name: nameOf(file, undefined, undefined, series), why: ready.why });
        continue;
      }
      for (const backend of axes.backends) {
        for (const kind of axes.firmware) {
          const planned = plan(ready, backend, kind, chosen, io);
          if ('why' in planned)
            gaps.push({ name: nameOf(file, backend, kind, series), ...planned });
          else cells.push({ series, boot: planned });
        }
      }
    }
  }
  return { cells, gaps };
}

/** Words of the command that boots a cell by itself. */
export function cellCommand({ boot, series }: Cell): string[] {
  return [
    'viommu-topo',
    'boot',
    boot.file,
    '--backend',
    boot.backend,
    '--firmware',
    FIRMWARE_WORDS[boot.kind],
    ...(series === undefined ? [] : ['--series', series]),
  ];
}

function nameOf(
  file: string,
  backend: BackendName | undefined,
  kind: FirmwareKind | undefined,
  series: string | undefined,
): string {
  const words = [file, backend, kind === undefined ? undefined : FIRMWARE_WORDS[kind], series];
  return words.filter((word) => word !== undefined).join(' ');
}

/** A topology may be wrong for one kernel and right for another: then it is a gap, not a mistake. */
function tryLoad(
  file: string,
  options: BootOptions,
  io: Io,
  others: boolean,
): ReturnType<typeof load> | { readonly why: string } {
  let said = '';
  try {
    return load(file, others ? { ...io, err: (text) => void (said += text) } : io, options);
  } catch (error) {
    if (!others || !(error instanceof InputError)) throw error;
    const first = /error: (.*)$/mu.exec(said)?.[1];
    return { why: first ?? error.message };
  }
}

function plan(
  ready: ReturnType<typeof load>,
  backend: BackendName,
  kind: FirmwareKind,
  options: BootOptions,
  io: Io,
): Boot | { readonly why: string } {
  try {
    const firmware = FIRMWARE_WORDS[kind];
    const [boot] = planBoots([ready], { ...options, backend, firmware }, io);
    if (boot === undefined) return { why: 'nothing to boot' };
    const obstacle = obstacles(boot, options).find(({ severity }) => severity === 'error');
    return obstacle === undefined ? boot : { why: obstacle.message };
  } catch (error) {
    if (error instanceof InputError) return { why: error.message.replace(/^[^:]*: /u, '') };
    throw error;
  }
}

/** What can be said without a guest and without a QEMU. */
function obstacles(boot: Boot, { timeout, seed }: BootOptions): readonly Diagnostic[] {
  const { model, kind } = boot;
  const firmware = builtImages(buildFirmware(model), boot.file);
  const input: BootInput = { model, firmware, timeLimit: timeout, seed };
  switch (boot.backend) {
    case 'emulator':
      return emulatorPreflight(input, kind);
    case 'qemu':
      return preflight(model);
    case 'qemu-vfio-user':
      return vfioUserPreflight(input);
    case 'model':
      return [];
  }
}
