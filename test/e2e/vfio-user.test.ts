import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { mkdtempSync, rmSync } from 'node:fs';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bootAndJudge, qemuVfioUserBackend, vfioUserPreflight } from '../../src/backends/index.ts';
import { runCommand } from '../../src/cli/main.ts';
import { fetchGuest } from '../../src/guest/index.ts';
import type { Verdict } from '../../src/scenario/index.ts';
import type { Model } from '../../src/topology/index.ts';
import { cli } from '../support/cli.ts';
import { vfioUserQemu } from '../support/vfio-user.ts';
import { inputOf, shipped, shown, topology } from './boot-helper.ts';

/** What is on one of QEMU's boards, with everything on PCI. */
const ARM64 = [
  'one-endpoint',
  'several-endpoints',
  'several-viommus',
  'bypass',
  'root-ports',
  'gicv2m',
  'its',
  'pxb',
  'reserved-regions',
  'device-tree-regions',
  'passthrough',
  'vfio-userspace',
  'faults',
  'checks',
  'lazy',
  'identity',
];
const Q35 = [
  'q35-one-endpoint',
  'q35-several-endpoints',
  'q35-several-viommus',
  'q35-bypass',
  'q35-pxb',
  'q35-root-ports',
  'q35-faults',
  'q35-boot-bypass-off',
  'q35-vfio-userspace',
];

