import {
  findAcpiTables,
  linuxMmioLookup,
  linuxPciLookup,
  linuxView,
  readIort,
  readMadt,
  readMcfg,
  readViot,
  type Iort,
  type LinuxIommu,
  type LinuxViotView,
  type Madt,
} from '../../acpi/index.ts';
import { FormatError, type Range } from '../../bytes/index.ts';
import { ACPI_TABLE_HEADER } from '../../spec/acpi.ts';
import { GITS_TRANSLATER_PAGE } from '../../spec/gic.ts';
import type { KernelLog } from '../kernel-log.ts';
import type { GuestFirmware } from '../platform.ts';
import { readAml, type AmlDevice, type AmlValue } from './aml.ts';
import { readResources } from './resources.ts';
import type {
  Asker,
  FirmwareView,
  HostView,
  IommuAnswer,
  MsiAnswer,
  ReadContext,
  TransportView,
} from './view.ts';
import { GIC_SPI_FIRST } from '../../spec/gicv2.ts';

const HID_VIRTIO_MMIO = 'LNRO0005';
/** PNP0A08 as an integer: little-endian in the namespace, big-endian in print. */
const EISA_PNP0A08 = 0x080a_d041n;
const FOUR_GIB = 1n << 32n;

type AcpiFirmware = Extract<GuestFirmware, { kind: 'acpi' }>;

/**
 * ACPI tables as Linux reads them: MCFG and the namespace for host bridges, MADT and IORT for
 * interrupts, VIOT for IOMMUs.
 *
 * @throws FormatError when there is no RSDP, or no root table
 */
export function readAcpi(firmware: AcpiFirmware, context: ReadContext): FirmwareView {
  return new AcpiView(firmware, context);
}

class AcpiView implements FirmwareView {
  readonly kind = 'acpi';
  readonly memory: readonly Range[];
  readonly reserved: readonly Range[] = [];
  readonly hosts: readonly HostView[];
  readonly transports: readonly TransportView[];
  readonly #log: KernelLog;
  readonly #arm: boolean;
  readonly #madt: Madt | undefined;
  readonly #iort: Iort | undefined;
  readonly #devices: readonly AmlDevice[];
  readonly #routes: readonly ReadonlyMap<string, number>[];
  #viot: LinuxViotView | undefined;

