import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import {
  bootAndJudge,
  builtImages,
  imagesFrom,
  qemuBackend,
  type QemuBackendOptions,
} from '../../src/backends/index.ts';
import { buildFirmware } from '../../src/firmware/index.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import { renderVerdict } from '../../src/report/index.ts';
import type { BootInput, Verdict } from '../../src/scenario/index.ts';
import { loadTopology, parseTopology, type Model } from '../../src/topology/index.ts';

const TOPOLOGIES = join(import.meta.dirname, '../../topologies');

/** Serial logs of boots that are meant to fail; gone when the tests are. */
const LOGS = mkdtempSync(join(tmpdir(), 'viommu-topo-e2e-'));
afterAll(() => rmSync(LOGS, { recursive: true, force: true }));

export function shipped(name: string): Model {
  return modelOf(loadTopology(join(TOPOLOGIES, `${name}.yaml`)), name);
}

/** A topology of a text; rules may find errors in it, as firmware is wrong on purpose here. */
export function topology(name: string, text: string): Model {
  return modelOf(parseTopology(text, join(TOPOLOGIES, `${name}.yaml`)), name);
}

function modelOf(loaded: ReturnType<typeof loadTopology>, name: string): Model {
  if (loaded.model !== undefined) return loaded.model;
  const said = loaded.diagnostics.map(({ rule, message }) => `${rule}: ${message}`);
  throw new Error(`${name} does not load:\n${said.join('\n')}`);
}

export interface BootOptions extends Partial<Omit<QemuBackendOptions, 'guest'>> {
  /** Firmware edited by hand instead of the model's. */
  readonly firmwareFrom?: string;
  readonly signal?: AbortSignal;
  readonly timeLimit?: number;
}

export async function inputOf(model: Model, options: BootOptions = {}): Promise<BootInput> {
  const { firmwareFrom, signal, timeLimit = 240 } = options;
  return {
    model,
    firmware:
      firmwareFrom === undefined
        ? builtImages(buildFirmware(model), model.file)
        : imagesFrom(firmwareFrom),
    timeLimit,
    seed: 'e2e',
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Boots a stock guest on it; KVM is not asked for, so that a run is the same everywhere. */
export async function boot(model: Model, options: BootOptions = {}): Promise<Verdict> {
  const { firmwareFrom: _, signal: __, timeLimit: ___, ...backend } = options;
  const guest = await fetchGuest(model.arch === 'arm64' ? 'arm64' : 'amd64');
  const input = await inputOf(model, options);
  const serialLog = serialLogOf(model);
  return bootAndJudge(qemuBackend({ guest, accel: 'tcg', serialLog, ...backend }), input);
}

export function serialLogOf(model: Model): string {
  return join(LOGS, `${model.name}.log`);
}

/** For assertions: what a person would have read. */
export function shown(verdict: Verdict): string {
  return renderVerdict(verdict, { color: false });
}
