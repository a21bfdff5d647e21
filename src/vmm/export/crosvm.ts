import { splitRequesterId } from '../../spec/pci.ts';
import type { Model } from '../../topology/index.ts';
import type { Loss, VmmExport } from '../loss.ts';
import {
  bridgeLosses,
  commonLosses,
  consoleName,
  memoryMib,
  pciEndpoints,
  variableName,
  viommuLosses,
  type PciEndpoint,
} from './common.ts';
import { variable, vmmScript, type Setting, type Word } from './script.ts';

/** crosvm offers no BYPASS_CONFIG: an endpoint that is attached to nothing reaches nothing. */
const FACTS = { bootBypass: false };

/**
 * A command line for crosvm. Its vIOMMU is there for VFIO devices (`--vfio …,iommu=viommu`); the
 * virtio devices that it emulates are never behind it.
 */
export function crosvm(model: Model): VmmExport {
  const here = pciEndpoints(model);
  const losses = [
    ...commonLosses(model, 'crosvm'),
    ...(here.some(isTranslated)
      ? viommuLosses(model, FACTS)
      : model.viommus.map(({ id }) => ({
          subject: id,
          text: 'there is no vIOMMU in crosvm unless a passed-through device is behind it',
        }))),
    ...bridgeLosses(model),
    ...here.flatMap((one) => lossesOf(one, model)),
  ];
  const settings: Setting[] = [
    { name: 'KERNEL', what: 'a kernel with virtio-iommu' },
    { name: 'INITRD', what: 'an initial RAM disk' },
    ...here.flatMap(({ endpoint: { id, passthrough } }) =>
      passthrough === undefined
        ? []
        : [
            {
              name: variableName(id, 'HOST'),
              what: `the host device for ${id}: /sys/bus/pci/devices/ADDRESS`,
            },
          ],
    ),
  ];
  return {
    file: 'crosvm.sh',
    text: vmmScript({
      program: 'crosvm',
      model,
      settings,
      lines: [
        ['run'],
        ['--cpus', String(model.cpus)],
        ['--mem', String(memoryMib(model))],
        ['--initrd', variable('INITRD')],
        ['--params', `console=${consoleName(model)} rdinit=/init`],
        ...here.flatMap((one) => line(one, model)),
        [variable('KERNEL')],
      ],
      losses,
    }),
    losses,
  };
}

function isTranslated({ endpoint }: PciEndpoint): boolean {
  return endpoint.passthrough !== undefined && endpoint.viommu !== undefined;
}

/** crosvm takes addresses on its bus 0 as they are. */
function address({ location }: PciEndpoint, model: Model): string | undefined {
  const { bus, device, fn } = splitRequesterId(location.rids.start);
  const host = model.hosts.find((one) => one.id === location.host);
  if (host?.kind !== 'root' || location.segment !== 0 || bus !== 0) return undefined;
  return `00:${device.toString(16).padStart(2, '0')}.${fn}`;
}

function line(one: PciEndpoint, model: Model): Word[][] {
  const { endpoint, device } = one;
  const at = address(one, model);
  const { id, passthrough, viommu } = endpoint;
  if (passthrough !== undefined) {
    const place = at === undefined ? '' : `,guest-address=${at}`;
    const iommu = viommu === undefined ? 'off' : 'viommu';
    return [['--vfio', { shell: `"$${variableName(id, 'HOST')}"${place},iommu=${iommu}` }]];
  }
  const place = at === undefined ? '' : `,pci-address=${at}`;
  if (device.kind === 'virtio-blk') return [['--block', `path=${id}.img${place}`]];
  if (device.kind === 'virtio-net') return [['--net', `tap-name=${id.slice(0, 15)}${place}`]];
  return [];
}

function lossesOf(one: PciEndpoint, model: Model): Loss[] {
  const { endpoint, device, bdf } = one;
  const { id, passthrough, viommu } = endpoint;
  const known = device.kind === 'virtio-blk' || device.kind === 'virtio-net';
  if (passthrough === undefined && device.kind === 'virtio-rng') {
    return [{ subject: id, text: 'crosvm has one virtio-rng anyway, at a place of its choice' }];
  }
  if (passthrough === undefined && !known) {
    return [{ subject: id, text: `there is no ${device.kind}; it is left out` }];
  }
  return [
    ...(address(one, model) === undefined
      ? [{ subject: id, text: `it cannot be at ${bdf}; it gets a free slot` }]
      : []),
    ...(passthrough === undefined && viommu !== undefined
      ? [{ subject: id, text: 'emulated devices are never behind the vIOMMU: it bypasses' }]
      : []),
  ];
}
