import type {
  IortDescription,
  McfgDescription,
  TreeDescription,
  ViotDescription,
} from '../description.ts';
import type { Model } from '../model.ts';
import { describeIort, describeMcfg } from './acpi.ts';
import { describeTree } from './tree.ts';
import { describeViot } from './viot.ts';

/** What each piece of firmware of a model will say; absent: the board has none. */
export interface Descriptions {
  readonly tree?: TreeDescription;
  readonly viot?: ViotDescription;
  readonly iort?: IortDescription;
  readonly mcfg?: McfgDescription;
}

/**
 * What the firmware of a model says, overrides applied: the tree when the board has one, VIOT and
 * MCFG when it has ACPI, IORT when MSIs go to an ITS. Keys are the topology's ids.
 */
export function describe(model: Model): Descriptions {
  const { deviceTree, acpi } = model.firmware;
  const iort = acpi ? describeIort(model) : undefined;
  return {
    ...(deviceTree ? { tree: describeTree(model) } : {}),
    ...(acpi ? { viot: describeViot(model), mcfg: describeMcfg(model) } : {}),
    ...(iort === undefined ? {} : { iort }),
  };
}
