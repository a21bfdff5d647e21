import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli } from '../support/cli.ts';

/** A QEMU that is started by hand stands for the VMM of somebody else. */
const TOPOLOGY = 'topologies/one-endpoint.yaml';
const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-judge-'));
const guest = join(scratch, 'guest');
const firmware = join(scratch, 'firmware');
const consoleLog = join(scratch, 'console.log');
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function machine(): string[] {
  const cmdline = readFileSync(join(guest, 'cmdline'), 'utf8').trim();
  const drive = `if=none,id=d,format=raw,file=${join(guest, 'disk0.img')}`;
  const disk = 'virtio-blk-pci,bus=pcie.0,addr=2,drive=d,iommu_platform=on,disable-legacy=on';
  return [
    ...'-M virt,gic-version=3 -cpu cortex-a57 -m 512M -nodefaults -no-user-config'.split(' '),
    ...'-display none -serial stdio -no-reboot'.split(' '),
    '-kernel',
    join(guest, 'kernel'),
    '-initrd',
    join(guest, 'initramfs.cpio'),
    '-append',
    cmdline,
    '-dtb',
    join(firmware, 'topology.dtb'),
    '-device',
    'virtio-iommu-pci,bus=pcie.0,addr=1',
    '-drive',
    drive,
    '-device',
    disk,
  ];
}

beforeAll(async () => {
  expect((await cli('guest', 'export', TOPOLOGY, '-o', guest)).code).toBe(0);
  expect((await cli('build', TOPOLOGY, '-o', firmware)).code).toBe(0);
  const run = await execa('qemu-system-aarch64', machine(), { timeout: 240_000, stdin: 'ignore' });
  writeFileSync(consoleLog, run.stdout);
}, 300_000);

describe('a guest that another VMM has run', () => {
  test('passes where it shows what the topology promises', async () => {
    const argv = ['judge', TOPOLOGY, consoleLog, '--firmware-from', firmware];
    const { code, out } = await cli(...argv, '--machine', 'by hand');
    expect(out).toMatch(/^PASS one-endpoint \(console/mu);
    expect(code).toBe(0);
    expect(out).toMatch(/ok +the guest's own copy of the firmware is the one that was passed/u);
    expect(out).toMatch(/ok +each endpoint behind a vIOMMU is in an IOMMU group/u);
    expect(out).toContain('by hand');
  });

  test('fails where it does not, with the cause', async () => {
    const { code, out } = await cli('judge', 'topologies/several-endpoints.yaml', consoleLog);
    expect(code).toBe(1);
    expect(out).toMatch(/^FAIL several-endpoints/mu);
  });

  test('a console that ends early is no pass', async () => {
    const text = readFileSync(consoleLog, 'utf8');
    const cut = join(scratch, 'cut.log');
    writeFileSync(cut, text.slice(0, text.length * 0.8));
    expect((await cli('judge', TOPOLOGY, cut)).code).toBe(1);
    writeFileSync(cut, '');
    const nothing = await cli('judge', TOPOLOGY, cut, '--format', 'tap');
    expect(nothing.code).toBe(1);
    expect(nothing.out).toMatch(/^not ok 1 - one-endpoint/mu);
  });

  test('what cannot be read, and a directory that is full, are said', async () => {
    expect((await cli('judge', TOPOLOGY, join(scratch, 'none'))).code).toBe(2);
    const full = await cli('guest', 'export', TOPOLOGY, '-o', guest);
    expect(full.code).toBe(2);
    expect(full.err).toContain('is not empty');
  });
});
