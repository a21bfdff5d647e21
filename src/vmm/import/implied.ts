import { properties, type QemuOption } from './qemu-options.ts';

/** Devices that `-device` did not name, in the order in which QEMU gives them slots. */
export interface ImpliedDevices {
  /** Those of the board: before all of `-device`. */
  readonly before: readonly QemuOption[];
  /** Disks of `-drive`: after them. */
  readonly after: readonly QemuOption[];
}

/** What makes QEMU leave its own VGA away. */
const VGA_DEVICE =
  /^(?:VGA|cirrus-vga|isa-cirrus-vga|isa-vga|qxl|qxl-vga|vmware-svga|ati-vga|vhost-user-vga|virtio-vga(?:-gl)?)$/u;

const VGA_NAMES: Readonly<Record<string, string>> = {
  std: 'VGA',
  cirrus: 'cirrus-vga',
  vmware: 'vmware-svga',
  qxl: 'qxl-vga',
  virtio: 'virtio-vga',
};

/**
 * PCI devices that come from `-drive if=virtio`, `-nic`, `-net nic`, `-vga`, `-virtfs`, and from
 * QEMU's defaults where `-nodefaults` does not forbid them (measured with QEMU 7.2). They take slots
 * from those without `addr=`.
 */
export function impliedDevices(
  options: readonly QemuOption[],
  board: 'virt' | 'q35',
): ImpliedDevices {
  const before = [...(board === 'q35' ? vga(options) : []), ...nics(options, board)];
  return { before, after: disks(options, board) };
}

/** `-virtfs` in place of the `-device` that it stands for. */
export function virtfsAsDevice(option: QemuOption): QemuOption {
  return option.name === 'virtfs' ? device('virtio-9p-pci') : option;
}

function device(value: string): QemuOption {
  return { name: 'device', value };
}

function has(options: readonly QemuOption[], ...names: readonly string[]): boolean {
  return options.some(({ name }) => names.includes(name));
}

function vga(options: readonly QemuOption[]): QemuOption[] {
  const said = options.findLast(({ name }) => name === 'vga')?.value;
  if (said === 'none') return [];
  if (said !== undefined) return [device(VGA_NAMES[said] ?? 'VGA')];
  const own = options.some(
    ({ name, value }) =>
      name === 'device' && VGA_DEVICE.test(properties(value ?? '', 'driver').get('driver') ?? ''),
  );
  return own || has(options, 'nodefaults') ? [] : [device('VGA')];
}

function nics(options: readonly QemuOption[], board: 'virt' | 'q35'): QemuOption[] {
  const usual = board === 'q35' ? 'e1000e' : 'virtio-net-pci';
  const found: QemuOption[] = [];
  for (const { name, value = '' } of options) {
    if (name !== 'nic' && name !== 'net') continue;
    const all = properties(value, 'type');
    const type = all.get('type');
    if (name === 'nic' ? type === 'none' : type !== 'nic') continue;
    const model = all.get('model') ?? usual;
    found.push(device(model === 'virtio' ? 'virtio-net-pci' : model));
  }
  if (found.length > 0 || has(options, 'nic', 'net', 'netdev', 'nodefaults')) return found;
  return [device(usual)];
}

function disks(options: readonly QemuOption[], board: 'virt' | 'q35'): QemuOption[] {
  return options.flatMap(({ name, value = '' }) => {
    if (name !== 'drive') return [];
    const all = properties(value, 'file');
    const bus = all.get('if') ?? (board === 'virt' ? 'virtio' : 'ide');
    return bus === 'virtio' ? [device('virtio-blk-pci')] : [];
  });
}
