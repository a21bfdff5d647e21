import { contains, hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import { VIRT_MMIO_SIZE } from '../../spec/virt-board.ts';
import type {
  Board,
  Endpoint,
  EndpointDevice,
  PciHost,
  PciLocation,
  PlatformLocation,
} from '../model.ts';
import { nearest } from '../nearest.ts';
import { DEVICE_KEYS, type EndpointInput } from '../schema/endpoint.ts';
import { UNKNOWN_KEY } from '../schema/problems.ts';
import { slotInterrupt } from './boards.ts';
import type { Context } from './context.ts';
import { hostOf } from './hosts.ts';
import {
  BOARD_LACKS,
  BUS_WITHOUT_BRIDGE,
  ENDPOINT_ID_RANGE,
  INTERRUPT_UNSTATED,
  NOT_TRANSLATED,
  ONE_LOCATION,
} from './problems.ts';
import { passthroughOf } from './passthrough.ts';
import { checkDisk } from './sizes.ts';

const DISK_SIZE_DEFAULT = 16n << 20n;
const SEGMENT = 0x1_0000;
const ID_MAX = 0xffff_ffff;

export function resolveEndpoints(
  context: Context,
  board: Board,
  hosts: readonly PciHost[],
): Endpoint[] {
  const platformIds = new PlatformIds(hosts, context.input.endpoints ?? []);
  return (context.input.endpoints ?? []).flatMap((input, index) => {
    if (!context.define('endpoint', input.id, context.idPlace('endpoints', index))) return [];
    const location = locate(context, board, hosts, input, index);
    if (location === undefined) return [];
    const host = location.kind === 'pci' ? hosts.find((h) => h.id === location.host) : undefined;
    const viommu =
      input.viommu === undefined
        ? host?.viommu
        : context.lookUp(['vIOMMU'], input.viommu, context.place('endpoints', index, 'viommu'));
    const endpointId =
      viommu === undefined ? undefined : idOf(context, input, index, location, host, platformIds);
    if (viommu === undefined && input['endpoint-id'] !== undefined) {
      const place = context.place('endpoints', index, 'endpoint-id');
      context.report(NOT_TRANSLATED, place, `"${input.id}" has an endpoint ID, but bypasses`);
    }
    const device = deviceOf(context, input, index, viommu !== undefined);
    if (device !== undefined && location.kind === 'pci' && host !== undefined) {
      checkReachable(context, host, location, input, index);
    }
    return [
      {
        id: input.id,
        location,
        ...(device === undefined ? {} : { device }),
        ...(viommu === undefined ? {} : { viommu }),
        ...(endpointId === undefined ? {} : { endpointId }),
        ...passthroughOf(input),
        ...(input['guest-driver'] === undefined ? {} : { guestDriver: input['guest-driver'] }),
        explicitId: input['endpoint-id'] !== undefined,
        place: context.idPlace('endpoints', index),
        places: context.places('endpoints', index),
      },
    ];
  });
}

/** IDs for platform devices: above all PCI segments, past IDs that the file states. */
class PlatformIds {
  #next: number;
  readonly #stated: ReadonlySet<number>;

  constructor(hosts: readonly PciHost[], endpoints: readonly EndpointInput[]) {
    const above = hosts.map((host) =>
      Math.max(
        (host.segment + 1) * SEGMENT,
        Math.ceil(host.endpointIdBase / SEGMENT) * SEGMENT + SEGMENT,
      ),
    );
    this.#next = above.reduce((a, b) => Math.max(a, b), 0);
    this.#stated = new Set(endpoints.flatMap((e) => e['endpoint-id'] ?? []));
  }

  take(): number {
    while (this.#stated.has(this.#next)) this.#next++;
    return this.#next++;
  }
}

function idOf(
  context: Context,
  input: EndpointInput,
  index: number,
  location: PciLocation | PlatformLocation,
  host: PciHost | undefined,
  platformIds: PlatformIds,
): number {
  const first = location.kind === 'pci' ? location.rids.start : 0;
  const count = location.kind === 'pci' ? location.rids.end - location.rids.start : 0;
  const stated = input['endpoint-id'];
  const id =
    stated ?? (location.kind === 'pci' ? (host?.endpointIdBase ?? 0) + first : platformIds.take());
  if (id + count > ID_MAX) {
    const message = `the last endpoint ID of "${input.id}" would be ${hex(id + count)}`;
    if (stated !== undefined) {
      const place = context.place('endpoints', index, 'endpoint-id');
      context.report(ENDPOINT_ID_RANGE, place, message, { cure: 'lower its `endpoint-id`' });
    } else {
      // An ID that is not in the file cannot be lowered there.
      const cure =
        host === undefined
          ? 'state an `endpoint-id` that nothing else has'
          : `lower \`endpoint-id-base\` of the host "${host.id}", or state an \`endpoint-id\``;
      context.report(ENDPOINT_ID_RANGE, context.idPlace('endpoints', index), message, { cure });
    }
    context.partial = true;
  }
  return id;
}

function locate(
  context: Context,
  board: Board,
  hosts: readonly PciHost[],
  input: EndpointInput,
  index: number,
): PciLocation | PlatformLocation | undefined {
  const given = (['at', 'buses', 'mmio'] as const).filter((key) => input[key] !== undefined);
  if (given.length !== 1) {
    const what = given.length === 0 ? 'no location' : `both \`${given.join('` and `')}\``;
    const message = `the endpoint "${input.id}" has ${what}`;
    context.report(ONE_LOCATION, context.idPlace('endpoints', index), message);
    return undefined;
  }
  if (input.mmio !== undefined) return platform(context, board, input, input.mmio, index);
  const place = context.place('endpoints', index, given[0] ?? 'at');
  const [segment, rids, form] = pciPart(input);
  const host = hostOf(context, hosts, segment, rids, place);
  return host && { kind: 'pci', host: host.id, segment, rids, form };
}

function pciPart(
  input: EndpointInput,
): [number, { start: number; end: number }, PciLocation['form']] {
  if (input.at !== undefined) {
    const { segment, start, end, single } = input.at;
    return [segment ?? input.segment ?? 0, { start, end }, single ? 'function' : 'range'];
  }
  const { start, end } = input.buses ?? { start: 0, end: 0 };
  return [input.segment ?? 0, { start: start << 8, end: (end << 8) | 0xff }, 'buses'];
}

function platform(
  context: Context,
  board: Board,
  input: EndpointInput,
  base: bigint,
  index: number,
): PlatformLocation {
  const place = context.place('endpoints', index, 'mmio');
  if (board === 'q35') {
    const message = `q35 has no platform bus for the endpoint "${input.id}"`;
    context.report(BOARD_LACKS, place, message, {
      cure: 'put it at a PCI function: `at: 00:02.0`',
    });
  }
  const kind = input.device?.kind;
  const virtio = kind?.startsWith('virtio-') ?? false;
  const interrupt = input.interrupt ?? slotInterrupt(base);
  if (interrupt === undefined && virtio) {
    const message = `${hex(base)} is no virtio-mmio slot: its interrupt is not known`;
    context.report(INTERRUPT_UNSTATED, place, message);
  }
  return {
    kind: 'platform',
    base,
    size: input.size ?? VIRT_MMIO_SIZE,
    ...(interrupt === undefined ? {} : { interrupt }),
    compatible: input.compatible ?? [
      virtio ? 'virtio,mmio' : `viommu-topo,${kind ?? 'dma-engine'}`,
    ],
  };
}

function deviceOf(
  context: Context,
  input: EndpointInput,
  index: number,
  translated: boolean,
): EndpointDevice | undefined {
  if (input.device === undefined) return undefined;
  const { kind, size, bootable, 'access-platform': accessPlatform, ...options } = input.device;
  for (const key of Object.keys(options)) {
    const meant = nearest(key, DEVICE_KEYS);
    if (meant === undefined) continue;
    const place = context.keyPlace('endpoints', index, 'device', key);
    context.report(UNKNOWN_KEY, place, `unknown key "${key}" (did you mean "${meant}"?)`);
  }
  const disk = kind === 'virtio-blk' || kind === 'nvme';
  if (disk && size !== undefined) checkDisk(context, input.id, size, index);
  const bytes = size ?? (disk ? DISK_SIZE_DEFAULT : undefined);
  return {
    kind,
    accessPlatform: accessPlatform ?? translated,
    bootable: bootable ?? false,
    ...(bytes === undefined ? {} : { size: bytes }),
    options,
  };
}

/** A device that is really there must be where the guest's enumeration comes by. */
function checkReachable(
  context: Context,
  host: PciHost,
  location: PciLocation,
  input: EndpointInput,
  index: number,
): void {
  const bus = location.rids.start >> 8;
  if (bus === host.buses.start || host.bridges.some((b) => contains(b.buses, bus))) return;
  const where = showBdf(location.rids.start, location.segment);
  const message = `"${input.id}" at ${where}: no bridge of "${host.id}" leads to that bus`;
  const related = [{ place: host.place, message: `"${host.id}" is here` }];
  context.report(BUS_WITHOUT_BRIDGE, context.place('endpoints', index, 'at'), message, { related });
}
