import { hex } from '../bytes/index.ts';

/** Machines that a first topology can be made for; each is a template, or one with a change. */
export const STARTER_MACHINES = [
  { id: 'virt', template: 'virt-arm64', what: 'arm64, GICv3 with ITS; emulator and QEMU' },
  { id: 'virt-gicv2', template: 'virt-arm64-gicv2', what: 'arm64, GICv2m; emulator and QEMU' },
  { id: 'emulator', template: 'emulator', what: 'arm64, for the emulator alone: several segments' },
  { id: 'q35', template: 'q35', what: 'x86-64, ACPI; QEMU' },
] as const;

/** A machine that a first topology can be for. */
export type StarterMachine = (typeof STARTER_MACHINES)[number]['id'];

/** What somebody wants of a first topology. Counts are those of functions on bus 0. */
export interface StarterWishes {
  readonly machine: StarterMachine;
  /** virtio-blk disks behind the vIOMMU, 0 to {@link STARTER_DEVICES_MAX}. */
  readonly disks: number;
  /** virtio-net NICs behind the vIOMMU. */
  readonly nics: number;
  /** Disks in slots that the vIOMMU leaves out. */
  readonly bypassing: number;
  /** Empty PCIe root ports that take hot-plugged devices. */
  readonly ports: number;
  /** Whether DMA passes before the guest has attached anything (`boot-bypass`). */
  readonly bootBypass: boolean;
}

/** Devices of one kind: each has a slot of its own, and bus 0 has 32. */
export const STARTER_DEVICES_MAX = 6;

/** The vIOMMU is first, then root ports, so that the guest's bus numbers follow from the slots. */
const VIOMMU_SLOT = 1;
/** Slots from here on are left out of the vIOMMU; the others end before. */
const BYPASS_SLOT = 0x18;

/**
 * A commented topology, as YAML. It passes `check` for all wishes in range.
 *
 * @throws RangeError for a number out of range, when nothing is behind the vIOMMU, or when devices
 * are to bypass a vIOMMU that lets nothing bypass it
 */
export function starterTopology(wishes: StarterWishes): string {
  const { machine, disks, nics, bypassing, ports, bootBypass } = wishes;
  for (const [name, count] of Object.entries({ disks, nics, bypassing, ports })) {
    if (!Number.isInteger(count) || count < 0 || count > STARTER_DEVICES_MAX) {
      throw new RangeError(`${name}: 0 to ${STARTER_DEVICES_MAX}, not ${count}`);
    }
  }
  if (disks + nics === 0) throw new RangeError('nothing is behind the vIOMMU: ask for a disk');
  if (bypassing > 0 && !bootBypass) {
    throw new RangeError(
      'devices that bypass the vIOMMU need boot-bypass: QEMU blocks them without',
    );
  }
  const { template } = STARTER_MACHINES.find(({ id }) => id === machine) ?? STARTER_MACHINES[0];
  const slots = new Slots(VIOMMU_SLOT + 1);
  return [
    '# A topology for viommu-topo. `viommu-topo check` says what is wrong with it, `viommu-topo boot`',
    '# boots a stock Linux on it. The whole language: docs/reference/topology.md.',
    '',
    '# The machine: board, memory, PCI host and MSI doorbell come from a template of that name.',
    `extends: ${template}`,
    ...portLines(machine, ports, bypassing, slots),
    '',
    'viommus:',
    '  # A virtio-iommu, as PCI function 00:01.0. It translates every function of its PCI host.',
    bootBypass
      ? '  # boot-bypass: DMA passes untranslated until the guest attaches an endpoint to a domain.'
      : '  # boot-bypass off: no DMA passes until the guest attaches an endpoint to a domain.',
    `  - { id: viommu0, at: ${at(VIOMMU_SLOT)}, boot-bypass: ${bootBypass} }`,
    '',
    'endpoints:',
    '  # Devices behind it. Their endpoint ID is (PCI segment << 16 | bus << 8 | slot << 3 | function).',
    ...devices('disk', disks, '{ kind: virtio-blk, size: 16M }', slots),
    ...devices('net', nics, 'virtio-net', slots),
    ...bypassLines(bypassing),
    '',
    '# More to try: reserved regions, several vIOMMUs, platform devices, wrong firmware on purpose.',
    '# reserved-regions:',
    '#   - { id: hole, range: 0x9000_0000-0x900f_ffff, type: reserved, viommu: viommu0 }',
    '',
  ].join('\n');
}

/** Gives out slots of bus 0 in order. */
class Slots {
  #next: number;

  constructor(first: number) {
    this.#next = first;
  }

  take(): string {
    return at(this.#next++);
  }
}

function at(slot: number): string {
  return `00:${slot.toString(16).padStart(2, '0')}.0`;
}

function devices(name: string, count: number, device: string, slots: Slots): string[] {
  return Array.from(
    { length: count },
    (_, i) => `  - { id: ${name}${i}, at: ${slots.take()}, device: ${device} }`,
  );
}

function portLines(
  machine: StarterMachine,
  ports: number,
  bypassing: number,
  slots: Slots,
): string[] {
  // QEMU's arm64 board translates a whole bus or nothing of it: only the description leaves out.
  const named = bypassing > 0 && machine !== 'q35';
  if (ports === 0 && !named) return [];
  const host = named ? ['viommu: viommu0'] : [];
  if (ports === 0) return ['pci:', '  hosts:', `    - { id: pcie0, ${host.join(', ')} }`];
  return [
    'pci:',
    '  hosts:',
    '    - id: pcie0',
    ...host.map((line) => `      ${line}`),
    '      bridges:',
    '        # Root ports: the guest numbers their buses in the order of the ports.',
    ...Array.from({ length: ports }, (_, i) => {
      const bus = hex(i + 1, 2);
      return `        - { id: rp${i + 1}, at: ${slots.take()}, buses: ${bus}-${bus}, hotplug: true }`;
    }),
  ];
}

function bypassLines(count: number): string[] {
  if (count === 0) return [];
  const last = `00:${(BYPASS_SLOT + 7).toString(16)}.7`;
  return [
    '  # Slots that the vIOMMU leaves out: DMA from there goes untranslated.',
    `  - { id: outside, at: ${at(BYPASS_SLOT)}-${last}, viommu: none }`,
    ...Array.from(
      { length: count },
      (_, i) =>
        `  - { id: bypass${i}, at: ${at(BYPASS_SLOT + i)}, viommu: none, device: { kind: virtio-blk, size: 16M } }`,
    ),
  ];
}
