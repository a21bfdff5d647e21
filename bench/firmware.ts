/**
 * Time and bytes of the firmware of 1, 1 k, 64 k and 256 k endpoints, next to dtc compiling the
 * same device tree from its source in the same run. Exit code 1 when dtc is faster.
 *
 *   npx jiti bench/firmware.ts
 *
 * `tree + dtb` is what dtc does, from a description instead of DTS; `describe` is the way from the
 * model to that description, tables included, for which dtc has no counterpart.
 *
 * `ranges`: endpoints one after another, which merge into a row. `rows`: no two neighbours have
 * consecutive IDs, so each requester ID needs a row of its own, the worst a topology can ask for.
 */
import { spawnSync } from 'node:child_process';
import { describe, parseTopology, type CoverageRow, type Model } from '../src/topology/index.ts';
import { buildAcpi, buildDeviceTree } from '../src/firmware/index.ts';
import { printDts, resolvePhandles, writeFdt } from '../src/fdt/index.ts';

const RIDS = 0x1_0000;

/** An emulator with as many segments as `count` endpoints need; its rows are replaced below. */
function machine(segments: number): Model {
  const hosts = Array.from(
    { length: segments },
    (_, index) => `    - { id: pcie${index}, segment: ${index}, viommu: viommu0 }`,
  );
  const text = [
    'board: emulator',
    'pci:',
    '  hosts:',
    ...hosts,
    'viommus:',
    '  - { id: viommu0, mmio: 0xa000000 }',
  ].join('\n');
  const { model, diagnostics } = parseTopology(`${text}\n`, 'bench.yaml');
  if (model === undefined) throw new Error(JSON.stringify(diagnostics));
  return model;
}

/** The model with `count` endpoints, in runs or each apart from its neighbours. */
function withEndpoints(count: number, apart: boolean): Model {
  const segments = Math.ceil(count / RIDS);
  const model = machine(segments);
  const coverage: CoverageRow[] = [];
  for (let segment = 0; segment < segments; segment++) {
    const here = Math.min(RIDS, count - segment * RIDS);
    const common = { host: `pcie${segment}`, segment, viommu: 'viommu0', place: model.place };
    const base = segment * RIDS;
    if (!apart) {
      coverage.push({ ...common, rids: { start: 0, end: here - 1 }, endpointId: base });
      continue;
    }
    for (let rid = 0; rid < here; rid++) {
      // Pairs change places: 1 0 3 2 …, so that no two IDs follow one another.
      const endpointId = base + (rid ^ 1);
      coverage.push({ ...common, rids: { start: rid, end: rid }, endpointId });
    }
  }
  return { ...model, coverage };
}

/** The shortest of three runs, in milliseconds, and what it made. */
function timed<T>(run: () => T): { readonly ms: number; readonly made: T } {
  let best = Number.POSITIVE_INFINITY;
  let made = run();
  for (let turn = 0; turn < 3; turn++) {
    const start = performance.now();
    made = run();
    best = Math.min(best, performance.now() - start);
  }
  return { ms: best, made };
}

function dtc(source: string): number {
  const { ms } = timed(() => {
    const args = ['-q', '-I', 'dts', '-O', 'dtb', '-o', '/dev/null'];
    const run = spawnSync('dtc', args, { input: source, timeout: 120_000 });
    if (run.status !== 0) throw new Error(`dtc: ${run.stderr?.toString() ?? String(run.error)}`);
  });
  return ms;
}

interface Row {
  readonly endpoints: string;
  readonly form: string;
  readonly describe: number;
  readonly tree: number;
  readonly dts: number;
  readonly dtc: number;
  readonly viot: number;
  readonly dtbBytes: number;
  readonly viotBytes: number | string;
}

function measure(count: number, apart: boolean): Row {
  const model = withEndpoints(count, apart);
  const description = timed(() => describe(model));
  const { tree, viot } = description.made;
  if (tree === undefined) throw new Error('no device tree');
  const blob = timed(() => writeFdt(buildDeviceTree(model, tree)));
  const source = timed(() => printDts(resolvePhandles(buildDeviceTree(model, tree)).root));
  // A VIOT counts its nodes in 16 bits: 256 k rows do not fit, whoever writes them.
  const fits = (viot?.nodes.length ?? 0) <= 0xffff;
  const table = fits ? timed(() => buildAcpi(model, { viot }).viot?.length ?? 0) : undefined;
  return {
    endpoints: count.toLocaleString('en'),
    form: apart ? 'rows' : 'ranges',
    describe: description.ms,
    tree: blob.ms,
    dts: source.ms,
    dtc: dtc(source.made),
    viot: table?.ms ?? Number.NaN,
    dtbBytes: blob.made.length,
    viotBytes: table?.made ?? 'too many',
  };
}

/** Prints the table; exit code 1 when dtc was faster anywhere. */
function main(): void {
  const counts = [1, 1000, RIDS, 4 * RIDS];
  const rows = [...counts.map((n) => measure(n, false)), ...counts.map((n) => measure(n, true))];
  const ms = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(2));
  console.table(
    rows.map((row) => ({
      endpoints: row.endpoints,
      form: row.form,
      'describe ms': ms(row.describe),
      'tree + dtb ms': ms(row.tree),
      'dtc ms': ms(row.dtc),
      'dts ms': ms(row.dts),
      'viot ms': ms(row.viot),
      'dtb bytes': row.dtbBytes,
      'viot bytes': row.viotBytes,
    })),
  );
  const slower = rows.filter((row) => row.tree > row.dtc);
  for (const row of slower) console.log(`slower than dtc: ${row.endpoints} in ${row.form}`);
  process.exitCode = slower.length === 0 ? 0 : 1;
}

main();
