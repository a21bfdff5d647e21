import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

import { buildCommand, preflight } from '../../../src/qemu/index.ts';
import { loadTopology } from '../../../src/topology/index.ts';

const files = readdirSync('topologies').filter((name) => name.endsWith('.yaml'));

/** What QEMU 7.2 cannot run, by design of the topology: which rules say so. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'dma-engine.yaml': ['qemu-board'],
  'granule-64k.yaml': ['qemu-board'],
  'large.yaml': ['qemu-board'],
  'passthrough.yaml': ['qemu-passthrough'],
  'platform-device.yaml': ['qemu-board'],
  'q35-vfio-userspace.yaml': ['qemu-device-kind', 'qemu-passthrough'],
  'q35-several-viommus.yaml': ['qemu-viommu-count'],
  'segments.yaml': ['qemu-board'],
  'several-viommus.yaml': ['qemu-viommu-count'],
  'vfio-userspace.yaml': ['qemu-device-kind', 'qemu-passthrough'],
};

describe.each(files)('%s', (file) => {
  const { model } = loadTopology(`topologies/${file}`);
  if (model === undefined) throw new Error(`${file} does not load`);

  test('is accepted, or refused for the known reasons', () => {
    const found = preflight(model);
    expect([...new Set(found.map((d) => d.rule))], found.map((d) => d.message).join('\n')).toEqual(
      REFUSED[file] ?? [],
    );
  });

  test.skipIf(file in REFUSED)('as a command', () => {
    const { groups } = buildCommand(model, {
      version: { major: 7, minor: 2, micro: 0 },
      append: 'console=x',
    });
    const lines = groups.flatMap((group) => [
      `# ${group.comment}`,
      ...group.arguments.map(
        (arg) =>
          `${arg.option} ${(arg.value ?? []).map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join('')}`,
      ),
    ]);
    expect(lines).toMatchSnapshot();
  });
});
