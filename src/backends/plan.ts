import { deviceAt, type Aim, type GuestAction } from '../guest/index.ts';
import {
  expectedEndpoints,
  expectedRegions,
  rebindable,
  type ExpectedEndpoint,
} from '../scenario/index.ts';
import { isHotplugged, type Endpoint, type GuestCheck, type Model } from '../topology/index.ts';
import { transfers } from './transfer.ts';
import { userspaceCheck, userspaceEndpoints, VFIO_MODULES } from './userspace.ts';

/**
 * Bytes read from each disk, from its start: a request of 64 pages, each mapped for itself. The guest sums
 * them up with the CPU alone, at 60 instructions a byte.
 */
export const DISK_READ_BYTES = 256 * 1024;

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
  options: PlanOptions = {},
): GuestAction[] {
  const { patience = PATIENCE, skipped = [], reboot = false, waits = false } = options;
  const checked = (endpoint: Endpoint): GuestAction[] => {
    const at = planName(endpoint);
    if (at === undefined) return [];
    if (endpoint.guestDriver !== undefined) return userspaceCheck(model, endpoint, at);
    const timeout = works(model, endpoint) ? patience : Math.min(patience, IMPATIENCE);
    const address = options.addresses?.get(endpoint.id);
    return checks(endpoint, at, { size: diskBytes(endpoint.id), timeout, address });
  };
  const plugged = skipped.includes('hotplug') ? [] : model.endpoints.filter(isPlugged(model));
  return [
    { verb: 'firmware' },
    { verb: 'modules' },
    { verb: 'inventory' },
    ...atEach(plugged, (at) => [{ verb: 'plug', at, timeout: patience }]),
    ...model.endpoints.flatMap(checked),
    ...aims(model),
    ...(skipped.includes('transfer') ? [] : transfers(model, planName)),
    ...(skipped.includes('rebind') ? [] : rebind(model, checked, patience, waits)),
    { verb: 'inventory' },
    ...(reboot ? [{ verb: 'reboot' } as const] : []),
  ];
}

export interface PlanOptions {
  /** Seconds that the guest waits for each device; default {@link PATIENCE}. */
  readonly patience?: number | undefined;
  /** Checks that the backend cannot make. */
  readonly skipped?: readonly GuestCheck[];
  /** Whether the guest reboots in the end. */
  readonly reboot?: boolean;
  /**
   * Whether it stands still, until somebody answers, where the machine is looked into: on a backend
   * that hears of a line of the report when the guest is past it.
   */
  readonly waits?: boolean;
  /** What NICs give themselves and ping, by endpoint; default: as on QEMU's user network. */
  readonly addresses?: ReadonlyMap<string, NicAddress>;
}

interface NicAddress {
  /** With prefix length. */
  readonly address: string;
  readonly target: string;
}

function atEach(
  endpoints: readonly Endpoint[],
  actions: (at: string) => GuestAction[],
): GuestAction[] {
  return endpoints.flatMap((endpoint) => {
    const at = planName(endpoint);
    return at === undefined ? [] : actions(at);
  });
}

function isPlugged(model: Model): (endpoint: Endpoint) => boolean {
  return (endpoint) => endpoint.device !== undefined && isHotplugged(model, endpoint);
}

/** All drivers are unbound before the first comes back: endpoints of one group share a domain. */
function rebind(
  model: Model,
  checked: (endpoint: Endpoint) => GuestAction[],
  patience: number,
  waits: boolean,
): GuestAction[] {
  const endpoints = rebindable(model).map(({ endpoint }) => endpoint);
  return [
    ...atEach(endpoints, (at) => [
      { verb: 'unbind', at },
      ...(waits ? [{ verb: 'await', tag: 'unbound' } as const] : []),
    ]),
    ...atEach(endpoints, (at) => [
      { verb: 'bind', at },
      { verb: 'wait', at, timeout: patience },
    ]),
    ...endpoints.flatMap(checked),
  ];
}

/** A DMA that must fault. */
export interface AimedDma {
  readonly aim: Aim;
  readonly dir: 'read' | 'write';
}

