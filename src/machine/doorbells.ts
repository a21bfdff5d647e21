import { GicV2m, ItsTranslater, X86MsiWindow, type MsiDoorbell } from '../pci/index.ts';
import type { Doorbell } from '../topology/index.ts';
import type { BusRegion } from './bus.ts';
import type { InterruptSink } from './interrupts.ts';

/** What plays the doorbells of a topology. */
export interface Bells {
  readonly all: readonly MsiDoorbell[];
  /** Registers that a CPU can read: GICv2m frames. */
  readonly regions: readonly BusRegion[];
}

export function makeDoorbells(doorbells: readonly Doorbell[], raise: InterruptSink): Bells {
  const regions: BusRegion[] = [];
  const all = doorbells.map((doorbell): MsiDoorbell => {
    const { id, kind, frame, window, spis } = doorbell;
    switch (kind) {
      case 'gicv2m': {
        const frames = new GicV2m(frame.start, spis ?? { base: 0, count: 1 }, (number) =>
          raise({ kind: 'edge', number }),
        );
        regions.push({
          name: id,
          base: frames.base,
          size: frames.size,
          read: (offset, size) => (size === 4 ? frames.read(offset) : 0),
          write: (offset, size, value) => {
            if (size === 4) frames.write(frames.base + offset, value, 0);
          },
        });
        return frames;
      }
      case 'its':
        return new ItsTranslater(window.start, (deviceId, eventId) =>
          raise({ kind: 'its', doorbell: id, deviceId, eventId }),
        );
      case 'x86':
        return new X86MsiWindow(({ destination, vector }) =>
          raise({ kind: 'apic', destination, vector }),
        );
      default:
        return kind satisfies never;
    }
  });
  return { all, regions };
}
