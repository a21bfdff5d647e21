import { readIort, readTableHeader, readViot, type TableHeader } from '../../acpi/index.ts';
import { FormatError, hex } from '../../bytes/index.ts';
import { readFdt } from '../../fdt/index.ts';
import { ACPI_SIG_MCFG, ACPI_TABLE_HEADER } from '../../spec/acpi.ts';
import { FDT_MAGIC } from '../../spec/fdt.ts';
import { IORT_SIGNATURE } from '../../spec/iort.ts';
import { VIOT_SIGNATURE } from '../../spec/viot.ts';
import type {
  IortDescription,
  McfgDescription,
  TreeDescription,
  ViotDescription,
} from '../../topology/index.ts';
import { describeMcfg, fromIort, fromViot } from '../read/tables.ts';
import { describeBlob } from '../read/tree.ts';
import { readMachine, type TreeMachine } from './machine.ts';

/** What a file of firmware turned out to be. */
export type Inspection =
  | {
      readonly format: 'dtb';
      readonly file: string;
      readonly tree: TreeDescription;
      readonly machine: TreeMachine;
    }
  | (TableInspection & { readonly format: 'viot'; readonly viot: ViotDescription })
  | (TableInspection & { readonly format: 'iort'; readonly iort: IortDescription })
  | (TableInspection & { readonly format: 'mcfg'; readonly mcfg: McfgDescription })
  | (TableInspection & { readonly format: 'acpi' });

interface TableInspection {
  readonly file: string;
  readonly header: TableHeader;
}

/**
 * Reads a device tree blob or an ACPI table, from us or from anyone else.
 * @throws FormatError `inspect/unknown-format` for anything else, and what the readers throw;
 * all with the offset of the damage.
 */
export function inspect(bytes: Uint8Array, file: string): Inspection {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 4 && data.getUint32(0) === FDT_MAGIC) {
    const blob = readFdt(bytes);
    const tree = describeBlob(blob, file, bytes.length);
    return { format: 'dtb', file, tree, machine: readMachine(blob, file) };
  }
  if (!looksLikeTable(bytes)) {
    const first = Buffer.from(bytes.subarray(0, 4)).toString('hex');
    throw new FormatError(
      'inspect/unknown-format',
      0,
      `neither a device tree (${hex(FDT_MAGIC)}) nor an ACPI table: it starts with "${first}"`,
    );
  }
  const header = readTableHeader(bytes);
  const common = { file, header };
  switch (header.signature) {
    case VIOT_SIGNATURE:
      return { format: 'viot', ...common, viot: fromViot(readViot(bytes), file) };
    case IORT_SIGNATURE:
      return { format: 'iort', ...common, iort: fromIort(readIort(bytes), file) };
    case ACPI_SIG_MCFG:
      return { format: 'mcfg', ...common, mcfg: describeMcfg(bytes, file) };
    default:
      return { format: 'acpi', ...common };
  }
}

/** A signature that we read, or any four capitals with a length that fits the file. */
function looksLikeTable(bytes: Uint8Array): boolean {
  const signature = Buffer.from(bytes.subarray(0, 4)).toString('latin1');
  if ([VIOT_SIGNATURE, IORT_SIGNATURE, ACPI_SIG_MCFG].includes(signature)) return true;
  if (bytes.length < ACPI_TABLE_HEADER.size || !/^[A-Z0-9_]{4}$/.test(signature)) return false;
  const { length } = readTableHeader(bytes);
  return length <= bytes.length;
}
