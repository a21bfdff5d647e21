import { contains } from '../../bytes/index.ts';
import type { Endpoint, GuestCheck, Model } from '../model.ts';
import type { Context } from './context.ts';
import { CHECK_WITHOUT_DEVICE, GUEST_DRIVER } from './problems.ts';

/** Below a port that takes devices at run time, in a topology that asks for that to be tried. */
export function isHotplugged(model: Model, { location }: Endpoint): boolean {
  if (location.kind !== 'pci' || !model.guest.checks.includes('hotplug')) return false;
  const bus = location.rids.start >>> 8;
  const host = model.hosts.find(({ id }) => id === location.host);
  return host?.bridges.some(({ hotplug, buses }) => hotplug && contains(buses, bus)) ?? false;
}

/** Says which checks have nothing that they could be tried with. */
export function checkChecks(context: Context, model: Model): void {
  const devices = model.endpoints.filter(({ device }) => device !== undefined);
  const missing: Readonly<Partial<Record<GuestCheck, string | undefined>>> = {
    rebind: devices.some(({ viommu }) => viommu !== undefined)
      ? undefined
      : 'no device is behind a vIOMMU',
    hotplug: devices.some((endpoint) => isHotplugged(model, endpoint))
      ? undefined
      : 'no device is below a port with `hotplug: true`',
    transfer: devices.some(({ device }) => device?.kind === 'virtio-net')
      ? undefined
      : 'no device is a virtio-net',
  };
  for (const check of model.guest.checks) {
    const why = missing[check];
    if (why === undefined) continue;
    const place = context.place('guest', 'checks');
    context.report(CHECK_WITHOUT_DEVICE, place, `there is nothing to ${check}: ${why}`);
  }
}

/** Says which devices cannot be handed to a program in the guest's user space. */
export function checkGuestDrivers(context: Context, model: Model): void {
  for (const endpoint of model.endpoints) {
    const { id, guestDriver, places, place } = endpoint;
    const wrong = guestDriver === undefined ? undefined : undrivable(model, endpoint);
    if (wrong === undefined) continue;
    context.report(GUEST_DRIVER, places['guest-driver'] ?? place, `"${id}" ${wrong}`);
  }
}

/** Pages that the program of qemu/vfio-dma knows. */
const PROGRAM_PAGE = 4096n;

function undrivable(model: Model, { id, device, location, viommu }: Endpoint): string | undefined {
  if (device?.kind !== 'dma-engine')
    return `is ${device === undefined ? 'no device' : `a ${device.kind}`}`;
  if (location.kind !== 'pci' || location.form !== 'function') return 'is no single PCI function';
  if (viommu === undefined) return 'bypasses';
  if (model.guest.pageSize !== PROGRAM_PAGE) return 'needs a guest with pages of 4 KiB';
  const slot = location.rids.start & ~7;
  const other = model.endpoints.find(
    (one) =>
      one.id !== id &&
      one.device !== undefined &&
      one.guestDriver === undefined &&
      one.location.kind === 'pci' &&
      one.location.host === location.host &&
      one.location.rids.start <= slot + 7 &&
      one.location.rids.end >= slot,
  );
  return other === undefined ? undefined : `shares its group with "${other.id}"`;
}
