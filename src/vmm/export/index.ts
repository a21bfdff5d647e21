import { bootScript, preflight } from '../../qemu/index.ts';
import type { Model } from '../../topology/index.ts';
import type { VmmExport } from '../loss.ts';
import { cloudHypervisor } from './cloud-hypervisor.ts';
import { crosvm } from './crosvm.ts';
import { kvmtool } from './kvmtool.ts';
import { libvirt } from './libvirt.ts';

/** VMMs whose configuration or command line can be written. */
export const VMMS = ['qemu', 'libvirt', 'cloud-hypervisor', 'crosvm', 'kvmtool'] as const;
/** A VMM whose configuration or command line can be written. */
export type Vmm = (typeof VMMS)[number];

const EXPORTS: Readonly<Record<Vmm, (model: Model) => VmmExport>> = {
  qemu,
  libvirt,
  'cloud-hypervisor': cloudHypervisor,
  crosvm,
  kvmtool,
};

/**
 * The machine of a topology as another VMM takes it, with everything that VMM cannot be told. What
 * cannot be told is left out or made as near as it gets; the text says so, too.
 */
export function exportFor(model: Model, vmm: Vmm): VmmExport {
  return EXPORTS[vmm](model);
}

/** QEMU's is `boot.sh`, or nothing where QEMU cannot hold the topology at all. */
function qemu(model: Model): VmmExport {
  const found = preflight(model);
  const stops = found.some(({ severity }) => severity === 'error');
  return {
    file: 'boot.sh',
    text: stops ? '' : bootScript(model),
    losses: found.map(({ message }) => ({ text: message })),
  };
}
