import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectories } from '../../../bytes/index.ts';
import type { TapMaker } from '../../../backends/index.ts';
import { pcapTap } from '../../../endpoints/index.ts';
import { asOutputError } from '../../../firmware/index.ts';
import type { Boot } from './boots.ts';

/** `--pcap`: the frames of each NIC, in a file named by topology, kind of firmware and endpoint. */
export function pcapTaps(directory: string, { model, kind }: Boot): TapMaker {
  return ({ id }, clock) => {
    const name = `${model.name}-${kind === 'acpi' ? 'acpi' : 'dt'}-${id}.pcap`;
    const file = join(directory, name.replaceAll(/[^A-Za-z0-9._-]/gu, '_'));
    let isNew = true;
    return pcapTap((bytes) => {
      try {
        if (isNew) makeDirectories(directory);
        // Whole frames at once: a guest that hangs leaves a file that ends with one.
        if (isNew) writeFileSync(file, bytes);
        else appendFileSync(file, bytes);
        isNew = false;
      } catch (error) {
        throw asOutputError(error, file);
      }
    }, clock);
  };
}
