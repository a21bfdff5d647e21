import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeWhole } from './cache.ts';
import type { Guest } from './fetch.ts';
import { buildInitramfs } from './initramfs.ts';
import { formatPlan } from './plan.ts';

/** Drivers of every endpoint a topology can have; each kernel has most of them. */
const MODULES = [
  'virtio_iommu',
  'virtio_pci',
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_rng',
  'e1000e',
  'nvme',
  'xhci_pci',
  'pci_stub',
];

/**
 * An initramfs for boots by hand (`boot.sh`), beside the cached kernel: it loads the drivers, lists
 * IOMMUs, groups and devices on the console and powers off. Made once; returns its path.
 */
export async function genericInitramfs(guest: Guest): Promise<string> {
  const path = join(dirname(guest.kernel), 'initramfs.cpio');
  if ((await stat(path).catch(() => undefined)) !== undefined) return path;
  const plan = formatPlan([{ verb: 'modules' }, { verb: 'firmware' }, { verb: 'inventory' }]);
  await writeWhole(
    path,
    await buildInitramfs({ guest, modules: ['virtio_iommu'], optionalModules: MODULES, plan }),
  );
  return path;
}
