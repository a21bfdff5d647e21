import { XMLBuilder } from 'fast-xml-parser';
import { splitRequesterId } from '../../spec/pci.ts';
import type { EndpointDevice, Model, PciHost, Viommu } from '../../topology/index.ts';
import { showLoss, type Loss, type VmmExport } from '../loss.ts';
import { consoleName, memoryMib, pciEndpoints, type PciEndpoint } from './common.ts';

/** An element: attributes begin with `@`, text is `#text`. */
interface Element {
  readonly [name: string]: string | Element | readonly Element[];
}

/**
 * A libvirt domain (its document "Domain XML format"): `<iommu model='virtio'/>`, which libvirt has
 * since 8.3.0, and `<driver iommu='on'/>` on what is behind it.
 */
export function libvirt(model: Model): VmmExport {
  const buses = new Buses(model);
  const losses: Loss[] = [...machineLosses(model), ...viommuLosses(model)];
  const disks: Element[] = [];
  const interfaces: Element[] = [];
  const hostdevs: Element[] = [];
  const rngs: Element[] = [];
  for (const one of pciEndpoints(model)) {
    const { endpoint, device, location } = one;
    const address = buses.address(location.host, location.rids.start, multifunction(model, one));
    if (address === undefined) {
      losses.push({ subject: endpoint.id, text: `libvirt has no bus for ${one.bdf}; left out` });
    } else if (endpoint.passthrough !== undefined) {
      hostdevs.push(hostdev(address));
      losses.push({
        subject: endpoint.id,
        text: 'fill in the address of the host device: it stands as 0000:00:00.0',
      });
    } else if (device.kind === 'virtio-blk' || device.kind === 'nvme') {
      if (device.kind === 'virtio-blk') {
        disks.push(disk(endpoint.id, disks.length, device, address));
      } else losses.push({ subject: endpoint.id, text: 'an emulated NVMe is left out' });
    } else if (device.kind === 'virtio-net' || device.kind === 'e1000e') {
      interfaces.push(nic(device, address));
    } else if (device.kind === 'virtio-rng') rngs.push(rng(device, address));
    else losses.push({ subject: endpoint.id, text: `there is no ${device.kind}; it is left out` });
  }
  const domain: Element = {
    '@type': 'qemu',
    name: { '#text': model.name },
    memory: { '@unit': 'MiB', '#text': String(memoryMib(model)) },
    vcpu: { '#text': String(model.cpus) },
    os: operatingSystem(model),
    features: features(model),
    ...(model.arch === 'arm64'
      ? { cpu: { '@mode': 'custom', '@match': 'exact', model: { '#text': 'cortex-a57' } } }
      : {}),
    devices: {
      disk: disks,
      controller: [...buses.controllers(), { '@type': 'usb', '@model': 'none' }],
      interface: interfaces,
      serial: { '@type': 'pty' },
      console: { '@type': 'pty' },
      hostdev: hostdevs,
      memballoon: { '@model': 'none' },
      rng: rngs,
      iommu: iommus(model, buses),
    },
  };
  return { file: 'libvirt.xml', text: xml(domain, losses), losses };
}

function xml(domain: Element, losses: readonly Loss[]): string {
  const builder = new XMLBuilder({
    attributeNamePrefix: '@',
    ignoreAttributes: false,
    format: true,
    suppressEmptyNode: true,
    commentPropName: '!',
  });
  const lost = losses.map((loss) => `  ${showLoss(loss)}`.replaceAll('--', '- -'));
  const head = ['Written by viommu-topo for libvirt. What it cannot express:', ...lost];
  return builder.build({ '!': `\n${head.join('\n')}\n`, domain });
}

function operatingSystem(model: Model): Element {
  const arm = model.arch === 'arm64';
  return {
    type: {
      '@arch': arm ? 'aarch64' : 'x86_64',
      '@machine': arm ? 'virt' : 'q35',
      '#text': 'hvm',
    },
    kernel: { '#text': '/path/to/kernel' },
    initrd: { '#text': '/path/to/initrd' },
    cmdline: { '#text': `console=${consoleName(model)} rdinit=/init` },
    ...(model.firmware.deviceTree ? { dtb: { '#text': '/path/to/topology.dtb' } } : {}),
  };
}

function features(model: Model): Element {
  if (model.arch !== 'arm64') return { acpi: {} };
  return { gic: { '@version': String(model.gic?.version ?? 2) } };
}

/** libvirt names buses by the index of their controller; guests number them by themselves. */
class Buses {
  readonly #controllers: Element[] = [{ '@type': 'pci', '@index': '0', '@model': 'pcie-root' }];
  /** Bus number in the topology to index of the controller, by host. */
  readonly #index = new Map<string, ReadonlyMap<number, number>>();

