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

/** The vIOMMU of cloud-hypervisor starts with everything bypassing it. */
const FACTS = { bootBypass: true };

/** The option, and the setting that must come from outside. */
interface Device {
  readonly line?: readonly Word[];
  readonly setting?: Setting;
  readonly losses: readonly Loss[];
}

/**
 * A command line for cloud-hypervisor, whose options `iommu=on`, `pci_segment`, `pci_device_id` and
 * `iommu_segments` say who is behind its one vIOMMU (its documents device_model.md and iommu.md).
 */
export function cloudHypervisor(model: Model): VmmExport {
  const here = pciEndpoints(model).map((one) => device(one, model));
  const losses = [
    ...commonLosses(model, 'cloud-hypervisor'),
    ...viommuLosses(model, FACTS),
    ...bridgeLosses(model),
    ...here.flatMap((one) => one.losses),
    ...wholeTree(model),
  ];
  const kernel: Setting = { name: 'KERNEL', what: 'a kernel with virtio-iommu' };
  const initrd: Setting = { name: 'INITRD', what: 'an initial RAM disk' };
  return {
    file: 'cloud-hypervisor.sh',
    text: vmmScript({
      program: 'cloud-hypervisor',
      model,
      settings: [kernel, initrd, ...here.flatMap(({ setting }) => setting ?? [])],
      lines: [
        ['--kernel', variable('KERNEL')],
        ['--initramfs', variable('INITRD')],
        ['--cmdline', `console=${consoleName(model)} rdinit=/init`],
        ['--cpus', `boot=${model.cpus}`],
        ['--memory', `size=${memoryMib(model)}M`],
        ['--serial', 'tty'],
        ['--console', 'off'],
        ...platform(model),
        ...grouped(here.flatMap(({ line }) => (line === undefined ? [] : [line]))),
      ],
      losses,
    }),
    losses,
  };
}

/** Segments beyond 0, and those of them that are behind the vIOMMU as a whole. */
function platform(model: Model): Word[][] {
  const last = Math.max(...model.hosts.map(({ segment }) => segment));
  if (last === 0) return [];
  const whole = model.hosts.filter(
    ({ segment, viommu, id }) =>
      segment > 0 &&
      viommu !== undefined &&
      pciEndpoints(model).every(
        ({ location, endpoint }) => location.host !== id || endpoint.viommu !== undefined,
      ),
  );
  const list = whole.map(({ segment }) => segment).join(',');
  const iommu = whole.length === 0 ? '' : `,iommu_segments=[${list}]`;
  return [['--platform', `num_pci_segments=${last + 1}${iommu}`]];
}

/** Options of one kind take all their values after one flag. */
function grouped(lines: readonly (readonly Word[])[]): Word[][] {
  const byFlag = new Map<string, Word[]>();
  for (const [flag, ...values] of lines) {
    if (typeof flag !== 'string') continue;
    byFlag.set(flag, [...(byFlag.get(flag) ?? []), ...values]);
  }
  return Array.from(byFlag, ([flag, values]) => [flag, ...values]);
}

function device({ endpoint, device: what, location, bdf }: PciEndpoint, model: Model): Device {
  const { id, passthrough, viommu } = endpoint;
  const { bus, device: slot, fn } = splitRequesterId(location.rids.start);
  const host = model.hosts.find((one) => one.id === location.host);
  const stays = bus === (host?.buses.start ?? 0) && fn === 0 && host?.kind === 'root';
  const losses: Loss[] = stays
    ? []
    : [{ subject: id, text: `it cannot be at ${bdf}; it gets a free slot of its segment` }];
  const common = [
    `id=${id}`,
    `iommu=${viommu === undefined ? 'off' : 'on'}`,
    ...(location.segment === 0 ? [] : [`pci_segment=${location.segment}`]),
    ...(stays ? [`pci_device_id=${slot}`] : []),
  ].join(',');
  if (passthrough !== undefined) {
    const name = variableName(id, 'HOST');
    const setting = { name, what: `the host device for ${id}: /sys/bus/pci/devices/ADDRESS` };
    return { line: ['--device', { shell: `path="$${name}",${common}` }], setting, losses };
  }
  switch (what.kind) {
    case 'virtio-blk':
      return { line: ['--disk', `path=${id}.img,image_type=raw,${common}`], losses };
    case 'virtio-net':
      return { line: ['--net', `tap=${id.slice(0, 15)},${common}`], losses };
    case 'virtio-rng':
      return { line: ['--rng', `src=/dev/urandom,${common}`], losses };
    default:
      return { losses: [{ subject: id, text: `there is no ${what.kind}; it is left out` }] };
  }
}

/** Without ACPI an arm64 guest is told one range for the whole bus. */
function wholeTree(model: Model): Loss[] {
  const bypassing = pciEndpoints(model).filter(({ endpoint }) => endpoint.viommu === undefined);
  if (model.arch !== 'arm64' || bypassing.length === 0) return [];
  return bypassing.map(({ endpoint }) => ({
    subject: endpoint.id,
    text: 'on arm64 without ACPI the guest takes it to be behind the vIOMMU, too',
  }));
}