/** A virtio-mmio vIOMMU, a platform device, or a board of our own. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'software-doorbell': ['vfio-user-viommu-mmio', 'vfio-user-doorbell'],
  'viommu-mmio': ['vfio-user-viommu-mmio', 'vfio-user-doorbell'],
  'two-viommus': ['vfio-user-viommu-mmio', 'vfio-user-doorbell'],
};

const LOGS = mkdtempSync(join(tmpdir(), 'viommu-topo-vfio-'));
afterAll(() => rmSync(LOGS, { recursive: true, force: true }));
beforeAll(() => vfioUserQemu('arm64'));

async function boot(model: Model): Promise<Verdict> {
  const guest = await fetchGuest(model.arch === 'arm64' ? 'arm64' : 'amd64');
  const serialLog = join(LOGS, `${model.name}.log`);
  const qemu = await vfioUserQemu(model.arch);
  const backend = qemuVfioUserBackend({ guest, accel: 'tcg', serialLog, qemu });
  return bootAndJudge(backend, await inputOf(model));
}

test('every shipped topology is held, or refused with an alternative', async () => {
  const names = readdirSync(new URL('../../topologies', import.meta.url))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length));
  for (const name of names) {
    const model = shipped(name);
    const found = vfioUserPreflight(await inputOf(model));
    for (const { cure } of found) expect(cure).toBeTruthy();
    const rules = [...new Set(found.map(({ rule }) => rule))];
    const expected = model.board === 'emulator' ? ['qemu-board'] : (REFUSED[name] ?? []);
    expect([name, rules]).toEqual([name, expected]);
    // One crashes Linux 6.12, on every backend; of the other there is a shorter one below.
    if (expected.length > 0 || ['direct-region', 'net-transfer'].includes(name)) continue;
    expect([...ARM64, ...Q35]).toContain(name);
  }
});

describe('our devices under a stock arm64 kernel in QEMU, described by our tree', () => {
  test.each(ARM64)('%s', async (name) => {
    expect(shown(await boot(shipped(name)))).toContain(`PASS ${name}`);
  });
});

describe('our devices under a stock amd64 kernel in QEMU, described by our VIOT', () => {
  test.each(Q35)('%s', async (name) => {
    const verdict = await boot(shipped(name));
    expect(shown(verdict)).toContain(`PASS ${name}`);
    const identical = verdict.promises.find(({ id }) => id === 'firmware-identical');
    expect(identical?.items.map(({ subject }) => subject)).toEqual(['VIOT']);
  });
});

test('DHCP, ping, and 8 MB each way over TCP through our NIC', async () => {
  const text = `extends: virt-arm64
guest: { checks: [transfer], transfer-size: 8M }
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: net0, at: 00:02.0, device: virtio-net }]
`;
  expect(shown(await boot(topology('transfer', text)))).toContain('PASS transfer');
});

test('a PC in which a disk is plugged in, and which reboots', async () => {
  const text = `extends: q35
guest: { checks: [hotplug, reboot] }
pci:
  hosts:
    - id: pcie0
      bridges:
        - { id: rp1, at: 00:04.0, buses: 0x01-0x01, hotplug: true }
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 16M } }
  - { id: disk1, at: 01:00.0, device: { kind: virtio-blk, size: 16M } }
`;
  const verdict = await boot(topology('q35-plugged', text));
  expect(shown(verdict)).toContain('PASS q35-plugged');
  expect(verdict.promises.map(({ id }) => id)).toContain('reboots');
});

test('a DMA engine that is aimed at what must fault', async () => {
  const text = `extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 16M } }
  - { id: dma0, at: 00:03.0, device: dma-engine }
`;
  const verdict = await boot(topology('aimed', text));
  expect(shown(verdict)).toContain('PASS aimed');
  expect(verdict.promises.map(({ id }) => id)).toContain('fault-reported');
});

test('two vIOMMUs may share a bus, which QEMU has for no device of its own', async () => {
  const text = `extends: virt-arm64
viommus:
  - { id: viommu0, at: 00:01.0 }
  - { id: viommu1, at: 00:02.0 }
pci: { hosts: [{ id: pcie0, viommu: viommu0 }] }
endpoints:
  - { id: disk0, at: 00:03.0, device: { kind: virtio-blk, size: 16M } }
  - { id: net0, at: 00:04.0, viommu: viommu1, device: virtio-net }
`;
  const verdict = await boot(topology('shared-bus', text));
  expect(shown(verdict)).toContain('PASS shared-bus');
  const grouped = verdict.promises.find(({ id }) => id === 'behind-is-grouped');
  expect(grouped?.items.map(({ seen }) => seen.replace(/\d+ of/u, 'N of'))).toEqual([
    'in group N of viommu0 (00:01.0)',
    'in group N of viommu1 (00:02.0)',
  ]);
});

test('the guide: fetch, boot, and serve with the command line that is printed', async () => {
  const guide = readFileSync('docs/guides/vfio-user.md', 'utf8');
  const blocks = [...guide.matchAll(/```console\n\$ viommu-topo (.*)\n```/gu)].map(
    ([, text = '']) => text,
  );
  expect(blocks.map((text) => text.split(' ')[0])).toEqual(['qemu', 'boot', 'serve']);
  const [fetch = '', bootIt = '', serveIt = ''] = blocks;
  expect(await cli(...fetch.split(' '))).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^version {2}QEMU 1\d\./u) as string,
  });
  expect(await cli(...bootIt.split(' '))).toMatchObject({
    code: 0,
    out: expect.stringContaining('PASS several-viommus') as string,
  });
  let started: Promise<unknown> | undefined;
  const { code, err } = await cliWhile(serveIt.split(' '), (out) => {
    // The guest lists what it finds and powers off.
    started ??= execa('timeout', ['200', 'sh', '-c', out], { stdin: 'ignore' });
  });
  await started;
  expect(err).toContain('disk0: connected');
  expect(code).toBe(0);
});

/** A command whose output somebody waits for while it runs. */
async function cliWhile(
  argv: readonly string[],
  onOut: (text: string) => void,
): Promise<{ code: number; err: string }> {
  let err = '';
  const code = await runCommand(argv, {
    out: onOut,
    outBytes: () => undefined,
    err: (text) => void (err += text),
    interactive: false,
    colorOut: false,
    colorErr: false,
    env: {},
    signal: new AbortController().signal,
  });
  return { code, err };
}