  constructor(firmware: AcpiFirmware, { log }: ReadContext) {
    this.#log = log;
    this.memory = firmware.memory;
    const { tables } = findAcpiTables(firmware.images, firmware.rsdp);
    // Of two tables with one signature Linux takes the first.
    const find = (signature: string): Uint8Array | undefined =>
      tables.find((table) => table.signature === signature)?.bytes;
    for (const { signature, bytes } of tables) {
      log.print(`ACPI: ${signature} ${bytes.length.toString(16).padStart(6, '0')}`);
    }
    this.#madt = attempt(find('APIC'), readMadt);
    this.#iort = attempt(find('IORT'), readIort);
    this.#devices = attempt(find('DSDT')?.subarray(ACPI_TABLE_HEADER.size), readAml) ?? [];
    this.#arm = this.#madt?.entries.some(({ kind }) => kind === 'gicd') ?? false;
    const viot = attempt(find('VIOT'), readViot);
    this.#viot = viot === undefined ? undefined : linuxView(viot);
    for (const message of this.#viot?.messages ?? []) log.print(`ACPI: VIOT: ${message}`);
    const mcfg = attempt(find('MCFG'), readMcfg)?.allocations ?? [];
    const bridges = this.#devices.filter(({ names }) => names.get('_HID') === EISA_PNP0A08);
    this.hosts = bridges.flatMap((device, index) => hostView(device, index, mcfg));
    this.#routes = bridges.map((device) => routesOf(device, this.#arm));
    this.transports = this.#devices
      .filter(({ names }) => names.get('_HID') === HID_VIRTIO_MMIO)
      .flatMap((device) => transportView(device, this.#arm));
  }

  /** drivers/acpi/viot.c looks for each IOMMU once the buses are scanned; ranges without are lost. */
  settle(exists: (segment: number, rid: number) => boolean): void {
    const viot = this.#viot;
    if (viot === undefined) return;
    const keeps = ({ iommu }: { readonly iommu: LinuxIommu }): boolean => {
      const there =
        iommu.kind === 'pci'
          ? exists(iommu.segment, iommu.bdf)
          : this.transports.some(({ base }) => base === iommu.base);
      if (!there) {
        const what = iommu.kind === 'pci' ? 'PCI' : 'MMIO';
        this.#log.print(`ACPI: VIOT: Could not find ${what} IOMMU`);
        this.#log.print('ACPI: VIOT: No IOMMU node found');
      }
      return there;
    };
    this.#viot = {
      ...viot,
      pciRanges: viot.pciRanges.filter(keeps),
      mmioEndpoints: viot.mmioEndpoints.filter(keeps),
    };
  }

  enabled(): boolean {
    return true;
  }

  iommuKey(device: Asker): string {
    return device.kind === 'mmio'
      ? keyOf({ kind: 'mmio', base: device.base, offset: 0 })
      : keyOf({ kind: 'pci', segment: device.host.segment, bdf: device.rid, offset: 0 });
  }

  iommu(device: Asker): IommuAnswer {
    const viot = this.#viot;
    if (viot === undefined) return { kind: 'none' };
    if (device.kind === 'mmio') {
      const found = linuxMmioLookup(viot, device.base);
      if (found === undefined) return { kind: 'none' };
      return { kind: 'iommu', key: keyOf(found.iommu), ids: [found.endpoint] };
    }
    const { segment } = device.host;
    const found = [device.rid, ...device.aliases].flatMap(
      (rid) => linuxPciLookup(viot, segment, rid) ?? [],
    );
    const [first] = found;
    if (first === undefined) return { kind: 'none' };
    const key = keyOf(first.iommu);
    const ids = found.filter(({ iommu }) => keyOf(iommu) === key).map(({ endpoint }) => endpoint);
    return { kind: 'iommu', key, ids };
  }

  msi(device: Asker): MsiAnswer {
    if (device.kind !== 'pci') return { kind: 'none' };
    if (!this.#arm) return { kind: 'apic' };
    const its = this.#itsOf(device.host.segment, device.rid);
    if (its !== undefined) return its;
    for (const entry of this.#madt?.entries ?? []) {
      if (entry.kind !== 'gic-msi-frame') continue;
      const first = entry.spiBase - GIC_SPI_FIRST;
      const spis = { start: first, end: first + entry.spiCount - 1 };
      return { kind: 'gicv2m', frame: entry.base, ...(entry.spiCount > 0 ? { spis } : {}) };
    }
    return { kind: 'none' };
  }

  intx(host: HostView, slot: number, pin: number): number | undefined {
    return this.#routes[host.index]?.get(`${slot}/${pin - 1}`);
  }

  /** IORT's RMR nodes are for the IOMMUs that IORT describes, and VIOT has nothing of the kind. */
  regions(): [] {
    return [];
  }

  #itsOf(segment: number, rid: number): MsiAnswer | undefined {
    for (const node of this.#iort?.nodes ?? []) {
      if (node.kind !== 'root-complex' || node.segment !== segment) continue;
      const row = node.mappings.find(
        ({ inputBase, idCount }) => rid >= inputBase && rid <= inputBase + idCount,
      );
      if (row === undefined) continue;
      const group = this.#iort?.nodes.find(({ offset }) => offset === row.outputReference);
      if (group?.kind !== 'its-group') continue;
      const wanted = group.identifiers[0];
      for (const entry of this.#madt?.entries ?? []) {
        if (entry.kind !== 'gic-its' || entry.translationId !== wanted) continue;
        const deviceId = rid - row.inputBase + row.outputBase;
        return { kind: 'its', page: entry.base + GITS_TRANSLATER_PAGE, deviceId };
      }
    }
    return undefined;
  }
}

function keyOf(iommu: LinuxIommu): string {
  return iommu.kind === 'pci' ? `pci ${iommu.segment}/${iommu.bdf}` : `mmio ${iommu.base}`;
}

/** A table that cannot be read is as good as none. */
function attempt<T>(bytes: Uint8Array | undefined, read: (bytes: Uint8Array) => T): T | undefined {
  if (bytes === undefined) return undefined;
  try {
    return read(bytes);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function integer(value: AmlValue | undefined): number {
  return typeof value === 'bigint' ? Number(value) : 0;
}

function resourcesOf({ names }: AmlDevice): ReturnType<typeof readResources> {
  const crs = names.get('_CRS');
  const none = { registers: [], interrupts: [], windows: [], buses: [] };
  return attempt(crs instanceof Uint8Array ? crs : undefined, readResources) ?? none;
}

function hostView(
  device: AmlDevice,
  index: number,
  mcfg: readonly { base: bigint; segment: number; startBus: number; endBus: number }[],
): HostView[] {
  const segment = integer(device.names.get('_SEG'));
  const { buses, windows } = resourcesOf(device);
  const range = buses[0] ?? { start: integer(device.names.get('_BBN')), end: 0xff };
  const allocation = mcfg.find(
    (one) => one.segment === segment && range.start >= one.startBus && range.start <= one.endBus,
  );
  if (allocation === undefined) return [];
  return [
    {
      index,
      name: device.path,
      segment,
      buses: range,
      // The base of an allocation is that of bus 0 (PCI Firmware 3.3, 4.1.2).
      ecam: allocation.base + (BigInt(range.start) << 20n),
      windows: windows.map((window) => ({ ...window, wide: window.start >= FOUR_GIB })),
    },
  ];
}

/** `_PRT` by slot and pin (0–3). */
function routesOf({ names }: AmlDevice, arm: boolean): Map<string, number> {
  const routes = new Map<string, number>();
  const table = names.get('_PRT');
  if (!Array.isArray(table)) return routes;
  for (const row of table as readonly AmlValue[]) {
    if (!Array.isArray(row)) continue;
    const [address, pin, , gsi] = (row as readonly AmlValue[]).map(integer);
    if (address === undefined || gsi === undefined) continue;
    routes.set(`${address >>> 16}/${pin ?? 0}`, arm ? gsi - GIC_SPI_FIRST : gsi);
  }
  return routes;
}

function transportView(device: AmlDevice, arm: boolean): TransportView[] {
  const { registers, interrupts } = resourcesOf(device);
  const [range] = registers;
  const [gsi] = interrupts;
  if (range === undefined) return [];
  const size = range.end - range.start + 1n;
  return [
    {
      base: range.start,
      size,
      ...(gsi === undefined ? {} : { interrupt: arm ? gsi - GIC_SPI_FIRST : gsi }),
    },
  ];
}
