import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { buildFirmware, inspect, type Inspection } from '../firmware/index.ts';
import { renderDiagnostics } from '../report/index.ts';
import {
  DEFAULT_KERNEL,
  loadTopology,
  type Diagnostic,
  type Facts,
  type KernelVersion,
} from '../topology/index.ts';
import { InputError } from './exit.ts';
import { readFirmware } from './firmware-file.ts';
import type { Io } from './io.ts';

/** Files of one directory that are looked at; /sys/firmware/acpi/tables has some thirty. */
const FILES_MAX = 256;

/** Firmware of one machine, with the texts that places may point into. */
export interface MachineFacts {
  readonly facts: Facts;
  readonly sources: ReadonlyMap<string, string>;
}

export interface FactsChoice {
  readonly kernel?: KernelVersion;
  /** Bytes; default: the topology's, or 4 KiB. */
  readonly guestPage?: bigint;
}

/**
 * What files say of one machine: a topology (whose firmware is built, so that places are bytes of
 * it), or device trees and ACPI tables of anyone's, or directories of those.
 *
 * @throws InputError for files that cannot be read, are no firmware, or are of two machines
 */
export function machineFacts(files: readonly string[], io: Io, choice: FactsChoice): MachineFacts {
  const inspections: Inspection[] = [];
  const problems: Diagnostic[] = [];
  let topology: MachineFacts | undefined;
  for (const file of files.flatMap(expand)) {
    const read = /\.ya?ml$/iu.test(file) ? { text: true } : readFirmware(file);
    if ('inspection' in read) inspections.push(read.inspection);
    else if ('problem' in read) problems.push(read.problem);
    else if (topology !== undefined) {
      throw new InputError(`${file} is a second topology`, 'name one topology, or its firmware');
    } else topology = topologyFacts(file, io, choice);
  }
  io.err(renderDiagnostics(problems, new Map(), { color: io.colorErr }));
  if (problems.length > 0) throw new InputError('not all of the firmware can be read', 'see above');
  const own = topology?.facts;
  const facts = {
    kernel: choice.kernel ?? own?.kernel ?? DEFAULT_KERNEL,
    guestPage: choice.guestPage ?? own?.guestPage ?? 4096n,
    ...(own?.model === undefined ? {} : { model: own.model }),
  };
  // Firmware that is named beside a topology is what its guest is given.
  if (inspections.length > 0) {
    return {
      facts: { ...facts, ...partsOf(inspections) },
      sources: topology?.sources ?? new Map(),
    };
  }
  if (topology === undefined) throw new InputError('there is no firmware in what was named');
  return { ...topology, facts: { ...topology.facts, ...facts } };
}

/** A directory is what in it is firmware: `*.dtb`, `*.aml`, and tables as the kernel shows them. */
function expand(path: string): string[] {
  let names: string[];
  try {
    if (!statSync(path).isDirectory()) return [path];
    names = readdirSync(path).toSorted();
  } catch {
    // The reader says why, as for any other file.
    return [path];
  }
  const firmware = names.filter((name) => /\.(?:dtb|aml)$/u.test(name) || TABLES.has(name));
  // `build --base-dtb` leaves a second tree, which is the first one merged into another.
  const kept = firmware.includes('topology.dtb')
    ? firmware.filter((name) => !name.endsWith('.dtb') || name === 'topology.dtb')
    : firmware;
  if (kept.length === 0) {
    const cure = 'name a directory that build wrote, or /sys/firmware/acpi/tables';
    throw new InputError(`${path} has no device tree and no ACPI table`, cure);
  }
  return kept.slice(0, FILES_MAX).map((name) => join(path, name));
}

const TABLES: ReadonlySet<string> = new Set(['VIOT', 'IORT', 'MCFG']);

function topologyFacts(file: string, io: Io, { kernel }: FactsChoice): MachineFacts {
  const { model, diagnostics, sources } = loadTopology(
    file,
    kernel === undefined ? {} : { kernel },
  );
  if (model === undefined) {
    io.err(renderDiagnostics(diagnostics, sources, { color: io.colorErr }));
    throw new InputError(`${file} is not a topology that can be used`, 'see above');
  }
  const { dtb, viot, iort, mcfg } = buildFirmware(model);
  const images: readonly (readonly [string, Uint8Array | undefined])[] = [
    ['topology.dtb', dtb],
    ['viot.aml', viot],
    ['iort.aml', iort],
    ['mcfg.aml', mcfg],
  ];
  const read = images.flatMap(([name, bytes]) =>
    bytes === undefined ? [] : [inspect(bytes, name)],
  );
  return {
    facts: {
      model,
      kernel: kernel ?? model.guest.kernel ?? DEFAULT_KERNEL,
      guestPage: model.guest.pageSize,
      ...partsOf(read),
    },
    sources,
  };
}

/** @throws InputError for two files of a kind, since one would be ignored */
function partsOf(firmware: readonly Inspection[]): Partial<Facts> {
  const parts: Partial<Record<Inspection['format'], Inspection>> = {};
  for (const one of firmware) {
    const other = parts[one.format];
    if (other !== undefined && one.format !== 'acpi') {
      throw new InputError(
        `${other.file} and ${one.file} are of one kind, and a machine has only one`,
        'name the files of one machine',
      );
    }
    parts[one.format] = one;
  }
  const { dtb, viot, iort, mcfg } = parts;
  if ([dtb, viot, iort, mcfg].every((part) => part === undefined)) {
    const names = firmware.map(({ file }) => file).join(', ');
    throw new InputError(`${names}: says nothing of IOMMUs`, 'name a device tree or a VIOT');
  }
  return {
    ...(dtb?.format === 'dtb' ? { tree: dtb.tree } : {}),
    ...(viot?.format === 'viot' ? { viot: viot.viot } : {}),
    ...(iort?.format === 'iort' ? { iort: iort.iort } : {}),
    ...(mcfg?.format === 'mcfg' ? { mcfg: mcfg.mcfg } : {}),
  };
}
