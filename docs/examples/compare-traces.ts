// Two runs, and where they part: what `viommu-topo trace diff` does. Useful in a test that pins what
// a driver does with its vIOMMU: record once, compare ever after.
import { appendFileSync, writeFileSync } from 'node:fs';
import {
  buildFirmware,
  builtImages,
  diffTraces,
  JsonLinesTrace,
  loadTopology,
  modelBackend,
  readTrace,
  showRecord,
} from 'viommu-topo';

/** Runs a topology on the model and writes its events to `file`. */
export async function record(topology: string, file: string): Promise<void> {
  const { model } = loadTopology(topology);
  if (model === undefined) throw new Error(`${topology} cannot be read`);
  writeFileSync(file, '');
  const trace = new JsonLinesTrace((text) => appendFileSync(file, text));
  const seed = 'viommu-topo';
  const run = trace.begin({
    tool: 'an example',
    topology: model.name,
    file: topology,
    backend: 'model',
    firmware: 'device-tree',
    seed,
  });
  const firmware = builtImages(buildFirmware(model), topology);
  await modelBackend().run(
    { model, firmware, timeLimit: 60, seed },
    { event: (event) => trace.event(run, event) },
  );
}

/** The first event that differs, in words; undefined when the runs are alike. */
export async function compare(good: string, bad: string): Promise<string | undefined> {
  const found = await diffTraces(readTrace(good), readTrace(bad));
  if (found.same) return undefined;
  const show = (side: typeof found.a): string =>
    side === undefined ? 'the end' : showRecord(side.record);
  return `after ${found.compared} events: ${show(found.a)} / ${show(found.b)}`;
}
