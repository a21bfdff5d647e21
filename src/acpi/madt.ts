import { ByteSink, ByteView, hex, type FieldKind, type Struct } from '../bytes/index.ts';
import { ACPI_SIG_MADT, ACPI_TABLE_HEADER } from '../spec/acpi.ts';
import * as spec from '../spec/madt.ts';
import { nonZero, openTable, writeTable, type TableHeader, type TableIds } from './header.ts';
import { Problems, type AcpiProblem } from './problem.ts';

/** One entry of a MADT. Addresses are 64 bits, interrupts are GSIVs. */
export type MadtEntry =
  | {
      readonly kind: 'local-apic';
      readonly acpiProcessorUid: number;
      readonly apicId: number;
      readonly flags: number;
    }
  | {
      readonly kind: 'io-apic';
      readonly ioApicId: number;
      readonly address: number;
      readonly gsiBase: number;
    }
  | {
      readonly kind: 'interrupt-override';
      readonly bus: number;
      readonly source: number;
      readonly gsi: number;
      readonly flags: number;
    }
  | GiccEntry
  | {
      readonly kind: 'gicd';
      readonly gicId: number;
      readonly base: bigint;
      readonly vectorBase: number;
      /** 2, 3 or 4. */
      readonly version: number;
    }
  | {
      readonly kind: 'gic-msi-frame';
      readonly frameId: number;
      readonly base: bigint;
      readonly flags: number;
      readonly spiCount: number;
      readonly spiBase: number;
    }
  | { readonly kind: 'gicr'; readonly base: bigint; readonly length: number }
  | { readonly kind: 'gic-its'; readonly translationId: number; readonly base: bigint }
  /** A type this project has no use for, or one of another length; `body` follows type and length. */
  | { readonly kind: 'unknown'; readonly type: number; readonly body: Uint8Array };

/** A CPU of a GIC; what is absent is 0. */
export interface GiccEntry {
  readonly kind: 'gicc';
  readonly cpuInterfaceNumber: number;
  readonly acpiProcessorUid: number;
  readonly flags: number;
  readonly mpidr: bigint;
  readonly parkingProtocolVersion?: number;
  readonly performanceGsiv?: number;
  readonly parkedAddress?: bigint;
  /** GICv2: the CPU interface. */
  readonly physicalBase?: bigint;
  readonly gicvBase?: bigint;
  readonly gichBase?: bigint;
  readonly vgicMaintenanceGsiv?: number;
  readonly gicrBase?: bigint;
  readonly efficiencyClass?: number;
  readonly speOverflowGsiv?: number;
  readonly trbeGsiv?: number;
}

/** What a MADT says. */
export interface MadtContent {
  /** Address of the local APICs, 0xfee00000 on x86; 0 elsewhere. */
  readonly localInterruptControllerAddress: number;
  readonly flags: number;
  readonly entries: readonly MadtEntry[];
}

export interface Madt extends MadtContent {
  readonly header: TableHeader;
  readonly problems: readonly AcpiProblem[];
}

/** Writes a MADT (ACPI 6.5, 5.2.12). `RangeError` for a value that does not fit its field. */
export function writeMadt(
  content: MadtContent,
  ids?: TableIds,
  revision: number = spec.ACPI_MADT_REVISION,
): Uint8Array {
  const sink = new ByteSink('le');
  spec.ACPI_MADT_FIELDS.write(sink, content);
  for (const entry of content.entries) writeEntry(sink, entry);
  return writeTable(ACPI_SIG_MADT, revision, sink.bytes(), ids);
}

function writeEntry(sink: ByteSink, entry: MadtEntry): void {
  const body = new ByteSink('le', 96);
  const type = writeBody(body, entry);
  spec.ACPI_MADT_HEADER.write(sink, { type, length: spec.ACPI_MADT_HEADER.size + body.length });
  sink.raw(body.bytes());
}

function writeBody(sink: ByteSink, entry: MadtEntry): number {
  switch (entry.kind) {
    case 'local-apic':
      spec.ACPI_MADT_LOCAL_APIC.write(sink, entry);
      return spec.ACPI_MADT_TYPE_LOCAL_APIC;
    case 'io-apic':
      spec.ACPI_MADT_IO_APIC.write(sink, entry);
      return spec.ACPI_MADT_TYPE_IO_APIC;
    case 'interrupt-override':
      spec.ACPI_MADT_INTERRUPT_OVERRIDE.write(sink, entry);
      return spec.ACPI_MADT_TYPE_INTERRUPT_OVERRIDE;
    case 'gicc':
      spec.ACPI_MADT_GENERIC_INTERRUPT.write(sink, entry);
      return spec.ACPI_MADT_TYPE_GENERIC_INTERRUPT;
    case 'gicd':
      spec.ACPI_MADT_GENERIC_DISTRIBUTOR.write(sink, entry);
      return spec.ACPI_MADT_TYPE_GENERIC_DISTRIBUTOR;
    case 'gic-msi-frame':
      spec.ACPI_MADT_GENERIC_MSI_FRAME.write(sink, entry);
      return spec.ACPI_MADT_TYPE_GENERIC_MSI_FRAME;
    case 'gicr':
      spec.ACPI_MADT_GENERIC_REDISTRIBUTOR.write(sink, entry);
      return spec.ACPI_MADT_TYPE_GENERIC_REDISTRIBUTOR;
    case 'gic-its':
      spec.ACPI_MADT_GENERIC_TRANSLATOR.write(sink, entry);
      return spec.ACPI_MADT_TYPE_GENERIC_TRANSLATOR;
    default:
      sink.raw(entry.body);
      return entry.type;
  }
}

