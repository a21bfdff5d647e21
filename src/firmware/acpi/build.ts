import { writeMcfg } from '../../acpi/index.ts';
import type {
  IortDescription,
  McfgDescription,
  Model,
  ViotDescription,
} from '../../topology/index.ts';
import { FirmwareError } from '../error.ts';
import { buildIort } from './iort.ts';
import { buildViot } from './viot.ts';

/** What a topology's tables say; a table that the board does not have is absent. */
export interface TableDescriptions {
  readonly viot?: ViotDescription | undefined;
  readonly iort?: IortDescription | undefined;
  readonly mcfg?: McfgDescription | undefined;
}

/** Tables, ready to be handed to a guest. */
export interface AcpiFirmware {
  readonly viot?: Uint8Array;
  readonly iort?: Uint8Array;
  readonly mcfg?: Uint8Array;
}

/**
 * The ACPI tables of a description.
 * @throws FirmwareError `firmware/does-not-fit` when a number is too large for its field, as the
 * offset of a vIOMMU behind 64 KiB of other VIOT nodes is.
 */
export function buildAcpi(model: Model, tables: TableDescriptions): AcpiFirmware {
  const { viot, iort, mcfg } = tables;
  return {
    ...(viot === undefined ? {} : { viot: fitting('VIOT', () => buildViot(model, viot)) }),
    ...(iort === undefined ? {} : { iort: fitting('IORT', () => buildIort(model, iort)) }),
    ...(mcfg === undefined ? {} : { mcfg: fitting('MCFG', () => buildMcfg(mcfg)) }),
  };
}

function fitting(table: string, build: () => Uint8Array): Uint8Array {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const what = `the ${table} cannot hold this topology: ${error.message}`;
    throw new FirmwareError('firmware/does-not-fit', what);
  }
}

function buildMcfg(mcfg: McfgDescription): Uint8Array {
  return writeMcfg(
    mcfg.hosts.map(({ segment, buses, ecam }) => ({
      base: ecam,
      segment,
      startBus: buses.start,
      endBus: buses.end,
    })),
  );
}
