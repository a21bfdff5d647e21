import { Slots } from './buses.ts';
import { impliedDevices, virtfsAsDevice } from './implied.ts';
import { Names } from './kinds.ts';
import type { ImportedBridge } from './machine.ts';
import { properties, slotOf, type Properties, type QemuOption } from './qemu-options.ts';

/** The bus of the board's own host bridge. */
export const ROOT = 'pcie.0';

/** A `-device` with its place. */
export interface Found {
  readonly driver: string;
  readonly id: string;
  /** Its name on the command line, which buses are named by: an id may not have all of its characters. */
  readonly name: string;
  readonly bus: string;
  readonly slot: number;
  readonly found: Properties;
}

/** What sits on no PCI bus: disks of a SCSI controller, USB devices, serial ports. */
const OTHER_BUS =
  /^(?:scsi-|usb-(?!.*hci)|ide-|isa-|virtserial|virtconsole|nvdimm|pc-dimm|hda-|nvme-ns|nvme-subsys|ccid-|tpm-|sd-card|floppy|pvpanic$|vmcoreinfo|vmgenid|ramfb|loader|guest-loader|smbus-|i2c-|intel-iommu|hpet|.*-cpu$)/u;
/** Bridges that a topology has no word for. */
const OTHER_BRIDGE =
  /^(?:x3130-upstream|xio3130-downstream|pci-bridge|i82801b11-bridge|pxb|pxb-cxl|cxl-(?:rp|upstream|downstream))$/u;

/** Devices with their bus and slot; QEMU gives those without one the lowest that is free. */
export function placed(
  options: readonly QemuOption[],
  board: 'virt' | 'q35',
  notes: string[],
): Found[] {
  const names = new Names();
  const slots = new Slots();
  // The host bridge itself, and the ICH9 of q35.
  slots.take(ROOT, 0);
  if (board === 'q35') for (const fn of [0, 2, 3]) slots.take(ROOT, (0x1f << 3) | fn);
  const { before, after } = impliedDevices(options, board);
  // A command that runs has nothing of its own where QEMU would put something.
  const claimed = claimedDevices(options);
  const implied = before
    .map(({ name, value }, index) => ({ name, value, at: index + 1 }))
    .filter(({ at }) => !claimed.has(at))
    .map(({ name, value = '', at }) => ({ name, value: `${value},addr=${at.toString(16)}` }));
  if (implied.length > 0) {
    const what = implied.map(({ value }) => value).join(', ');
    notes.push(`from -nic or -vga, or by QEMU itself without -nodefaults: ${what}`);
  }
  const buses = new Set([ROOT]);
  const found: Found[] = [];
  for (const option of [...implied, ...options.map(virtfsAsDevice), ...after]) {
    if (option.name !== 'device' || option.value === undefined) continue;
    const all = properties(option.value, 'driver');
    const driver = all.get('driver') ?? '';
    const bus = all.get('bus')?.replace(/^pci\.0$/u, ROOT) ?? ROOT;
    const why = leftOut(driver, bus, buses);
    if (why !== undefined) {
      notes.push(
        `${[all.get('id'), driver].filter((it) => it !== undefined).join(', a ')} ${why}: left out`,
      );
      continue;
    }
    const id = names.take(all.get('id'), shortName(driver));
    const name = all.get('id') ?? id;
    const said = all.get('addr');
    const asked = said === undefined ? undefined : slotOf(said);
    if (asked !== undefined) slots.take(bus, asked);
    const slot = driver === 'virtio-iommu-device' ? 0 : (asked ?? slots.next(bus));
    if (slot === undefined) {
      notes.push(`${id}: bus ${bus} is full: left out`);
      continue;
    }
    if (said === undefined && driver !== 'virtio-iommu-device') {
      notes.push(`${id} has no addr=: taken to be in the lowest free slot of ${bus}`);
    }
    if (bridgeKind(driver) !== undefined || driver === 'pxb-pcie') buses.add(name);
    found.push({ driver, id, name, bus, slot, found: all });
  }
  return found;
}

/** The numbers of devices on the root bus that the command line gives away itself. */
function claimedDevices(options: readonly QemuOption[]): ReadonlySet<number> {
  const claimed = new Set<number>();
  for (const { name, value } of options) {
    if (name !== 'device' || value === undefined) continue;
    const all = properties(value, 'driver');
    const bus = all.get('bus') ?? ROOT;
    const slot = slotOf(all.get('addr') ?? '');
    if (slot !== undefined && (bus === ROOT || bus === 'pci.0')) claimed.add(slot >> 3);
  }
  return claimed;
}

/** Why a device does not come over; undefined when it does. */
function leftOut(driver: string, bus: string, buses: ReadonlySet<string>): string | undefined {
  if (driver === 'virtio-iommu-device') return undefined;
  if (/^virtio-[a-z0-9]+-device$/u.test(driver)) return 'is a platform device';
  if (OTHER_BUS.test(driver)) return 'is on no PCI bus';
  if (OTHER_BRIDGE.test(driver)) return 'is a kind of bridge that has no counterpart here';
  return buses.has(bus) ? undefined : `is on the bus ${bus}, which is not here`;
}

function shortName(driver: string): string {
  if (driver.startsWith('virtio-iommu')) return 'viommu';
  if (/^(?:e1000|igb|rtl8139|vmxnet|ne2k|pcnet|i8255)/u.test(driver)) return 'nic';
  if (driver.startsWith('virtio-9p')) return 'fs';
  return (
    driver
      .replace(/^virtio-/u, '')
      .replace(/-(?:pci|pcie)\b.*$/u, '')
      .replaceAll(/[^a-z]/giu, '')
      .toLowerCase() || 'device'
  );
}

/** The bridges that a topology has a word for. */
export function bridgeKind(driver: string): ImportedBridge['kind'] | undefined {
  if (driver === 'pcie-root-port' || driver === 'ioh3420') return 'root-port';
  return driver === 'pcie-pci-bridge' ? 'pcie-pci-bridge' : undefined;
}
