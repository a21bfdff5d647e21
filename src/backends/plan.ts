import { deviceAt, type GuestAction } from '../guest/index.ts';
import type { Endpoint, Model } from '../topology/index.ts';

/** Bytes read from each disk, from its start. */
export const DISK_READ_BYTES = 1024 * 1024;

/** Bytes written to each disk, from its middle: away from what is read. */
export const DISK_WRITE_BYTES = 64 * 1024;

/** Seconds for one action. A deferred probe gives up after ten, and is to be seen doing so. */
export const PATIENCE = 15;

/** For a device that is expected not to work. */
const IMPATIENCE = 5;

/** Where the plan finds an endpoint; undefined for ranges and whole buses. */
export function planName(endpoint: Endpoint): string | undefined {
  const { location } = endpoint;
  if (location.kind === 'platform') return deviceAt({ base: location.base });
  if (location.form !== 'function') return undefined;
  return deviceAt({ segment: location.segment, requesterId: location.rids.start });
}

/**
 * What the guest is to do for a topology's promises. The inventory comes twice: once in case the
 * tests hang, and once when every device has had the time to come up.
 */
export function bootPlan(
  model: Model,
  diskBytes: (endpoint: string) => bigint,
  patience: number = PATIENCE,
): GuestAction[] {
  const actions: GuestAction[] = [{ verb: 'firmware' }, { verb: 'modules' }, { verb: 'inventory' }];
  for (const endpoint of model.endpoints) {
    const at = planName(endpoint);
    if (at !== undefined)
      actions.push(
        ...checks(
          endpoint,
          at,
          diskBytes(endpoint.id),
          works(model, endpoint) ? patience : Math.min(patience, IMPATIENCE),
        ),
      );
  }
  return [...actions, { verb: 'inventory' }];
}

function works(model: Model, { id }: Endpoint): boolean {
  return model.expect.endpoints[id]?.works ?? true;
}

function checks(endpoint: Endpoint, at: string, size: bigint, timeout: number): GuestAction[] {
  switch (endpoint.device?.kind) {
    case 'virtio-blk':
    case 'nvme': {
      const bytes = Number(size < BigInt(DISK_READ_BYTES) ? size : BigInt(DISK_READ_BYTES));
      const middle = Number((size / 2n / 4096n) * 4096n);
      const room = Math.min(DISK_WRITE_BYTES, Number(size) - middle);
      return [
        { verb: 'disk', at, bytes, timeout },
        { verb: 'write', at, offset: middle, bytes: room, seed: endpoint.id, timeout },
      ];
    }
    case 'virtio-net':
    case 'e1000e':
      return [{ verb: 'nic', at, timeout }];
    case 'edu':
      return [
        { verb: 'edu', at, dir: 'write' },
        { verb: 'edu', at, dir: 'read' },
      ];
    default:
      return [];
  }
}

/** Modules by the kind of device that needs them. */
const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  'virtio-blk': ['virtio_blk'],
  'virtio-net': ['virtio_net'],
  'virtio-rng': ['virtio_rng'],
  e1000e: ['e1000e'],
  nvme: ['nvme'],
  xhci: ['xhci_pci'],
  edu: ['pci_stub'],
};

/** The modules a topology's guest cannot do without. */
export function modulesFor(model: Model): string[] {
  const names = new Set(['virtio_iommu', 'virtio_pci']);
  const mmio =
    model.viommus.some(({ transport }) => transport.kind === 'mmio') ||
    model.endpoints.some(({ location }) => location.kind === 'platform');
  if (mmio) names.add('virtio_mmio');
  for (const { device } of model.endpoints) {
    for (const name of DRIVERS[device?.kind ?? ''] ?? []) names.add(name);
  }
  return [...names];
}
