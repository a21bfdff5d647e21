import type { Device, ModelGuest } from '../driver/index.ts';
import { classify } from '../guest/index.ts';
import type {
  GuestDevice,
  GuestObservation,
  LogLine,
  NicObservation,
  DiskObservation,
  FaultCheckObservation,
  OverlapObservation,
  PlugObservation,
  RebindObservation,
} from '../scenario/index.ts';

/** What came of the checks of a run. */
export interface Checked {
  readonly disks: readonly DiskObservation[];
  readonly nics: readonly NicObservation[];
  readonly faultChecks: readonly FaultCheckObservation[];
  readonly overlaps: readonly OverlapObservation[];
  readonly rebinds: readonly RebindObservation[];
  readonly plugs: readonly PlugObservation[];
}

/** Kernel messages with what they mean to this project. There is no clock: they have no time. */
export function logLines(lines: readonly string[]): LogLine[] {
  return lines.map((text): LogLine => {
    const event = classify(text);
    if (event === undefined) return { text };
    const { code, endpoint, address, device } = event;
    return {
      text,
      meaning: {
        code,
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(address === undefined ? {} : { address }),
        ...(device === undefined ? {} : { device }),
      },
    };
  });
}

/** The model guest in the words that all backends share. */
export function observeModel(
  guest: ModelGuest,
  release: string,
  checked: Checked,
): GuestObservation {
  const { viommus, groups } = guest.iommus;
  return {
    started: true,
    completed: true,
    kernel: release,
    iommus: viommus.map((viommu) => ({
      name: viommu.name,
      device: viommu.name,
      endpoints: Array.from(viommu.devices, ({ name }) => name),
    })),
    groups: groups.map((group) => ({
      id: group.id,
      type: group.type,
      devices: Array.from(group.devices, ({ name }) => name),
      reserved: group.regions(),
    })),
    devices: guest.devices.filter(isThere).map((device) => deviceOf(guest, device)),
    deferred: guest.devices.flatMap(({ name, deferred }) =>
      deferred === undefined ? [] : [{ device: name, reason: deferred }],
    ),
    ...checked,
    log: logLines(guest.log.lines),
  };
}

/** A virtio-mmio slot with nothing in it is no device. */
function isThere({ pci, driver, deferred }: Device): boolean {
  return pci !== undefined || driver !== undefined || deferred !== undefined;
}

function deviceOf(guest: ModelGuest, device: Device): GuestDevice {
  const { name, driver, group, pci, interrupts } = device;
  const iommu = guest.iommus.viommus.find(({ devices }) => devices.has(device));
  return {
    name,
    ...(driver === undefined ? {} : { driver: driver.name }),
    ...(group === undefined ? {} : { group: group.id }),
    ...(iommu === undefined ? {} : { iommu: iommu.name }),
    ...(pci === undefined ? {} : { interrupts: { ...interrupts } }),
  };
}
