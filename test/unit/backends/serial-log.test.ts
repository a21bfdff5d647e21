import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { keepSerialLog } from '../../../src/backends/serial-log.ts';
import { EnvironmentError } from '../../../src/guest/index.ts';
import { workDirectory } from '../../../src/qemu/index.ts';
import { loadTopology } from '../../../src/topology/index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-serial-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const { model } = loadTopology('topologies/one-endpoint.yaml');
if (model === undefined) throw new Error('no topology');

test('a console is kept, or it is said why it cannot be', async () => {
  const file = join(scratch, 'a', 'log');
  expect(await keepSerialLog(model, file, 'one')).toBe(file);
  await keepSerialLog(model, file, 'two', 'a');
  expect(readFileSync(file, 'utf8')).toBe('onetwo');
  writeFileSync(join(scratch, 'file'), '');
  for (const wrong of [join(scratch, 'file', 'log'), '/proc/none/log', scratch]) {
    await expect(keepSerialLog(model, wrong, 'x')).rejects.toThrow(EnvironmentError);
  }
});

test('without a directory for temporary files there is a cure', async () => {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = join(scratch, 'none');
  try {
    await expect(workDirectory()).rejects.toMatchObject({
      code: 'env/temporary-unusable',
      cure: expect.stringContaining('TMPDIR') as string,
    });
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
});
