// The test of a VMM: does a stock guest on it see the machine that the topology describes? QEMU stands
// for the VMM; put yours into `runVmm`.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  buildFirmware,
  builtImages,
  fetchGuest,
  foreignGuest,
  judgeConsole,
  loadTopology,
  writeForeignDisks,
  type Verdict,
} from 'viommu-topo';
import * as matchers from 'viommu-topo/matchers';
import type { VerdictMatchers } from 'viommu-topo/matchers';

declare module 'vitest' {
  // oxlint-disable-next-line no-explicit-any -- the parameters must be those of vitest's own
  interface Matchers<T = any> extends VerdictMatchers<T> {}
}

expect.extend(matchers);

interface Files {
  readonly kernel: string;
  readonly initramfs: string;
  readonly cmdline: string;
  readonly dtb: string;
  readonly disk: string;
}

/** Starts the VMM, waits for its end, and returns what the first serial port printed. */
async function runVmm({ kernel, initramfs, cmdline, dtb, disk }: Files): Promise<string> {
  const { stdout } = await execa(
    'qemu-system-aarch64',
    [
      ...'-M virt,gic-version=3 -cpu cortex-a57 -m 512M -nodefaults -no-user-config'.split(' '),
      ...'-display none -serial stdio -no-reboot'.split(' '),
      ...`-kernel ${kernel} -initrd ${initramfs} -dtb ${dtb}`.split(' '),
      ...'-device virtio-iommu-pci,bus=pcie.0,addr=1'.split(' '),
      ...`-drive if=none,id=d,format=raw,file=${disk}`.split(' '),
      '-device',
      'virtio-blk-pci,bus=pcie.0,addr=2,drive=d,iommu_platform=on,disable-legacy=on',
      '-append',
      cmdline,
    ],
    { timeout: 240_000, stdin: 'ignore' },
  );
  return stdout;
}

const TOPOLOGY = 'topologies/one-endpoint.yaml';
const seed = 'what the disks hold';
let scratch: string;
let verdict: Verdict;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vmm-test-'));
  const { model } = loadTopology(TOPOLOGY);
  if (model === undefined) throw new Error(`${TOPOLOGY} cannot be read`);
  const firmware = buildFirmware(model);
  const guest = await foreignGuest(model, { guest: await fetchGuest('arm64'), seed });
  const disks = await writeForeignDisks(guest.disks, scratch);
  const files: Files = {
    kernel: guest.kernel,
    initramfs: join(scratch, 'initramfs.cpio'),
    cmdline: guest.cmdline,
    dtb: join(scratch, 'topology.dtb'),
    disk: disks.get('disk0') ?? '',
  };
  await writeFile(files.initramfs, guest.initramfs);
  await writeFile(files.dtb, firmware.dtb ?? '');
  verdict = judgeConsole(model, await runVmm(files), {
    seed,
    firmware: builtImages(firmware, TOPOLOGY),
    machine: 'our VMM',
  });
}, 300_000);

afterAll(() => rm(scratch, { recursive: true, force: true }));

test('the guest sees the machine that the topology describes', () => {
  expect(verdict).toKeepItsPromises();
});

test('the disk is behind the vIOMMU', () => {
  // Named, since a promise that cannot be observed does not fail the verdict as a whole.
  expect(verdict).toKeepPromise('behind-is-grouped');
});
