import { writeMcfg } from '../../acpi/index.ts';
import type {
  IortDescription,
  McfgDescription,
  Model,
  ViotDescription,
} from '../../topology/index.ts';
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
 * @throws RangeError when a number of the description does not fit its field.
 */
export function buildAcpi(model: Model, tables: TableDescriptions): AcpiFirmware {
  const { viot, iort, mcfg } = tables;
  return {
    ...(viot === undefined ? {} : { viot: buildViot(model, viot) }),
    ...(iort === undefined ? {} : { iort: buildIort(model, iort) }),
    ...(mcfg === undefined ? {} : { mcfg: buildMcfg(mcfg) }),
  };
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
