import { hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Finding, Model, PciHost, Place } from '../../topology/index.ts';
import { busName, busNumbers } from '../bus-numbers.ts';
import { qemuDevice } from '../devices.ts';
import { Q35, VIRT, virtioMmioSlot } from '../virt-board.ts';
import { MODEL_BACKEND, type PreflightRule, type Wish } from './rule.ts';

const onQemu = (model: Model): boolean => model.board !== 'emulator';

/** QEMU derives the endpoint ID from the bus a device sits on: it is the requester ID, 16 bits. */
function* ids({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  for (const row of model.coverage) {
    if (row.endpointId === row.rids.start) continue;
    const first = showBdf(row.rids.start, row.segment);
    yield {
      place: row.place,
      message: `${first} has endpoint ID ${hex(row.endpointId)}; QEMU knows it as ${hex(row.rids.start)}`,
    };
  }
}

function* platform({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  for (const endpoint of model.endpoints) {
    const { location, device } = endpoint;
    if (location.kind !== 'platform') continue;
    const at = endpoint.places['mmio'] ?? endpoint.place;
    if (endpoint.viommu !== undefined) {
      yield { place: at, message: `${endpoint.id} is a platform device behind ${endpoint.viommu}` };
    } else if (device !== undefined) {
      const slot = model.board === 'virt' ? virtioMmioSlot(location.base) : undefined;
      if (slot === undefined || !device.kind.startsWith('virtio-')) {
        yield {
          place: at,
          message: `${endpoint.id}: QEMU's ${model.board} has no ${device.kind} at ${hex(location.base)}`,
          cure: 'Use a virtio device in one of the virtio-mmio slots of virt, or boot it with `--backend model`.',
        };
      }
    }
  }
}

function* kinds({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  for (const { id, device, place, places } of model.endpoints) {
    if (device === undefined || qemuDevice(device.kind) !== undefined) continue;
    yield {
      place: places['device'] ?? place,
      message: `${id} is a ${device.kind}, which QEMU does not have`,
    };
  }
}

/** The simulated host IOMMU is ours; QEMU's `vfio-pci` needs a device of this very machine. */
function* passedThrough({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  for (const { id, passthrough, place, places } of model.endpoints) {
    if (passthrough === undefined) continue;
    yield { place: places['passthrough'] ?? place, message: `${id} is passed through from a host` };
  }
}

function* conventional({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  for (const endpoint of model.endpoints) {
    const { location } = endpoint;
    if (location.kind !== 'pci' || endpoint.device === undefined || endpoint.viommu === undefined)
      continue;
    const host = model.hosts.find((candidate) => candidate.id === location.host);
    const bridge = host?.bridges.find(
      ({ kind, buses }) =>
        kind === 'pcie-pci-bridge' &&
        buses.start <= location.rids.start >> 8 &&
        location.rids.start >> 8 <= buses.end,
    );
    if (bridge === undefined) continue;
    yield {
      place: endpoint.place,
      message: `${endpoint.id} sits behind the PCIe-to-PCI bridge ${bridge.id}`,
      related: [{ place: bridge.place, message: 'the bridge' }],
    };
  }
}

/** Everything that is plugged into a slot: where, what it is called, and its place. */
function* plugged(model: Model): Iterable<{ host: string; rid: number; id: string; place: Place }> {
  for (const { transport, id, place } of model.viommus) {
    if (transport.kind === 'pci') yield { host: transport.host, rid: transport.rid, id, place };
  }
  for (const host of model.hosts) {
    for (const bridge of host.bridges)
      yield { host: host.id, rid: bridge.rid, id: bridge.id, place: bridge.place };
  }
  for (const { location, device, id, place } of model.endpoints) {
    if (location.kind !== 'pci' || device === undefined) continue;
    yield { host: location.host, rid: location.rids.start, id, place };
  }
}

/** Functions that the board itself has on its root bus; q35 is started with `sata=off`. */
function builtIn(model: Model, rid: number): string | undefined {
  if (rid >> 3 === 0) return 'the host bridge';
  if (model.board === 'q35' && rid === 0xf8) return 'the LPC bridge';
  return model.board === 'q35' && rid === 0xfb ? 'the SMBus controller' : undefined;
}

function* slots({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  const all = [...plugged(model)];
  for (const { host: hostId, rid, id, place } of all) {
    const host = model.hosts.find((candidate) => candidate.id === hostId);
    if (host === undefined) continue;
    const where = showBdf(rid, host.segment);
    const mine =
      host.kind === 'root' && rid >> 8 === host.buses.start
        ? builtIn(model, rid & 0xff)
        : undefined;
    const bridge = host.bridges.find(({ buses }) => buses.start === rid >> 8);
    if (mine !== undefined)
      yield { place, message: `${id} is at ${where}, where the board has ${mine}` };
    if (busName(model, hostId, rid) === undefined) {
      yield {
        place,
        message: `${id} is at ${where}, but no bridge of ${hostId} leads to that bus`,
      };
    }
    if (bridge?.kind === 'root-port' && ((rid >> 3) & 0x1f) !== 0) {
      yield { place, message: `${id} is at ${where}; a root port has device 0 only` };
    }
    const functionZero = rid & ~7;
    const hasZero =
      all.some((other) => other.host === hostId && other.rid === functionZero) ||
      (functionZero === 0xf8 && model.board === 'q35' && host.kind === 'root');
    if ((rid & 7) !== 0 && !hasZero) {
      yield {
        place,
        message: `${id} is at ${where}, and nothing is at function 0 of that slot`,
        effect: 'Nobody looks for the other functions of a slot whose function 0 is missing.',
        cure: 'Put a device at function 0.',
      };
    }
  }
}

function* numbers({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  for (const host of model.hosts) {
    for (const { bridge, actual } of busNumbers(host)) {
      if (bridge.buses.start === actual) continue;
      yield {
        place: bridge.place,
        message: `${bridge.id} leads to bus ${hex(bridge.buses.start, 2)}; it will be numbered ${hex(actual, 2)}`,
        cure: `Write \`buses: ${hex(actual, 2)}-…\`: depth first, bridges by device number, one number each.`,
      };
    }
  }
}

function* windows({ model }: Wish): Iterable<Finding> {
  if (!onQemu(model)) return;
  const roots = model.hosts.filter((host) => host.kind === 'root');
  for (const extra of roots.slice(1)) {
    yield {
      place: extra.place,
      message: `${extra.id} is a second root complex`,
      cure: 'Make it `kind: pxb`.',
    };
  }
  for (const host of model.hosts) yield* hostWindow(model, host);
}

function* hostWindow(model: Model, host: PciHost): Iterable<Finding> {
  const base = model.board === 'q35' ? Q35.ecam : VIRT.ecam;
  const ecam = base + VIRT.ecamPerBus * BigInt(host.buses.start);
  const { place } = host;
  if (host.ecam.start !== ecam) {
    yield {
      place,
      message: `the configuration space of ${host.id} is at ${hex(host.ecam.start)}; bus ${hex(host.buses.start, 2)} has its own at ${hex(ecam)}`,
      cure: `Write \`ecam: ${hex(ecam)}\`.`,
    };
  }
  if (host.kind === 'root' && host.buses.start !== 0) {
    yield {
      place,
      message: `${host.id} starts at bus ${hex(host.buses.start, 2)}; the board's root bus is 0`,
    };
  }
  if (host.kind === 'pxb' && host.buses.start === 0) {
    yield { place, message: `${host.id} starts at bus 0, which is the board's root bus` };
  }
  if (model.board === 'q35' && host.segment !== 0) {
    yield {
      place,
      message: `${host.id} is in segment ${host.segment}; QEMU describes segment 0 only on q35`,
    };
  }
  if (model.board !== 'virt') return;
  for (const [what, range, room] of [
    ['32-bit', host.mem32, VIRT.mem32],
    ['64-bit', host.mem64, VIRT.mem64],
  ] as const) {
    if (range !== undefined && (range.start < room.start || range.end > room.end)) {
      yield {
        place,
        message: `the ${what} window of ${host.id} leaves ${hex(room.start)}-${hex(room.end)}, where virt forwards it`,
      };
    }
  }
}

/** Devices that are named by the topology, behind something QEMU can translate. */
export const endpointRules: readonly PreflightRule[] = [
  {
    id: 'qemu-endpoint-id',
    summary: 'Endpoint IDs are requester IDs.',
    severity: 'error',
    effect:
      'PROBE answers "no such endpoint" and the device bypasses, or its DMA hangs (IDs above 16 bits).',
    cure: 'Leave `endpoint-id` out; for a host in another segment set `endpoint-id-base: 0` and give it buses of its own.',
    check: ids,
  },
  {
    id: 'qemu-platform-device',
    summary: 'No platform device is behind a vIOMMU.',
    severity: 'error',
    effect: 'QEMU never translates the DMA of virtio-mmio devices: it works, unprotected.',
    cure: `${MODEL_BACKEND} Or make it a PCI function.`,
    check: platform,
  },
  {
    id: 'qemu-device-kind',
    summary: 'Every device is one that QEMU has.',
    severity: 'error',
    effect: 'The device would be missing from the machine.',
    cure: `Use virtio-blk, virtio-net, virtio-rng, edu, e1000e, nvme or xhci. ${MODEL_BACKEND}`,
    check: kinds,
  },
  {
    id: 'qemu-passthrough',
    summary: 'No endpoint is passed through from a simulated host.',
    severity: 'error',
    effect:
      'QEMU would emulate the device: no mapping is relayed, and no limit of the host is met.',
    cure: `${MODEL_BACKEND} Or leave \`passthrough\` out.`,
    check: passedThrough,
  },
  {
    id: 'qemu-conventional-bridge',
    summary: 'Nothing behind a PCIe-to-PCI bridge is to be translated.',
    severity: 'error',
    effect:
      "QEMU knows only the bridge's requester ID; PROBE of the device fails and it bypasses, silently.",
    cure: `Use a root port. ${MODEL_BACKEND}`,
    check: conventional,
  },
  {
    id: 'qemu-slot',
    summary: 'Every function sits in a slot that the machine has free.',
    severity: 'error',
    effect: 'QEMU refuses to start, or the guest does not find the device.',
    cure: 'Choose another device number.',
    check: slots,
  },
  {
    id: 'qemu-bus-number',
    summary: 'Bus numbers are those that firmware or Linux will assign.',
    severity: 'error',
    effect: 'The description names requester IDs that nobody has; the devices bypass.',
    cure: 'Number buses depth first.',
    check: numbers,
  },
  {
    id: 'qemu-host-window',
    summary: "PCI hosts use the board's buses, segments and windows.",
    severity: 'error',
    effect: 'The guest reads configuration space where there is none.',
    cure: 'Leave the windows to the template; use `kind: pxb` with its own buses for extra hosts.',
    check: windows,
  },
];
