import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import {
  type GuestAction,
  type GuestArch,
  type GuestReport,
  customGuest,
  fetchGuest,
} from '../../src/guest/index.ts';
import { handBoot } from '../support/guest-boot.ts';

/** Requester IDs in QEMU are endpoint IDs: 00:03.0, 00:04.0, 00:05.0. */
const DISK = '0000:00:03.0';
const NIC = '0000:00:04.0';
const EDU = '0000:00:05.0';
const EDU_ENDPOINT = 0x28;

const DEVICES = `-device virtio-iommu-pci,addr=2.0
  DISK -device virtio-blk-pci,addr=3.0,drive=disk,iommu_platform=on,disable-legacy=on
  -netdev user,id=net
  -device virtio-net-pci,addr=4.0,netdev=net,iommu_platform=on,disable-legacy=on,romfile=
  -device edu,addr=5.0,dma_mask=0xffffffffffffffff`;

const MACHINES: Record<GuestArch, string> = {
  arm64: '-M virt,gic-version=2 -cpu cortex-a57',
  amd64: '-M q35 -cpu qemu64',
};
const MODULES = ['virtio_iommu', 'virtio_pci', 'virtio_blk', 'virtio_net', 'pci_stub'];

const PLAN: readonly GuestAction[] = [
  { verb: 'modules' },
  { verb: 'wait', at: DISK },
  { verb: 'disk', at: DISK },
  { verb: 'write', at: DISK, offset: 1 << 20, bytes: 65_536, seed: 'pattern' },
  { verb: 'nic', at: NIC },
  { verb: 'edu', at: EDU, dir: 'write' },
  { verb: 'edu', at: EDU, dir: 'read' },
  { verb: 'edu', at: EDU, dir: 'write', iova: 0xdead_0000n },
  { verb: 'inventory' },
  { verb: 'firmware' },
  // The same DMA without translation does reach the page: the check above can fail.
  { verb: 'unbind', at: EDU },
  { verb: 'type', at: EDU, to: 'identity' },
  { verb: 'edu', at: EDU, dir: 'write', stub: false },
];

function eduResults(
  report: GuestReport,
): Extract<GuestReport['results'][number], { verb: 'edu' }>[] {
  return report.results.filter((result) => result.verb === 'edu');
}

describe.each(['arm64', 'amd64'] as const)('a stock %s guest', (arch) => {
  test('is fetched, boots, and reports what it saw', async () => {
    const guest = await fetchGuest(arch);
    expect(guest.release).toMatch(/^6\.12\./u);
    expect(guest.packages.map((one) => one.package)).toContain('busybox-static');
    const machine = `${MACHINES[arch]} ${DEVICES}`;
    const { report, disk } = await handBoot({ guest, machine, modules: MODULES, plan: PLAN });

    expect(report).toMatchObject({ complete: true, complaints: [], release: guest.release });
    expect(report.modules.filter(({ status }) => status !== '0')).toEqual([]);

    const [inventory] = report.inventories;
    expect(inventory?.iommus.map(({ at }) => at)).toEqual(['0000:00:02.0']);
    for (const at of [DISK, NIC, EDU]) {
      const group = inventory?.groups.find(({ devices }) => devices.includes(at));
      expect(group?.type).toMatch(/^DMA(?:-FQ)?$/u);
      expect(group?.reserved.map(({ type }) => type)).toEqual(['msi']);
    }
    for (const used of [DISK, NIC]) {
      const taken = inventory?.pci.find(({ at }) => at === used)?.interruptsTaken;
      expect(taken).toBeGreaterThan(0);
    }
    expect(inventory?.pci.find(({ at }) => at === EDU)?.interruptsTaken).toBeUndefined();

    const [read, write, nic] = ['disk', 'write', 'nic'].map((verb) =>
      report.results.find((result) => result.verb === verb),
    );
    const sha256 = createHash('sha256').update(disk).digest('hex');
    expect(read).toMatchObject({ at: DISK, status: '0', size: disk.length, sha256 });
    const pattern = Buffer.alloc(65_536, 'pattern\n');
    const written = createHash('sha256').update(pattern).digest('hex');
    expect(write).toMatchObject({ status: '0', sha256: written, reread: written });
    expect(nic).toMatchObject({ at: NIC, status: '0', sent: 3, received: 3 });

    const [fdt, viot] = ['fdt', 'VIOT'].map((name) => report.firmware.get(name)?.bytes);
    const own = arch === 'arm64' ? fdt : viot;
    const magic = Buffer.from(own ?? []).subarray(0, 4);
    expect(magic.toString('latin1')).toBe(arch === 'arm64' ? '\xd0\x0d\xfe\xed' : 'VIOT');
  });

  test('sees a DMA without a mapping fault, at the right endpoint and address', async () => {
    const guest = await fetchGuest(arch);
    const plan = PLAN.filter(({ verb }) => !['disk', 'write', 'nic', 'firmware'].includes(verb));
    const machine = `${MACHINES[arch]} ${DEVICES}`;
    const { report } = await handBoot({ guest, machine, modules: MODULES, plan });
    expect(report.complete).toBe(true);
    const results = eduResults(report);
    expect(results).toHaveLength(4);
    const [write, read, elsewhere, identity] = results;
    expect(write?.iova).toBe(write?.gpa);
    expect(read?.iova).toBe(read?.gpa);
    expect(elsewhere?.iova).toBe(0xdead_0000n);
    for (const result of [write, read, elsewhere]) {
      expect(result).toMatchObject({ status: '0', changed: false });
      const faults = report.kernel.filter(
        ({ code, after }) => code === 'iommu-fault' && after === result?.startNumber,
      );
      expect(faults.map(({ endpoint, address }) => ({ endpoint, address }))).toEqual([
        { endpoint: EDU_ENDPOINT, address: result?.iova },
      ]);
    }
    expect(identity).toMatchObject({ status: '0', changed: true });
    expect(report.kernel.filter(({ after }) => after === identity?.startNumber)).toEqual([]);
  });
});

