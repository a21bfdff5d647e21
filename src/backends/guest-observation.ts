import {
  classify,
  type ConsoleLine,
  type GuestInventory,
  type GuestReport,
  type GuestResult,
} from '../guest/index.ts';
import type {
  DiskObservation,
  FaultAim,
  FaultCheckObservation,
  GuestDevice,
  GuestObservation,
  LogLine,
  LogMeaning,
  NicObservation,
  PlugObservation,
  RebindObservation,
} from '../scenario/index.ts';
import { DMA_ENGINE_S_FAULT } from '../spec/pci-devices.ts';
import type { Model } from '../topology/index.ts';
import { planName } from './plan.ts';
import { transfersOf } from './transfer.ts';
import { userspaceOf } from './userspace.ts';

/** Lines of kernel log kept; a guest that faults without end must not fill our memory. */
const LOG_MAX = 20_000;

/** QEMU's edu device reaches 28 bits of address unless its property says otherwise. */
const EDU_DMA_MASK = 0x0fff_ffffn;

/** Collects the kernel's messages of a console. */
export class LogCollector {
  readonly #lines: LogLine[] = [];

  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  add(line: ConsoleLine): void {
    if (line.type !== 'kernel' || this.#lines.length >= LOG_MAX) return;
    const { time, text } = line;
    const event = classify(text);
    this.#lines.push({ time, text, ...(event === undefined ? {} : { meaning: meaningOf(event) }) });
  }
}

function meaningOf(event: NonNullable<ReturnType<typeof classify>>): LogMeaning {
  const { code, endpoint, address, device } = event;
  return {
    code,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(address === undefined ? {} : { address }),
    ...(device === undefined ? {} : { device }),
  };
}

/** The guest's report in the words of `scenario`. `reference`: sha256 of each disk's first bytes. */
export function observeGuest(
  model: Model,
  report: GuestReport,
  log: readonly LogLine[],
  reference: ReadonlyMap<string, string>,
): GuestObservation {
  const inventory = report.inventories.at(-1);
  const names = namesOf(model);
  const places = platformNames(inventory);
  return {
    started: report.release !== undefined,
    completed: report.complete,
    ...(report.release === undefined ? {} : { kernel: report.release }),
    iommus: (inventory?.iommus ?? []).map(({ name, at, devices }) => ({
      name,
      device: places.get(at) ?? at,
      endpoints: devices,
    })),
    groups: (inventory?.groups ?? []).map(({ id, type, devices, reserved }) => ({
      id,
      type,
      devices,
      reserved: reserved.map((region) => ({
        range: { start: region.start, end: region.end },
        type: region.type,
      })),
    })),
    devices: inventory === undefined ? [] : devicesOf(inventory),
    deferred: inventory?.deferred ?? [],
    disks: disksOf(report, names, reference),
    nics: nicsOf(report),
    transfers: transfersOf(model, report, planName, linuxName),
    userspace: userspaceOf(report, linuxName),
    faultChecks: faultChecksOf(model, report, names),
    rebinds: rebindsOf(report),
    plugs: plugsOf(report),
    overlaps: [],
    log,
  };
}

/** ACPI calls platform devices `LNRO0005:00`; a topology knows them by their base address. */
function platformNames(inventory: GuestInventory | undefined): Map<string, string> {
  return new Map(
    (inventory?.platform ?? []).flatMap(({ at, base }): [string, string][] =>
      base === undefined ? [] : [[at, `${base.toString(16)}.mmio`]],
    ),
  );
}

/** Endpoint ids by the name the plan gave them. */
function namesOf(model: Model): Map<string, string> {
  return new Map(
    model.endpoints.flatMap((endpoint): [string, string][] => {
      const name = planName(endpoint);
      return name === undefined ? [] : [[name, endpoint.id]];
    }),
  );
}

/** A platform device is called after its base address, as Linux would. */
function linuxName(at: string): string {
  return at.startsWith('mmio:0x') ? `${at.slice('mmio:0x'.length)}.mmio` : at;
}

/** What PCI and platform devices have in common. */
function common(device: {
  readonly driver: string | undefined;
  readonly group: number | undefined;
  readonly iommu: string | undefined;
}): Omit<GuestDevice, 'name'> {
  return {
    ...(device.driver === undefined ? {} : { driver: device.driver }),
    ...(device.group === undefined ? {} : { group: device.group }),
    ...(device.iommu === undefined ? {} : { iommu: device.iommu }),
  };
}

function devicesOf(inventory: GuestInventory): GuestDevice[] {
  // A virtio device has two drivers: that of the transport, and its own on the virtio bus.
  const virtio = new Map(inventory.virtio.map(({ at, driver }) => [at, driver]));
  const named = (device: {
    readonly at: string;
    readonly driver: string | undefined;
  }): string | undefined => (virtio.has(device.at) ? virtio.get(device.at) : device.driver);
  return [
    ...inventory.pci.map((device): GuestDevice => {
      const modes = device.msi.map(({ mode }) => mode);
      const kind = modes.includes('msix') ? 'msi-x' : modes.includes('msi') ? 'msi' : 'none';
      return {
        name: device.at,
        ...common({ ...device, driver: named(device) }),
        interrupts: {
          kind,
          vectors: modes.length,
          ...(device.interruptsTaken === undefined ? {} : { count: device.interruptsTaken }),
        },
      };
    }),
    ...inventory.platform.map((device): GuestDevice => ({
      name: device.base === undefined ? device.at : `${device.base.toString(16)}.mmio`,
      ...common({ ...device, driver: named(device) }),
    })),
  ];
}

const FAILED_STATUS: Readonly<Record<string, string>> = {
  absent: 'no such device in the guest',
  timeout: 'it does not come back (timeout)',
};

function trouble(status: string, error: string): string {
  return FAILED_STATUS[status] ?? (error === '' ? `exit code ${status}` : error);
}

function disksOf(
  report: GuestReport,
  names: ReadonlyMap<string, string>,
  reference: ReadonlyMap<string, string>,
): DiskObservation[] {
  const disks = new Map<string, DiskObservation>();
  for (const result of report.results) {
    if (result.verb !== 'disk' && result.verb !== 'write') continue;
    const device = linuxName(result.at);
    const known = disks.get(device) ?? { device };
    const ok = result.status === '0';
    const error = ok ? {} : { error: trouble(result.status, result.error) };
    if (result.verb === 'disk') {
      const sha256 = reference.get(names.get(result.at) ?? '');
      disks.set(device, {
        ...known,
        ...error,
        ...(ok ? { read: { bytes: result.bytes, sha256: result.sha256 } } : {}),
        ...(sha256 === undefined ? {} : { referenceSha256: sha256 }),
      });
    } else {
      const { bytes, sha256, reread } = result;
      const readBack = reread === '' ? {} : { readBackSha256: reread };
      disks.set(device, {
        ...known,
        ...error,
        ...(ok ? { write: { bytes, sha256, ...readBack } } : {}),
      });
    }
  }
  return [...disks.values()];
}

function nicsOf(report: GuestReport): NicObservation[] {
  return report.results.flatMap((result): NicObservation[] => {
    if (result.verb !== 'nic') return [];
    const { at, status, sent, received, target, error } = result;
    const ok = status === '0' && received > 0;
    return [
      {
        device: linuxName(at),
        sent,
        received,
        method: `ping of ${target}`,
        ok,
        ...(ok ? {} : { error: status === '0' ? 'no answer to ping' : trouble(status, error) }),
      },
    ];
  });
}

function faultChecksOf(
  model: Model,
  report: GuestReport,
  names: ReadonlyMap<string, string>,
): FaultCheckObservation[] {
  return report.results.flatMap((result): FaultCheckObservation[] => {
    if (result.verb === 'dma') return [dmaCheckOf(result)];
    if (result.verb !== 'edu') return [];
    const { at, status, iova, dir, gpa, changed } = result;
    const id = names.get(at);
    const options = model.endpoints.find((endpoint) => endpoint.id === id)?.device?.options;
    const address = iova & dmaMask(options?.['dma_mask']);
    return [
      {
        device: linuxName(at),
        aim: 'unmapped',
        address,
        write: dir === 'write',
        ran: status === '0',
        ...(status === '0' ? {} : { error: trouble(status, '') }),
        // Only where it was aimed at the page that is watched does this tell anything.
        ...(address === gpa ? { memoryUnchanged: !changed } : {}),
      },
    ];
  });
}

const AIMS: readonly FaultAim[] = ['unmapped', 'read-only', 'reserved', 'foreign'];

/** The engine says by itself that it was stopped, whatever the log has. */
function dmaCheckOf(result: Extract<GuestResult, { verb: 'dma' }>): FaultCheckObservation {
  const { at, status, iova, dir, aim, state, changed } = result;
  const why =
    status === 'none'
      ? 'the machine knows no such address'
      : status !== '0'
        ? trouble(status, '')
        : (state & DMA_ENGINE_S_FAULT) === 0
          ? 'the access was not refused'
          : undefined;
  return {
    device: linuxName(at),
    aim: AIMS.find((one) => one === aim) ?? 'unmapped',
    address: iova,
    write: dir === 'write',
    ran: why === undefined,
    ...(why === undefined ? {} : { error: why }),
    memoryUnchanged: !changed,
  };
}

function rebindsOf(report: GuestReport): RebindObservation[] {
  const rebinds = new Map<string, RebindObservation>();
  for (const result of report.results) {
    if (result.verb !== 'unbind' && result.verb !== 'bind' && result.verb !== 'wait') continue;
    const device = linuxName(result.at);
    const known = rebinds.get(device) ?? { device };
    const error = result.fields.get('error') ?? '';
    const driver = result.fields.get('driver') ?? '';
    rebinds.set(device, {
      ...known,
      ...(driver === '' ? {} : { driver }),
      ...(error === '' ? {} : { error }),
    });
  }
  return [...rebinds.values()];
}

function plugsOf(report: GuestReport): PlugObservation[] {
  return report.results.flatMap((result): PlugObservation[] => {
    if (result.verb !== 'plug') return [];
    const driver = result.fields.get('driver') ?? '';
    const group = /^\d{1,9}$/u.exec(result.fields.get('group') ?? '')?.[0];
    return [
      {
        device: linuxName(result.at),
        ...(driver === '' ? {} : { driver }),
        ...(group === undefined ? {} : { group: Number(group) }),
      },
    ];
  });
}

function dmaMask(option: string | number | boolean | undefined): bigint {
  if (typeof option === 'number' && Number.isSafeInteger(option) && option >= 0)
    return BigInt(option);
  if (typeof option === 'string' && /^(?:0x[0-9a-f]{1,16}|\d{1,20})$/iu.test(option))
    return BigInt(option);
  return EDU_DMA_MASK;
}