  constructor(model: Model) {
    for (const host of model.hosts) {
      if (host.kind !== 'root' || this.#index.size > 0) continue;
      this.#index.set(host.id, this.#add(host));
    }
  }

  controllers(): readonly Element[] {
    return this.#controllers;
  }

  /** Undefined where libvirt has no such bus. */
  address(host: string, rid: number, shared: boolean): Element | undefined {
    const { bus, device, fn } = splitRequesterId(rid);
    const index = this.#index.get(host)?.get(bus);
    if (index === undefined) return undefined;
    return {
      '@type': 'pci',
      '@domain': '0x0000',
      '@bus': `0x${index.toString(16).padStart(2, '0')}`,
      '@slot': `0x${device.toString(16).padStart(2, '0')}`,
      '@function': `0x${fn}`,
      ...(shared && fn === 0 ? { '@multifunction': 'on' } : {}),
    };
  }

  #add(host: PciHost): ReadonlyMap<number, number> {
    const indexes = new Map([[host.buses.start, 0]]);
    this.#index.set(host.id, indexes);
    for (const { kind, rid, buses } of host.bridges) {
      const address = this.address(host.id, rid, false);
      if (address === undefined) continue;
      const index = this.#controllers.length;
      indexes.set(buses.start, index);
      this.#controllers.push({
        '@type': 'pci',
        '@index': String(index),
        '@model': kind === 'root-port' ? 'pcie-root-port' : 'pcie-to-pci-bridge',
        ...(kind === 'root-port'
          ? { target: { '@chassis': String(index), '@port': `0x${(rid & 0xff).toString(16)}` } }
          : {}),
        address,
      });
    }
    return indexes;
  }
}

function multifunction(model: Model, { location }: PciEndpoint): boolean {
  const slot = location.rids.start & ~7;
  return pciEndpoints(model).some(
    (other) =>
      other.location.host === location.host &&
      other.location.rids.start !== location.rids.start &&
      (other.location.rids.start & ~7) === slot,
  );
}

/** `iommu='on'` is VIRTIO_F_ACCESS_PLATFORM. */
function driver(device: EndpointDevice, more: Element = {}): Element {
  if (!device.kind.startsWith('virtio-')) return more;
  return { ...more, '@iommu': device.accessPlatform ? 'on' : 'off' };
}

function disk(id: string, index: number, device: EndpointDevice, address: Element): Element {
  return {
    '@type': 'file',
    '@device': 'disk',
    driver: driver(device, { '@name': 'qemu', '@type': 'raw' }),
    source: { '@file': `/path/to/${id}.img` },
    target: { '@dev': `vd${letters(index)}`, '@bus': 'virtio' },
    address,
  };
}

/** `a` … `z`, `aa` …, as Linux names disks. */
function letters(index: number): string {
  const last = String.fromCodePoint(97 + (index % 26));
  return index < 26 ? last : `${letters(Math.floor(index / 26) - 1)}${last}`;
}

function nic(device: EndpointDevice, address: Element): Element {
  const virtio = device.kind === 'virtio-net';
  return {
    '@type': 'user',
    model: { '@type': virtio ? 'virtio' : 'e1000e' },
    ...(virtio ? { driver: driver(device) } : {}),
    address,
  };
}

function rng(device: EndpointDevice, address: Element): Element {
  return {
    '@model': 'virtio',
    driver: driver(device),
    backend: { '@model': 'random', '#text': '/dev/urandom' },
    address,
  };
}

function hostdev(address: Element): Element {
  const nowhere = { '@domain': '0x0000', '@bus': '0x00', '@slot': '0x00', '@function': '0x0' };
  return {
    '@mode': 'subsystem',
    '@type': 'pci',
    '@managed': 'yes',
    source: { address: nowhere },
    address,
  };
}

function iommus(model: Model, buses: Buses): Element[] {
  return model.viommus.slice(0, 1).flatMap(({ transport }) => {
    if (transport.kind !== 'pci') return [];
    const address = buses.address(transport.host, transport.rid, false);
    return address === undefined ? [] : [{ '@model': 'virtio', address }];
  });
}

function viommuLosses(model: Model): Loss[] {
  const lossesOf = (viommu: Viommu, index: number): Loss[] => {
    const { id, transport, bootBypass } = viommu;
    if (index > 0) return [{ subject: id, text: 'libvirt has one <iommu> in a domain' }];
    if (transport.kind === 'mmio') {
      return [{ subject: id, text: 'libvirt has no virtio-iommu over virtio-mmio; left out' }];
    }
    return bootBypass
      ? []
      : [{ subject: id, text: 'boot-bypass cannot be switched off; QEMU has it on' }];
  };
  return model.viommus.flatMap(lossesOf);
}

function machineLosses(model: Model): Loss[] {
  const { overrides, acpi } = model.firmware;
  return [
    ...(model.board === 'emulator'
      ? [{ text: 'the board is not one of QEMU’s: it becomes virt' }]
      : []),
    ...(acpi && model.arch === 'x86-64'
      ? [{ text: 'VIOT is the one that QEMU makes, not ours (firmware.overrides have no effect)' }]
      : overrides === undefined || model.firmware.deviceTree
        ? []
        : [{ text: 'firmware.overrides have no effect' }]),
    ...model.hosts.flatMap(({ kind, id }): Loss[] =>
      kind === 'root' ? [] : [{ subject: id, text: 'the extra host bridge is left out' }],
    ),
    ...model.endpoints.flatMap(({ id, device, location }): Loss[] =>
      device !== undefined && location.kind === 'platform'
        ? [{ subject: id, text: 'a platform device; it is left out' }]
        : [],
    ),
    ...model.reserved.flatMap(({ id, via }): Loss[] =>
      via.includes('probe')
        ? [{ subject: id, text: 'reserved regions of PROBE cannot be given' }]
        : [],
    ),
  ];
}
