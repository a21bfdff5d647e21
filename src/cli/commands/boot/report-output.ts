import { join, resolve } from 'node:path';
import { FormatError, makeDirectories } from '../../../bytes/index.ts';
import { printDts, readFdt } from '../../../fdt/index.ts';
import { asOutputError, inspect, inspectionText } from '../../../firmware/index.ts';
import {
  reportIndex,
  reportPage,
  RunRecorder,
  type FirmwareText,
  type ReportEntry,
} from '../../../report/index.ts';
import type { FirmwareComparison, Observation } from '../../../scenario/index.ts';
import { writeResult } from '../../files.ts';
import { packageVersion } from '../../version.ts';
import type { Boot } from './boots.ts';
import type { Output, OutputParts } from './outputs.ts';

/** `--report`: a page for each boot, and a list of them when there are several. */
export function reportOutput({ io, options, clearProgress }: OutputParts): Output | undefined {
  const { report: directory } = options;
  if (directory === undefined) return undefined;
  try {
    makeDirectories(resolve(directory));
  } catch (error) {
    throw asOutputError(error, directory);
  }
  const recorders = new Map<Boot, RunRecorder>();
  const observations = new Map<Boot, Observation>();
  const entries: ReportEntry[] = [];
  const pages: Promise<void>[] = [];
  const taken = new Set<string>();
  const recorderOf = (boot: Boot): RunRecorder => {
    const recorder = recorders.get(boot) ?? new RunRecorder();
    recorders.set(boot, recorder);
    return recorder;
  };
  const version = packageVersion();
  return {
    event: (boot, event) => recorderOf(boot).event(event),
    console: (boot, line, time) => recorderOf(boot).console(line, time),
    observed: (boot, observation) => void observations.set(boot, observation),
    verdict: (verdict, boot) => {
      const observation = observations.get(boot);
      if (observation === undefined) return;
      const run = recorderOf(boot).finish();
      // A page is made at once, and what it was made of let go: many boots may follow.
      recorders.delete(boot);
      observations.delete(boot);
      const { model } = boot;
      const firmware = observation.firmware.map(firmwareText);
      const file = fileName(boot, taken);
      entries.push({ file, verdict });
      const page = reportPage({ model, verdict, observation, run, firmware, version });
      const written = page.then((html) => writeResult(join(directory, file), html));
      // Told at the end, where somebody waits for it.
      written.catch(() => undefined);
      pages.push(written);
    },
    end: async () => {
      await Promise.all(pages);
      const [only] = entries;
      if (entries.length > 1) {
        writeResult(join(directory, 'index.html'), reportIndex(entries, version));
      }
      if (only === undefined || options.quiet === true) return;
      clearProgress();
      io.err(`report: ${join(directory, entries.length > 1 ? 'index.html' : only.file)}\n`);
    },
  };
}

/** The topology's name; with the backend and the firmware where that is taken. */
function fileName({ model, backend, kind }: Boot, taken: Set<string>): string {
  const safe = model.name.replaceAll(/[^A-Za-z0-9._-]+/gu, '-').replace(/^[.-]+/u, '') || 'boot';
  const base = safe === 'index' ? 'index-boot' : safe;
  const names = [base, `${base}-${backend}-${kind}`];
  let name = names.find((one) => !taken.has(one));
  for (let number = 2; name === undefined; number++) {
    const numbered = `${base}-${number}`;
    if (!taken.has(numbered)) name = numbered;
  }
  taken.add(name);
  return `${name}.html`;
}

/** Firmware in words: a tree as source, a table as its fields. */
function firmwareText({ name, passed, seen }: FirmwareComparison): FirmwareText {
  const words = (bytes: Uint8Array | undefined): string | undefined =>
    bytes && (name === 'device tree' ? treeText(bytes) : tableText(bytes, name));
  const before = words(passed);
  const after = words(seen);
  return {
    name,
    ...(before === undefined ? {} : { passed: before }),
    ...(after === undefined ? {} : { seen: after }),
  };
}

function treeText(bytes: Uint8Array): string | undefined {
  return readable(() => {
    const { tree, bootCpuid, memReserve } = readFdt(bytes);
    return printDts(tree, { bootCpuid, memReserve });
  });
}

function tableText(bytes: Uint8Array, name: string): string | undefined {
  return readable(() => inspectionText(inspect(bytes, name))) ?? hexDump(bytes);
}

/** Sixteen bytes a line, as `xxd` prints them: for tables that nobody here reads. */
function hexDump(bytes: Uint8Array): string {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, 1 << 16); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.'));
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(48)} ${text.join('')}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Bytes from a guest may be anything; what cannot be read has no words. */
function readable(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