/** What an engine that a vIOMMU translates is aimed at; nothing for other endpoints. */
export function aimsOf(model: Model, endpoint: Endpoint): AimedDma[] {
  const all = expectedEndpoints(model).filter(({ translated }) => translated);
  const one = all.find(({ id }) => id === endpoint.id);
  const engine = endpoint.device?.kind === 'dma-engine';
  // A program in the guest's user space does it there.
  if (endpoint.guestDriver !== undefined) return [];
  if (one === undefined || !engine || one.groupTypes.includes('identity')) return [];
  const both = (aim: Aim): AimedDma[] => [
    { aim, dir: 'write' },
    { aim, dir: 'read' },
  ];
  const others = all.filter(({ viommu, maps }) => maps && viommu === one.viommu);
  const isMate = ({ groupKey }: ExpectedEndpoint): boolean => groupKey === one.groupKey;
  const shares = others.some(isMate);
  const regions = expectedRegions(model, [endpoint]);
  return [
    ...both('unmapped'),
    ...(regions.some(({ type }) => type === 'reserved') ? both('reserved') : []),
    // Domains hand out the same addresses: one that others map in would have all of them.
    ...(others.length > 0 && !shares ? both('foreign') : []),
    // What was sent last stays mapped for reading, see `moduleParameters`.
    ...(others.some((other) => isMate(other) && isNic(other.endpoint))
      ? [{ aim: 'read-only', dir: 'write' } as const]
      : []),
  ];
}

/** Messages of faults that Linux prints in five seconds (DEFAULT_RATELIMIT_BURST, less one). */
const BURST = 9;

function aims(model: Model): GuestAction[] {
  const all = model.endpoints.flatMap((endpoint) =>
    aimsOf(model, endpoint).flatMap((aimed) =>
      atEach([endpoint], (at) => [{ verb: 'dma', at, ...aimed }]),
    ),
  );
  return all.flatMap((action, index): GuestAction[] =>
    index > 0 && index % BURST === 0 ? [{ verb: 'sleep', seconds: 6 }, action] : [action],
  );
}

function isNic({ device }: Endpoint): boolean {
  return device?.kind === 'virtio-net';
}

/**
 * Parameters of modules. Without NAPI for transmission virtio_net unmaps a packet only when it sends
 * the next: in the group of a DMA engine there is then something that may be read and not written.
 */
export function moduleParameters(model: Model): Map<string, string> {
  const engine = model.endpoints.some(({ device }) => device?.kind === 'dma-engine');
  return new Map(engine ? [['virtio_net', 'napi_tx=0']] : []);
}

/** Kernel parameters that a topology asks for. */
export function kernelParameters({ guest }: Model): string[] {
  switch (guest.defaultDomain) {
    case 'identity':
      return ['iommu.passthrough=1'];
    case 'strict':
      return ['iommu.passthrough=0', 'iommu.strict=1'];
    case 'lazy':
      return ['iommu.passthrough=0', 'iommu.strict=0'];
    default:
      return [];
  }
}

function works(model: Model, { id }: Endpoint): boolean {
  return model.expect.endpoints[id]?.works ?? true;
}

interface CheckOptions {
  /** Bytes of a disk. */
  readonly size: bigint;
  readonly timeout: number;
  readonly address: NicAddress | undefined;
}

function checks(
  endpoint: Endpoint,
  at: string,
  { size, timeout, address }: CheckOptions,
): GuestAction[] {
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
      return [{ verb: 'nic', at, timeout, ...address }];
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
  'dma-engine': ['pci_stub'],
};

/** The modules a topology's guest cannot do without. */
export function modulesFor(model: Model): string[] {
  const names = new Set(['virtio_iommu', 'virtio_pci']);
  const mmio =
    model.viommus.some(({ transport }) => transport.kind === 'mmio') ||
    model.endpoints.some(({ location }) => location.kind === 'platform');
  if (mmio) names.add('virtio_mmio');
  if (userspaceEndpoints(model).length > 0) for (const name of VFIO_MODULES) names.add(name);
  for (const { device } of model.endpoints) {
    for (const name of DRIVERS[device?.kind ?? ''] ?? []) names.add(name);
  }
  return [...names];
}
