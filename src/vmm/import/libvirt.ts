import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { numberBuses, type NumberedBus, type Port } from './buses.ts';
import { Names } from './kinds.ts';
import {
  ImportError,
  type ImportedBridge,
  type ImportedDevice,
  type ImportedHost,
  type ImportedMachine,
  type ImportedViommu,
} from './machine.ts';

/** An element as the parser gives it: attributes begin with `@`, text is `#text`. */
type Element = Readonly<Record<string, unknown>>;

/** Elements that may stand more than once. */
const LISTS = new Set(['controller', 'disk', 'interface', 'hostdev', 'rng', 'iommu', 'qemu:arg']);

/** libvirt's documents are a few kilobytes. */
const TEXT_MAX = 4 << 20;

/**
 * A machine from a libvirt domain ("Domain XML format"), as `virsh dumpxml` prints it.
 *
 * @throws ImportError for other machines than virt and q35, or what is no domain
 */
export function importLibvirt(text: string, name: string): ImportedMachine {
  const domain = domainOf(text);
  const notes: string[] = [];
  const devices = child(domain, 'devices');
  const os = child(domain, 'os');
  const machine = machineOf(child(os, 'type'), child(child(domain, 'features'), 'gic'));
  const buses = busesOf(devices, notes);
  const names = new Names();
  const found = collect(devices, buses, names, notes);
  const viommus = list(devices, 'iommu').flatMap((iommu) => viommuOf(iommu, buses, names, notes));
  if (viommus.length === 0) notes.push("there is no <iommu model='virtio'/> in the domain");
  if (list(child(domain, 'qemu:commandline'), 'qemu:arg').length > 0) {
    notes.push('<qemu:commandline> is not looked at');
  }
  return {
    name: word(domain['name']) ?? name,
    ...machine,
    memoryMib: memoryOf(domain, notes),
    cpus: Math.max(1, Math.trunc(Number(word(domain['vcpu']) ?? 1)) || 1),
    hosts: buses.hosts,
    viommus,
    devices: found,
    notes,
  };
}

function domainOf(text: string): Element {
  if (text.length > TEXT_MAX) throw new ImportError('the XML is larger than 4 MiB', CURE);
  // Entities of the document's own could grow without bound; a domain has none.
  if (/<!DOCTYPE|<!ENTITY/iu.test(text)) throw new ImportError('the XML has a DOCTYPE', CURE);
  const valid = XMLValidator.validate(text);
  if (valid !== true) {
    const { msg, line, col } = valid.err;
    throw new ImportError(`this is no XML: line ${line}, column ${col}: ${msg}`, CURE);
  }
  const parser = new XMLParser({
    attributeNamePrefix: '@',
    ignoreAttributes: false,
    parseTagValue: false,
    parseAttributeValue: false,
    isArray: (tag) => LISTS.has(tag),
  });
  const document = parser.parse(text) as Element;
  const domain = document['domain'];
  if (typeof domain !== 'object' || domain === null) {
    throw new ImportError('the XML is not a libvirt <domain>', CURE);
  }
  return domain as Element;
}

const CURE = 'give what `virsh dumpxml NAME` prints';

function child(element: Element | undefined, name: string): Element | undefined {
  const found = element?.[name];
  const one: unknown = Array.isArray(found) ? found[0] : found;
  if (typeof one === 'string') return { '#text': one };
  return typeof one === 'object' && one !== null ? (one as Element) : undefined;
}

function list(element: Element | undefined, name: string): readonly Element[] {
  const found = element?.[name];
  return Array.isArray(found)
    ? (found as unknown[]).map((one) =>
        typeof one === 'object' && one !== null ? (one as Element) : {},
      )
    : [];
}

/** The text of an element or attribute. */
function word(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const text = (value as Element)['#text'];
  return typeof text === 'string' ? text : undefined;
}

function attribute(element: Element | undefined, name: string): string | undefined {
  return word(element?.[`@${name}`]);
}

function machineOf(
  type: Element | undefined,
  gic: Element | undefined,
): Pick<ImportedMachine, 'template' | 'its'> {
  const machine = attribute(type, 'machine') ?? '';
  if (/q35/u.test(machine)) return { template: 'q35', its: true };
  if (/^virt(?:-|$)/u.test(machine) && attribute(type, 'arch') === 'aarch64') {
    const old = attribute(gic, 'version') === '2';
    return { template: old ? 'virt-arm64-gicv2' : 'virt-arm64', its: true };
  }
  throw new ImportError(
    `machine ${machine === '' ? 'without a name' : machine} is not known here`,
    'virt of aarch64 and q35 can be imported',
  );
}

const UNITS: Readonly<Record<string, number>> = {
  b: 2 ** -20,
  bytes: 2 ** -20,
  k: 2 ** -10,
  kib: 2 ** -10,
  kb: 1000 / 2 ** 20,
  m: 1,
  mib: 1,
  mb: 1e6 / 2 ** 20,
  g: 1024,
  gib: 1024,
  gb: 1e9 / 2 ** 20,
  t: 2 ** 20,
  tib: 2 ** 20,
};

/** libvirt counts in KiB unless a unit says otherwise. */
function memoryOf(domain: Element, notes: string[]): number {
  const memory = child(domain, 'memory');
  const unit = UNITS[(attribute(memory, 'unit') ?? 'KiB').toLowerCase()];
  const mib = Math.ceil(Number(word(memory) ?? '') * (unit ?? 0));
  if (Number.isSafeInteger(mib) && mib > 0) return mib;
  notes.push('<memory> is missing or odd: 512 MiB');
  return 512;
}

