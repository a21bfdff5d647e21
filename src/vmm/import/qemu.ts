import { numberBuses, type NumberedBus, type Port } from './buses.ts';
import { commandWords } from './command-words.ts';
import { kindOf } from './kinds.ts';
import {
  ImportError,
  type ImportedBridge,
  type ImportedDevice,
  type ImportedHost,
  type ImportedMachine,
  type ImportedViommu,
} from './machine.ts';
import { flag, memoryMib, properties, qemuOptions, type QemuOption } from './qemu-options.ts';
import { bridgeKind, placed, ROOT, type Found } from './qemu-places.ts';

/** Of the 256 buses, where a machine has extra host bridges. */
const LAST_BUS = 0xff;

/**
 * A machine from QEMU's command line: `-M virt` and `-M q35` with what hangs off their PCI host.
 *
 * @throws ImportError for another machine, or text that is no command line
 */
export function importQemu(text: string, name: string): ImportedMachine {
  const { words, others } = commandWords(text);
  const options = qemuOptions(words);
  const notes: string[] = [];
  if (others > 0) notes.push(`${others} more QEMU command(s) in the file: not looked at`);
  const machine = machineOf(words[0] ?? '', options, notes);
  const devices = placed(options, machine.board, notes);
  const hosts = hostsOf(devices, machine.bypass);
  const numbers = numbersOf(devices, hosts);
  const rid = ({ bus, slot }: Found): number => ((numbers.get(bus)?.number ?? 0) << 8) | slot;
  const bridges = (host: HostBus): ImportedBridge[] =>
    devices.flatMap((one): ImportedBridge[] => {
      const kind = bridgeKind(one.driver);
      const below = numbers.get(one.name);
      if (kind === undefined || below === undefined || rootOf(one, devices) !== host.bus) return [];
      return [{ id: one.id, kind, rid: rid(one), buses: [below.number, below.last] }];
    });
  return {
    name,
    template: machine.template,
    its: machine.its,
    memoryMib: memoryOf(options),
    cpus: cpusOf(options, notes),
    hosts: hosts.map((host): ImportedHost => ({ ...host, bridges: bridges(host) })),
    viommus: viommusOf(devices, rid, notes),
    devices: devices.flatMap((one) => deviceOf(one, rid, notes)),
    notes,
  };
}

interface Machine {
  readonly board: 'virt' | 'q35';
  readonly template: ImportedMachine['template'];
  readonly its: boolean;
  readonly bypass: boolean;
}

function machineOf(program: string, options: readonly QemuOption[], notes: string[]): Machine {
  const all = new Map<string, string>();
  for (const { name, value } of options) {
    if (name !== 'M' && name !== 'machine') continue;
    for (const [key, item] of properties(value ?? '', 'type')) all.set(key, item);
  }
  const type = all.get('type') ?? '';
  const bypass = flag(all, 'default-bus-bypass-iommu', 'default_bus_bypass_iommu') === true;
  const iommu = all.get('iommu');
  if (iommu !== undefined && iommu !== 'none')
    notes.push(`iommu=${iommu} is not a virtio-iommu: left out`);
  if (/^(?:pc-)?q35(?:-|$)/u.test(type)) {
    return { board: 'q35', template: 'q35', its: true, bypass };
  }
  if (/^virt(?:-|$)/u.test(type) && /aarch64|arm|kvm$/u.test(program)) {
    const version = all.get('gic-version') ?? '2';
    const old = version === '2';
    if (version !== '2' && version !== '3') notes.push(`gic-version=${version}: taken as 3`);
    const its = old || flag(all, 'its') !== false;
    return { board: 'virt', template: old ? 'virt-arm64-gicv2' : 'virt-arm64', its, bypass };
  }
  throw new ImportError(
    type === '' ? 'the command names no machine (-M)' : `machine ${type} is not known here`,
    'virt of qemu-system-aarch64 and q35 of qemu-system-x86_64 can be imported',
  );
}

function memoryOf(options: readonly QemuOption[]): number {
  const said = options.findLast(({ name }) => name === 'm')?.value;
  return (said === undefined ? undefined : memoryMib(said)) ?? 128;
}