/** `FormatError` (`apic/signature`, `apic/truncated`, `apic/length`) when it is no MADT. */
export function readMadt(bytes: Uint8Array): Madt {
  const problems = new Problems('apic');
  const start = ACPI_TABLE_HEADER.size + spec.ACPI_MADT_FIELDS.size;
  const { view, header } = openTable(bytes, ACPI_SIG_MADT, start, problems);
  const fields = spec.ACPI_MADT_FIELDS.read(view, ACPI_TABLE_HEADER.size);
  const entries: MadtEntry[] = [];
  let at = start;
  while (at < view.length) {
    const length = at + 1 < view.length ? view.u8(at + 1) : 0;
    if (length < spec.ACPI_MADT_HEADER.size || at + length > view.length) {
      const left = `${view.length - at} bytes are not read`;
      problems.error('entry-length', at, `entry with length ${length}; ${left}`);
      break;
    }
    entries.push(readEntry(view, at, length, problems));
    at += length;
  }
  return { header, ...fields, entries, problems: problems.list };
}

function readEntry(view: ByteView, at: number, length: number, problems: Problems): MadtEntry {
  const type = view.u8(at);
  const body = at + spec.ACPI_MADT_HEADER.size;
  const size = length - spec.ACPI_MADT_HEADER.size;
  /** The fields of a struct that fills the entry; reserved ones are noted and left out. */
  const fill = <F extends Record<string, FieldKind>>(layout: Struct<F>): boolean => {
    if (layout.size !== size) return false;
    const values: Record<string, number | bigint | Uint8Array> = layout.read(view, body);
    for (const name of ['reserved', 'reserved2']) {
      const value = values[name];
      if (value instanceof Uint8Array ? nonZero(value) : value !== undefined && value !== 0) {
        problems.warning('reserved', at, `${name} of the entry of type ${hex(type)} is not 0`);
      }
    }
    return true;
  };
  if (type === spec.ACPI_MADT_TYPE_LOCAL_APIC && fill(spec.ACPI_MADT_LOCAL_APIC)) {
    return { kind: 'local-apic', ...spec.ACPI_MADT_LOCAL_APIC.read(view, body) };
  }
  if (type === spec.ACPI_MADT_TYPE_IO_APIC && fill(spec.ACPI_MADT_IO_APIC)) {
    const { reserved: _, ...fields } = spec.ACPI_MADT_IO_APIC.read(view, body);
    return { kind: 'io-apic', ...fields };
  }
  if (type === spec.ACPI_MADT_TYPE_INTERRUPT_OVERRIDE && fill(spec.ACPI_MADT_INTERRUPT_OVERRIDE)) {
    return { kind: 'interrupt-override', ...spec.ACPI_MADT_INTERRUPT_OVERRIDE.read(view, body) };
  }
  if (type === spec.ACPI_MADT_TYPE_GENERIC_INTERRUPT && fill(spec.ACPI_MADT_GENERIC_INTERRUPT)) {
    const values = spec.ACPI_MADT_GENERIC_INTERRUPT.read(view, body);
    const { reserved: _, reserved2: __, ...fields } = values;
    return { kind: 'gicc', ...fields };
  }
  if (
    type === spec.ACPI_MADT_TYPE_GENERIC_DISTRIBUTOR &&
    fill(spec.ACPI_MADT_GENERIC_DISTRIBUTOR)
  ) {
    const values = spec.ACPI_MADT_GENERIC_DISTRIBUTOR.read(view, body);
    const { reserved: _, reserved2: __, ...fields } = values;
    return { kind: 'gicd', ...fields };
  }
  if (type === spec.ACPI_MADT_TYPE_GENERIC_MSI_FRAME && fill(spec.ACPI_MADT_GENERIC_MSI_FRAME)) {
    const { reserved: _, ...fields } = spec.ACPI_MADT_GENERIC_MSI_FRAME.read(view, body);
    return { kind: 'gic-msi-frame', ...fields };
  }
  if (
    type === spec.ACPI_MADT_TYPE_GENERIC_REDISTRIBUTOR &&
    fill(spec.ACPI_MADT_GENERIC_REDISTRIBUTOR)
  ) {
    const { reserved: _, ...fields } = spec.ACPI_MADT_GENERIC_REDISTRIBUTOR.read(view, body);
    return { kind: 'gicr', ...fields };
  }
  if (type === spec.ACPI_MADT_TYPE_GENERIC_TRANSLATOR && fill(spec.ACPI_MADT_GENERIC_TRANSLATOR)) {
    const { translationId, base } = spec.ACPI_MADT_GENERIC_TRANSLATOR.read(view, body);
    return { kind: 'gic-its', translationId, base };
  }
  return { kind: 'unknown', type, body: view.slice(body, size).slice() };
}