/** A PCI address of libvirt's: the bus is the index of a controller. */
interface Address {
  readonly bus: number;
  readonly slot: number;
}

function addressOf(element: Element | undefined): Address | undefined {
  const address = child(element, 'address');
  if (attribute(address, 'type') !== 'pci') return undefined;
  const number = (name: string): number => Number(attribute(address, name) ?? 0);
  const [bus, slot, fn] = [number('bus'), number('slot'), number('function')];
  if (![bus, slot, fn].every(Number.isInteger) || slot > 31 || fn > 7) return undefined;
  return { bus, slot: (slot << 3) | fn };
}

interface Buses {
  readonly hosts: readonly ImportedHost[];
  /** Requester ID of an address, with the number that the guest gives to its bus. */
  readonly rid: (address: Address) => number | undefined;
}

const PORTS: Readonly<Record<string, ImportedBridge['kind']>> = {
  'pcie-root-port': 'root-port',
  'pcie-to-pci-bridge': 'pcie-pci-bridge',
};

function busesOf(devices: Element | undefined, notes: string[]): Buses {
  const pci = list(devices, 'controller').filter((one) => attribute(one, 'type') === 'pci');
  const name = (index: number): string => `bus${index}`;
  const ports = pci.flatMap((one): Port[] => {
    const model = attribute(one, 'model') ?? '';
    const kind = PORTS[model];
    const at = addressOf(one);
    const index = Number(attribute(one, 'index'));
    if (model === 'pcie-root') return [];
    if (kind === undefined || at === undefined || !Number.isInteger(index)) {
      notes.push(`controller ${attribute(one, 'index') ?? '?'} (${model}) is left out`);
      return [];
    }
    return [{ id: name(index), kind, bus: name(at.bus), slot: at.slot }];
  });
  const numbers = numberBuses(name(0), 0, ports);
  const bridges = ports.flatMap(({ id, kind, bus, slot }): ImportedBridge[] => {
    const [above, below] = [numbers.get(bus), numbers.get(id)];
    if (above === undefined || below === undefined) return [];
    const buses = [below.number, below.last] as const;
    return [{ id: `rp${id.slice(3)}`, kind, rid: (above.number << 8) | slot, buses }];
  });
  const root = { id: 'pcie0', kind: 'root', buses: [0, 0xff], translated: true, bridges } as const;
  return { hosts: [root], rid: ({ bus, slot }) => ridOf(numbers.get(name(bus)), slot) };
}

function ridOf(bus: NumberedBus | undefined, slot: number): number | undefined {
  return bus === undefined ? undefined : (bus.number << 8) | slot;
}

function viommuOf(iommu: Element, buses: Buses, names: Names, notes: string[]): ImportedViommu[] {
  const model = attribute(iommu, 'model') ?? '';
  if (model !== 'virtio') {
    notes.push(`<iommu model='${model}'/> is not a virtio-iommu: left out`);
    return [];
  }
  const at = addressOf(iommu);
  const rid = at === undefined ? undefined : buses.rid(at);
  if (rid === undefined) notes.push('the <iommu> has no address: taken to be at 00:01.0');
  return [{ id: names.take(undefined, 'viommu'), at: { rid: rid ?? 8 } }];
}

interface Sort {
  readonly element: string;
  /** The kind, or undefined when it is on no PCI bus. */
  readonly kind: (one: Element) => ImportedDevice['kind'] | undefined;
  readonly name: string;
}

const SORTS: readonly Sort[] = [
  {
    element: 'disk',
    name: 'disk',
    kind: (one) => (attribute(child(one, 'target'), 'bus') === 'virtio' ? 'virtio-blk' : undefined),
  },
  {
    element: 'interface',
    name: 'net',
    kind: (one) => {
      const model = attribute(child(one, 'model'), 'type') ?? '';
      if (model.startsWith('virtio')) return 'virtio-net';
      return model === 'e1000e' ? 'e1000e' : 'generic';
    },
  },
  { element: 'rng', name: 'rng', kind: () => 'virtio-rng' },
  {
    element: 'hostdev',
    name: 'host',
    kind: (one) => (attribute(one, 'type') === 'pci' ? 'generic' : undefined),
  },
];

function collect(
  devices: Element | undefined,
  buses: Buses,
  names: Names,
  notes: string[],
): ImportedDevice[] {
  return SORTS.flatMap(({ element, kind: kindOf, name }) =>
    list(devices, element).flatMap((one): ImportedDevice[] => {
      const id = names.take(attribute(child(one, 'alias'), 'name'), name);
      const kind = kindOf(one);
      const at = addressOf(one);
      const rid = at === undefined ? undefined : buses.rid(at);
      if (kind === undefined || rid === undefined) {
        notes.push(`${id} (<${element}>) is at no PCI address: left out`);
        return [];
      }
      if (element === 'hostdev') {
        notes.push(`${id} is a device of the host; what it is cannot be told from here`);
      }
      const virtio = kind.startsWith('virtio-');
      const platform = attribute(child(one, 'driver'), 'iommu') === 'on';
      return [
        {
          id,
          kind,
          rid,
          ...(virtio ? { accessPlatform: platform } : {}),
          ...(element === 'hostdev' ? { passthrough: true } : {}),
        },
      ];
    }),
  );
}
