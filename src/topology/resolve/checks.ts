import { contains } from '../../bytes/index.ts';
import type { Endpoint, GuestCheck, Model } from '../model.ts';
import type { Context } from './context.ts';
import { CHECK_WITHOUT_DEVICE } from './problems.ts';

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
  };
  for (const check of model.guest.checks) {
    const why = missing[check];
    if (why === undefined) continue;
    const place = context.place('guest', 'checks');
    context.report(CHECK_WITHOUT_DEVICE, place, `there is nothing to ${check}: ${why}`);
  }
}
