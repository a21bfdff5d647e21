import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cells, findPath, writeFdt } from '../../../src/fdt/index.ts';
import { buildDeviceTree, buildFirmware } from '../../../src/firmware/index.ts';
import { describe as describeModel } from '../../../src/topology/index.ts';
import { shipped, shippedModel } from '../../unit/firmware/shipped.ts';

/**
 * What Debian's dt-schema says wrongly. Version 2022.08 has no `pci-host-bridge.yaml`, to which
 * Linux 6.12's `host-generic-pci.yaml` refers: it takes that for `false`, and then knows none of
 * the properties that are explained there.
 */
const FALSE_ALARMS: readonly RegExp[] = [
  /^pcie@[0-9a-f]+: False schema does not allow /,
  /^pcie@[0-9a-f]+: Unevaluated properties are not allowed \('#address-cells', .* unexpected\)$/,
];

let folder = '';
let program = '';

beforeAll(() => {
  const script = join(import.meta.dirname, '../prepare-dt-schema.sh');
  const prepared = execFileSync(script, { encoding: 'utf8', timeout: 280_000 }).trim();
  program = join(prepared, 'dt-validate');
  folder = mkdtempSync(join(tmpdir(), 'viommu-topo-dt-schema-'));
}, 300_000);

afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
});

/** What dt-validate says of a blob, known false alarms left out. */
function complaints(blob: Uint8Array): string[] {
  const file = join(folder, 'tree.dtb');
  writeFileSync(file, blob);
  const run = spawnSync(program, [file], { encoding: 'utf8', timeout: 120_000 });
  if (run.error !== undefined) throw run.error;
  return `${run.stdout}${run.stderr}`
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('\t'))
    .map((line) => line.replace(/^.*tree\.dtb: /, ''))
    .filter((line) => !FALSE_ALARMS.some((known) => known.test(line)));
}

describe('dt-validate with the bindings of Linux', () => {
  const trees = shipped.flatMap((name) => {
    const { dtb } = buildFirmware(shippedModel(name));
    return dtb === undefined ? [] : [{ name, dtb }];
  });

  test.each(trees)('says nothing of $name', ({ dtb }) => {
    expect(complaints(dtb)).toEqual([]);
  });

  test('but it would: two #iommu-cells', () => {
    const model = shippedModel('one-endpoint.yaml');
    const { tree } = describeModel(model);
    if (tree === undefined) throw new Error('no device tree');
    const root = buildDeviceTree(model, tree);
    findPath(root, '/pcie@4010000000/iommu@1,0')?.set('#iommu-cells', cells(2));
    expect(complaints(writeFdt(root)).join('\n')).toMatch(/iommu@1,0: #iommu-cells/);
  });
});
