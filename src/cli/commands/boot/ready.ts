import { builtImages, imagesFrom } from '../../../backends/index.ts';
import { buildFirmware } from '../../../firmware/index.ts';
import type { FirmwareImages } from '../../../scenario/index.ts';
import type { Model } from '../../../topology/index.ts';
import { InputError } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { requireTopology } from '../../topology.ts';
import { chosenKernel } from './guests.ts';
import type { BootOptions } from './options.ts';

/** A topology that can be booted, and its firmware. */
export interface Ready {
  readonly file: string;
  readonly model: Model;
  readonly firmware: FirmwareImages;
}

/** @throws InputError for a file that is no right topology */
export function load(file: string, io: Io, options: BootOptions): Ready {
  const kernel = chosenKernel(options);
  const model = requireTopology(file, io, {
    ...(kernel === undefined ? {} : { kernel }),
    ...(options.mem === undefined ? {} : { memory: options.mem }),
    force: options.force === true || options.firmwareFrom !== undefined,
  });
  return { file, model, firmware: images(file, model, options) };
}

function images(file: string, model: Model, { firmwareFrom }: BootOptions): FirmwareImages {
  if (firmwareFrom === undefined) return builtImages(buildFirmware(model), `built from ${file}`);
  return namedImages(firmwareFrom);
}

/** The firmware that build wrote into a directory. @throws InputError when there is none */
export function namedImages(directory: string): FirmwareImages {
  try {
    return imagesFrom(directory);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(error.message, 'name a directory that build wrote', { cause: error });
  }
}