/** QEMU dumps a tree in 1 MiB, and hangs on one of that size given back with `-dtb`. */
function withoutPadding(tree: Buffer): Buffer {
  const field = (index: number): number => tree.readUInt32BE(4 * index);
  // Offsets of structure and strings are fields 2 and 3, their sizes 9 and 8.
  const size = Math.max(field(2) + field(9), field(3) + field(8));
  tree.writeUInt32BE(size, 4);
  return tree.subarray(0, size);
}

describe('what goes wrong', () => {
  test('an IOMMU that the device tree leaves out: the oops and its function are found', async () => {
    const guest = await fetchGuest('arm64');
    const dir = await mkdtemp(join(tmpdir(), 'viommu-dtb-'));
    try {
      const dtb = join(dir, 'plain.dtb');
      const plain = `-M virt,gic-version=2,dumpdtb=${dtb} -cpu cortex-a57 -m 512M -nodefaults`;
      await execa('qemu-system-aarch64', [...plain.split(' '), '-display', 'none']);
      await writeFile(dtb, withoutPadding(await readFile(dtb)));
      const { report } = await handBoot({
        guest,
        machine: `${MACHINES.arm64} -dtb ${dtb} -device virtio-iommu-pci,addr=2.0`,
        modules: ['virtio_iommu'],
        plan: [{ verb: 'modules' }],
      });
      expect(report.complete).toBe(false);
      const oops = report.kernel.find(({ code }) => code === 'oops');
      expect(oops?.function).toBe('viommu_probe_device');
      expect(report.kernel.map(({ code }) => code)).toContain('panic');
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('a disk that never answers: the report goes on, and the guest stops', async () => {
    // The driver of the IOMMU is not loaded, the kernel gives up waiting for it after a second,
    // and the IOMMU lets nothing pass.
    const { report } = await handBoot({
      guest: await fetchGuest('arm64'),
      machine: `${MACHINES.arm64} -device virtio-iommu-pci,addr=2.0,boot-bypass=off
        DISK -device virtio-blk-pci,addr=3.0,drive=disk,iommu_platform=on,disable-legacy=on`,
      modules: ['virtio_blk'],
      plan: [{ verb: 'modules' }, { verb: 'disk', at: DISK, timeout: 4 }, { verb: 'inventory' }],
      extra: ['deferred_probe_timeout=1'],
    });
    expect(report.complete).toBe(true);
    expect(report.results).toMatchObject([{ verb: 'disk', status: 'timeout', sha256: '' }]);
    expect(report.inventories[0]?.groups).toEqual([]);
    expect(report.kernel).toContainEqual(
      expect.objectContaining({ code: 'deferred-timeout', device: DISK }),
    );
  });

  test('a plan for devices that are not there', async () => {
    const guest = await fetchGuest('arm64');
    const { report } = await handBoot({
      guest,
      machine: MACHINES.arm64,
      modules: ['virtio_iommu'],
      plan: [
        { verb: 'modules' },
        { verb: 'disk', at: '0000:00:09.0', timeout: 1 },
        { verb: 'nic', at: 'mmio:0x123', timeout: 1 },
        { verb: 'edu', at: EDU, dir: 'write' },
        { verb: 'bind', at: EDU, driver: 'pci-stub' },
        { verb: 'inventory' },
      ],
    });
    expect(report.complete).toBe(true);
    expect(
      report.results.slice(0, 3).map((result) => ('status' in result ? result.status : '')),
    ).toEqual(['absent', 'absent', 'absent']);
    const bind = report.results[3];
    expect(bind?.verb === 'bind' ? bind.fields.get('error') : '').not.toBe('');
    expect(report.inventories[0]).toMatchObject({ iommus: [], groups: [] });
  });
});

test('a kernel of the user: named by its modules, refused without the driver', async () => {
  const guest = await fetchGuest('amd64');
  const own = await customGuest({
    arch: 'amd64',
    kernel: guest.kernel,
    modules: guest.modulesDir,
    busybox: guest.busybox,
  });
  expect(own).toMatchObject({ release: guest.release, kernelSha256: guest.kernelSha256 });
  const other = customGuest({
    arch: 'amd64',
    kernel: guest.kernel,
    modules: join(guest.modulesDir, 'kernel/drivers/iommu'),
  });
  await expect(other).rejects.toMatchObject({ code: 'env/module-missing' });
});
