import type { Model } from '../../topology/index.ts';
import type { Loss, VmmExport } from '../loss.ts';
import {
  bridgeLosses,
  commonLosses,
  consoleName,
  memoryMib,
  pciEndpoints,
  variableName,
} from './common.ts';
import { variable, vmmScript, type Setting, type Word } from './script.ts';

/**
 * A command line for kvmtool. The patches of 2017 that gave it a virtio-iommu were never merged, so
 * the machine is the same one without translation.
 */
export function kvmtool(model: Model): VmmExport {
  const here = pciEndpoints(model);
  const lines: Word[][] = [];
  const settings: Setting[] = [
    { name: 'KERNEL', what: 'a kernel' },
    { name: 'INITRD', what: 'an initial RAM disk' },
  ];
  const losses: Loss[] = [
    ...commonLosses(model, 'kvmtool'),
    ...model.viommus.map(({ id }) => ({
      subject: id,
      text: 'kvmtool has no virtio-iommu; everything behind it does DMA untranslated',
    })),
    ...bridgeLosses(model),
    { text: 'devices get PCI slots in the order of the options, not those of the topology' },
  ];
  for (const { endpoint, device } of here) {
    const { id, passthrough } = endpoint;
    if (passthrough !== undefined) {
      const name = variableName(id, 'HOST');
      settings.push({ name, what: `the host device for ${id}: 0000:01:00.0` });
      lines.push(['--vfio-pci', variable(name)]);
    } else if (device.kind === 'virtio-blk') lines.push(['--disk', `${id}.img`]);
    else if (device.kind === 'virtio-net') {
      lines.push(['--network', `mode=tap,tapif=${id.slice(0, 15)}`]);
    } else if (device.kind === 'virtio-rng') lines.push(['--rng']);
    else losses.push({ subject: id, text: `there is no ${device.kind}; it is left out` });
  }
  return {
    file: 'kvmtool.sh',
    text: vmmScript({
      program: 'lkvm',
      model,
      settings,
      lines: [
        ['run'],
        ['--kernel', variable('KERNEL')],
        ['--initrd', variable('INITRD')],
        ['--params', `console=${consoleName(model)} rdinit=/init`],
        ['--cpus', String(model.cpus)],
        ['--mem', `${memoryMib(model)}M`],
        ['--console', 'serial'],
        ['--virtio-transport', 'pci'],
        ...irqchip(model),
        ...(here.some(({ device }) => device.kind === 'virtio-net')
          ? []
          : [['--network', 'mode=none']]),
        ...lines,
      ],
      losses,
    }),
    losses,
  };
}

/** The interrupt controller that has the topology's kind of doorbell. */
function irqchip(model: Model): Word[][] {
  if (model.arch !== 'arm64') return [];
  const kinds = new Set(model.doorbells.map(({ kind }) => kind));
  if (kinds.has('its')) return [['--irqchip', 'gicv3-its']];
  if (kinds.has('gicv2m')) return [['--irqchip', 'gicv2m']];
  return [['--irqchip', model.gic?.version === 3 ? 'gicv3' : 'gicv2']];
}
