import { intersection, type Range } from '../../bytes/index.ts';
import {
  VIRTIO_IOMMU_MAP_F_READ,
  VIRTIO_IOMMU_MAP_F_WRITE,
  VIRTIO_IOMMU_S_OK,
} from '../../spec/virtio-iommu.ts';
import type { Device } from '../device.ts';
import { DirectMapper } from '../dma.ts';
import type { IommuAnswer } from '../firmware/view.ts';
import type { Kernel } from '../kernel.ts';
import { groupKeyOf } from '../pci/function.ts';
import { Domain } from './domain.ts';
import { IommuGroup, type GroupRegion } from './group.ts';
import { IommuMapper } from './mapper.ts';
import type { Viommu } from './viommu.ts';

/** Where Linux puts doorbells that it maps by itself, when the device names no MSI region. */
const SW_MSI: Range = { start: 0x800_0000n, end: 0x80f_ffffn };

/** What came of looking for a device's IOMMU. */
export type Configured = 'done' | 'deferred' | 'failed';

/** IOMMUs, groups and default domains: what `drivers/iommu/iommu.c` is to Linux. */
export class IommuManager {
  readonly viommus: Viommu[] = [];
  readonly groups: IommuGroup[] = [];
  /** `identity`: default domains pass (iommu.passthrough). */
  readonly defaultType: 'DMA' | 'identity';
  readonly #kernel: Kernel;
  readonly #byKey = new Map<string, IommuGroup>();
  #nextGroup = 0;

  constructor(kernel: Kernel, defaultType: 'DMA' | 'identity') {
    this.#kernel = kernel;
    this.defaultType = defaultType;
  }

  register(viommu: Viommu): void {
    this.viommus.push(viommu);
  }

  unregister(viommu: Viommu): void {
    this.viommus.splice(this.viommus.indexOf(viommu), 1);
    for (const device of viommu.devices) this.#forget(device);
    viommu.devices.clear();
  }

  /**
   * Finds the device's IOMMU, as its driver is about to be bound (of_iommu_configure,
   * viot_iommu_configure). A device without one does its DMA directly, and nothing is said of it.
   *
   * @param patience false: an IOMMU that is not there by now is taken for none
   */
  configure(device: Device, patience: boolean): Configured {
    if (device.group !== undefined) return 'done';
    const answer = this.#kernel.firmware.iommu(device.asker);
    if (answer.kind === 'none') return 'done';
    const viommu = this.viommus.find(({ key }) => key === answer.key);
    if (viommu !== undefined) return this.#probe(device, viommu, answer);
    if (patience) return 'deferred';
    this.#kernel.log.print(`${device.logName}: deferred probe timeout, ignoring dependency`);
    return 'done';
  }

  /** The device leaves (iommu_release_device): DETACH, and out of its group. */
  release(device: Device): void {
    const { group } = device;
    if (group === undefined) return;
    const alone = group.devices.size === 1;
    for (const id of device.endpointIds) group.domain.detach(id);
    this.#kernel.log.print(`${device.logName}: Removing from iommu group ${group.id}`);
    for (const viommu of this.viommus) viommu.devices.delete(device);
    this.#forget(device);
    if (alone) group.domain.viommu.freeDomain(group.domain.id);
  }

  #forget(device: Device): void {
    const { group } = device;
    group?.remove(device);
    if (group !== undefined && group.devices.size === 0) {
      this.groups.splice(this.groups.indexOf(group), 1);
      for (const [key, other] of this.#byKey) if (other === group) this.#byKey.delete(key);
    }
    device.group = undefined;
    device.endpointIds = [];
    device.dma = new DirectMapper(this.#kernel.ram);
  }

  #probe(
    device: Device,
    viommu: Viommu,
    answer: Extract<IommuAnswer, { kind: 'iommu' }>,
  ): Configured {
    const [first] = answer.ids;
    // PROBE of the first ID stands for all of them (viommu_probe_device).
    const probed = first === undefined ? undefined : viommu.probe(first);
    // An endpoint that the device does not know, or whose properties make no sense, has no IOMMU.
    if (probed === undefined) return 'done';
    const fromTree = this.#kernel.firmware.regions(device.asker);
    const msi = probed.some(({ type }) => type === 'msi');
    const regions: GroupRegion[] = [
      ...probed,
      ...(msi ? [] : [{ range: SW_MSI, type: 'msi' as const }]),
      ...fromTree,
    ];
    if (fromTree.some(({ type }) => type === 'direct') && !this.#kernel.atLeast(7, 3)) {
      // 6.12 maps direct regions before the domain has its vIOMMU; 7.3 is the first seen not to.
      this.#crash('viommu_sync_req+0x24/0x168');
      return 'failed';
    }
    const group = this.#groupOf(device, viommu);
    if (group === undefined) return 'done';
    return this.#join(device, viommu, group, { ids: answer.ids, regions, probed });
  }

