import { ByteSink } from '../bytes/index.ts';
import { ACPI_MCFG_ALLOCATION, ACPI_SIG_MCFG, ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import { nonZero, openTable, writeTable, type TableHeader, type TableIds } from './header.ts';
import { Problems, type AcpiProblem } from './problem.ts';

/** ECAM of some buses of a segment; `base` is where bus 0 is or would be. */
export interface McfgAllocation {
  readonly base: bigint;
  readonly segment: number;
  readonly startBus: number;
  /** The last bus, included. */
  readonly endBus: number;
}

export interface Mcfg {
  readonly header: TableHeader;
  readonly allocations: readonly McfgAllocation[];
  readonly problems: readonly AcpiProblem[];
}

const RESERVED_SIZE = 8;

/** Writes an MCFG. `RangeError` for reversed buses and values that do not fit their fields. */
export function writeMcfg(allocations: readonly McfgAllocation[], ids?: TableIds): Uint8Array {
  const sink = new ByteSink('le').zeros(RESERVED_SIZE);
  for (const allocation of allocations) {
    if (allocation.startBus > allocation.endBus) throw new RangeError('buses are reversed');
    ACPI_MCFG_ALLOCATION.write(sink, allocation);
  }
  return writeTable(ACPI_SIG_MCFG, 1, sink.bytes(), ids);
}

/** `FormatError` (`mcfg/signature`, `mcfg/truncated`, `mcfg/length`) when it is no MCFG. */
export function readMcfg(bytes: Uint8Array): Mcfg {
  const problems = new Problems('mcfg');
  const start = ACPI_TABLE_HEADER.size + RESERVED_SIZE;
  const { view, header } = openTable(bytes, ACPI_SIG_MCFG, start, problems);
  if (header.revision !== 1) problems.note('revision', 8, `revision ${header.revision}, not 1`);
  if (nonZero(view.slice(ACPI_TABLE_HEADER.size, RESERVED_SIZE))) {
    problems.warning('reserved', ACPI_TABLE_HEADER.size, 'reserved bytes not 0');
  }
  const allocations: McfgAllocation[] = [];
  const { size } = ACPI_MCFG_ALLOCATION;
  let at = start;
  for (; at + size <= view.length; at += size) {
    const { reserved, ...allocation } = ACPI_MCFG_ALLOCATION.read(view, at);
    if (reserved !== 0) problems.warning('reserved', at + 12, 'reserved bytes not 0');
    if (allocation.startBus > allocation.endBus) {
      problems.error('buses', at + 10, `bus ${allocation.startBus} to ${allocation.endBus}`);
    }
    allocations.push(allocation);
  }
  if (at < view.length) {
    problems.error('part', at, `${view.length - at} bytes are no whole allocation`);
  }
  return { header, allocations, problems: problems.list };
}