function cpusOf(options: readonly QemuOption[], notes: string[]): number {
  const said = options.findLast(({ name }) => name === 'smp')?.value;
  if (said === undefined) return 1;
  const count = Number(properties(said, 'cpus').get('cpus'));
  if (Number.isInteger(count) && count > 0) return count;
  notes.push(`-smp ${said}: taken as one CPU`);
  return 1;
}

interface HostBus extends Omit<ImportedHost, 'bridges'> {
  /** Name of its bus on the command line. */
  readonly bus: string;
}

/** The board's own root and each pxb; the root's buses end where the first pxb begins. */
function hostsOf(devices: readonly Found[], bypass: boolean): HostBus[] {
  const extra = devices
    .filter(({ driver }) => driver === 'pxb-pcie')
    .map(({ id, name, found }) => ({
      id,
      bus: name,
      first: Number(found.get('bus_nr') ?? 0x80) & 0xff,
      translated: flag(found, 'bypass_iommu') !== true,
    }))
    .toSorted((a, b) => a.first - b.first);
  const root: HostBus = {
    id: 'pcie0',
    kind: 'root',
    bus: ROOT,
    buses: [0, (extra[0]?.first ?? LAST_BUS + 1) - 1],
    translated: !bypass,
  };
  return [
    root,
    ...extra.map(({ id, bus, first, translated }, index): HostBus => {
      const last = (extra[index + 1]?.first ?? LAST_BUS + 1) - 1;
      return { id, kind: 'pxb', bus, buses: [first, last], translated };
    }),
  ];
}

function numbersOf(
  devices: readonly Found[],
  hosts: readonly HostBus[],
): ReadonlyMap<string, NumberedBus> {
  const ports = devices.flatMap((one): Port[] => {
    const kind = bridgeKind(one.driver);
    return kind === undefined ? [] : [{ id: one.name, kind, bus: one.bus, slot: one.slot }];
  });
  return new Map(hosts.flatMap(({ bus, buses }) => [...numberBuses(bus, buses[0], ports)]));
}

/** The host bus that a device hangs off, through whatever bridges. */
function rootOf(device: Found, devices: readonly Found[]): string {
  let { bus } = device;
  for (let depth = 0; depth < devices.length; depth++) {
    const above = devices.find(
      ({ name, driver }) => name === bus && bridgeKind(driver) !== undefined,
    );
    if (above === undefined) return bus;
    ({ bus } = above);
  }
  return bus;
}

function viommusOf(
  devices: readonly Found[],
  rid: (device: Found) => number,
  notes: string[],
): ImportedViommu[] {
  const viommus = devices.filter(({ driver }) => /^virtio-iommu(?:-|$)/u.test(driver));
  if (viommus.length === 0) notes.push('there is no virtio-iommu in the command line');
  return viommus.map((one, index) => {
    const bootBypass = flag(one.found, 'boot-bypass');
    return {
      id: one.id,
      at:
        one.driver === 'virtio-iommu-device'
          ? { mmio: 0xa000000 + 0x200 * index }
          : { rid: rid(one) },
      ...(bootBypass === undefined ? {} : { bootBypass }),
    };
  });
}

function deviceOf(one: Found, rid: (device: Found) => number, notes: string[]): ImportedDevice[] {
  const { driver, id, found } = one;
  const bridge = bridgeKind(driver) !== undefined || driver === 'pxb-pcie';
  if (bridge || driver.startsWith('virtio-iommu')) return [];
  const passthrough = driver === 'vfio-pci';
  const kind = kindOf(driver);
  if (kind === 'generic') {
    notes.push(
      passthrough
        ? `${id} is a device of the host; what it is cannot be told from here`
        : `${id} is a ${driver}, which has no counterpart here: a generic device`,
    );
  }
  const virtio = kind.startsWith('virtio-');
  const platform = flag(found, 'iommu_platform');
  return [
    {
      id,
      kind,
      rid: rid(one),
      ...(virtio ? { accessPlatform: platform === true } : {}),
      ...(passthrough ? { passthrough } : {}),
    },
  ];
}