  #join(
    device: Device,
    viommu: Viommu,
    group: IommuGroup,
    what: {
      readonly ids: readonly number[];
      readonly regions: readonly GroupRegion[];
      readonly probed: readonly GroupRegion[];
    },
  ): Configured {
    const { domain, mapper } = group;
    group.add(device, what.regions);
    this.#kernel.log.print(`${device.logName}: Adding to iommu group ${group.id}`);
    domain.reserved.push(...what.probed.map(({ range }) => range));
    for (const { range, type } of what.regions) {
      // The software window is for VFIO; the DMA API puts doorbells where it likes.
      if (range !== SW_MSI) mapper?.reserve(range, type === 'msi');
      if (type === 'direct') this.#mapDirect(domain, range);
    }
    const refused = what.ids.some((id) => domain.attach(id) !== VIRTIO_IOMMU_S_OK);
    if (refused) {
      group.remove(device);
      this.#kernel.log.print(`${device.logName}: Removing from iommu group ${group.id}`);
      if (group.devices.size === 0) this.#forgetGroup(group);
      return 'done';
    }
    device.group = group;
    device.endpointIds = what.ids;
    viommu.devices.add(device);
    if (mapper !== undefined) device.dma = mapper;
    return 'done';
  }

  #mapDirect(domain: Domain, { start, end }: Range): void {
    const { granule } = domain.viommu;
    const range = {
      start: (start / granule) * granule,
      end: (end / granule) * granule + granule - 1n,
    };
    domain.map(range, range.start, VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE);
  }

  /** The group a device belongs to, made with its default domain when it is the first. */
  #groupOf(device: Device, viommu: Viommu): IommuGroup | undefined {
    const key = device.pci === undefined ? device.name : groupKeyOf(device.pci);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known.domain.viommu === viommu ? known : undefined;
    const { model } = this.#kernel;
    if (viommu.granule > model.pageSize) {
      const page = `0x${model.pageSize.toString(16)}`;
      viommu.message(
        `granule 0x${viommu.granule.toString(16)} larger than system page size ${page}`,
      );
      return undefined;
    }
    const aperture = this.#aperture(device, viommu);
    if (aperture === undefined) {
      this.#kernel.log.print(`${device.logName}: specified DMA range outside IOMMU capability`);
      return undefined;
    }
    const id = viommu.takeDomain();
    if (id === undefined) return undefined;
    const bypass = this.defaultType === 'identity' && viommu.bypassConfig;
    const domain = new Domain(viommu, id, bypass);
    const mapper = bypass ? undefined : new IommuMapper(domain, this.#kernel.ram, aperture);
    const group = new IommuGroup(this.#nextGroup++, domain, mapper);
    this.groups.push(group);
    this.#byKey.set(key, group);
    return group;
  }

  #aperture({ pci }: Device, { inputRange }: Viommu): Range | undefined {
    const dma = pci?.host.dma;
    return dma === undefined ? inputRange : intersection(inputRange, dma);
  }

  #forgetGroup(group: IommuGroup): void {
    this.groups.splice(this.groups.indexOf(group), 1);
    for (const [key, other] of this.#byKey) if (other === group) this.#byKey.delete(key);
    group.domain.viommu.freeDomain(group.domain.id);
  }

  #crash(place: string): void {
    this.#kernel.log.print(
      'Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000',
    );
    this.#kernel.log.print(`pc : ${place} [virtio_iommu]`);
  }
}
