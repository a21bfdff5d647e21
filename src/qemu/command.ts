import { sizeOf } from '../bytes/index.ts';
import type { Model } from '../topology/index.ts';
import {
  argument,
  argumentVector,
  propertyList,
  type Argument,
  type ArgumentGroup,
  type Bindings,
  type Property,
} from './argument.ts';
import { bridgeGroup, endpointGroup, occupied, pxbGroup, viommuGroup } from './devices.ts';
import { diskImages } from './disk-images.ts';
import type { DiskImage } from './disk.ts';
import { shellWord } from './error.ts';
import { ACPI_TABLES_ADDRESS } from './rsdp.ts';
import { traceEvents, type TraceLevel } from './trace.ts';
import type { QemuVersion } from './version.ts';

/** How a topology's machine is to be run. */
export interface CommandOptions {
  readonly version: QemuVersion;
  /** The kernel's command line without what this room adds (`acpi_rsdp=` …). */
  readonly append: string;
  /** Q35: boot on tables of ours, loaded at {@link ACPI_TABLES_ADDRESS}, instead of QEMU's VIOT. */
  readonly ownTables?: boolean;
  readonly trace?: TraceLevel;
  /** Where the trace goes: with QEMU's messages (default), or to the file `trace`. */
  readonly traceFile?: boolean;
  /** Start with the CPUs stopped. */
  readonly paused?: boolean;
  /** False: no kernel, for a look at the machine or its tables. */
  readonly kernel?: boolean;
  /** Seed of the disks' contents. */
  readonly seed?: string;
}

/** A topology's machine as QEMU takes it. */
export interface QemuCommand {
  /** `qemu-system-aarch64`: the name, for people; a process uses what `findQemu` found. */
  readonly program: string;
  readonly groups: readonly ArgumentGroup[];
  readonly disks: readonly DiskImage[];
}

/**
 * The command line for a model that passed {@link preflight}.
 *
 * Everything that QEMU would choose by itself is stated: slots, buses, chassis numbers, MAC
 * addresses; so the machine is the model's and the same on every run.
 */
export function buildCommand(model: Model, options: CommandOptions): QemuCommand {
  const arm = model.arch === 'arm64';
  return {
    program: arm ? 'qemu-system-aarch64' : 'qemu-system-x86_64',
    groups: [
      machineGroup(model),
      ...(options.kernel === false ? [] : [guestGroup(model, options)]),
      ...deviceGroups(model, options.version),
      ...tablesGroup(options),
      ...runGroup(options),
    ],
    disks: diskImages(model, options.seed ?? model.name),
  };
}

/** The argument vector of a command. Throws `RangeError` when a file is not bound. */
export function commandArgv(command: QemuCommand, bindings: Bindings): string[] {
  return argumentVector(command.groups, bindings);
}

/** The program and each of its arguments with the value, as words of a shell. */
export function argumentLines(program: string, command: QemuCommand, bindings: Bindings): string[] {
  const groups = command.groups.flatMap((group) => group.arguments);
  const lines = groups.map((arg) =>
    argumentVector([{ comment: '', arguments: [arg] }], bindings)
      .map(shellWord)
      .join(' '),
  );
  return [shellWord(program), ...lines];
}

/** Value of `-cpu` for an accelerator. */
export function cpuModel(model: Model, accel: 'kvm' | 'tcg'): string {
  if (accel === 'kvm') return 'host';
  if (model.arch === 'x86-64') return 'qemu64';
  // The A57 is the fastest to emulate but has no 16 KiB pages.
  return model.guest.pageSize === 0x4000n ? 'neoverse-n1' : 'cortex-a57';
}

/** Processors, memory, and nothing that QEMU would add by itself. */
export function machineGroup(
  model: Model,
  board: Argument = machineArgument(model),
  memory: readonly Argument[] = [],
): ArgumentGroup {
  const megabytes = model.memory.reduce((sum, range) => sum + sizeOf(range), 0n) >> 20n;
  return {
    comment: `the machine: ${model.board}, ${model.cpus} CPU(s), ${megabytes} MiB`,
    arguments: [
      argument('-nodefaults'),
      argument('-no-user-config'),
      argument('-display', 'none'),
      argument('-no-reboot'),
      board,
      argument('-accel', { choice: 'accel' }),
      argument('-cpu', { choice: 'cpu' }),
      argument('-smp', `${model.cpus}`),
      argument('-m', `${megabytes}M`),
      ...memory,
      ...(model.board === 'q35' ? [argument('-boot', 'strict=on')] : []),
      ...legacyArgument(model),
    ],
  };
}

function machineArgument(model: Model): Argument {
  if (model.board === 'q35') {
    const root = model.hosts.find((host) => host.kind === 'root');
    const covered = model.coverage.some((row) => row.host === root?.id);
    return propertyList('-M', 'q35', [
      // SeaBIOS drives the AHCI controller, and with boot-bypass=off its DMA is refused.
      ['sata', false],
      // Without this, QEMU's own VIOT and device would claim buses that no vIOMMU has.
      ['default_bus_bypass_iommu', model.viommus.length > 0 && !covered ? true : undefined],
    ]);
  }
  return propertyList('-M', 'virt', virtProperties(model));
}

/** The interrupt controller of `virt`. */
export function virtProperties(model: Model): Property[] {
  const version = model.gic?.version ?? 3;
  const its = model.doorbells.some((doorbell) => doorbell.kind === 'its');
  return [
    ['gic-version', version],
    ['its', version === 3 ? its : undefined],
  ];
}

/** QEMU's virtio-mmio devices are legacy ones unless told otherwise; Linux refuses such an IOMMU. */
function legacyArgument(model: Model): ArgumentGroup['arguments'] {
  const transports = model.viommus.map((viommu) => viommu.transport);
  const mmio = transports.filter((transport) => transport.kind === 'mmio');
  const platform = model.endpoints.some((endpoint) => endpoint.location.kind === 'platform');
  if (mmio.length === 0 && !platform) return [];
  return [argument('-global', `virtio-mmio.force-legacy=${mmio.some((t) => t.legacy)}`)];
}

/** Kernel, initial RAM disk, command line and, where the board takes one, device tree. */
export function guestGroup(
  model: Model,
  options: Pick<CommandOptions, 'append' | 'ownTables'>,
): ArgumentGroup {
  const extra = options.ownTables === true ? ` ${ownTablesParameters()}` : '';
  return {
    comment: 'the guest',
    arguments: [
      argument('-kernel', { file: 'kernel' }),
      argument('-initrd', { file: 'initrd' }),
      argument('-append', `${options.append}${extra}`),
      ...(model.board === 'virt' && model.firmware.deviceTree
        ? [argument('-dtb', { file: 'tree' })]
        : []),
    ],
  };
}

/** Tells Linux where our RSDP is, and to leave the pages around it alone (both: x86 only). */
export function ownTablesParameters(): string {
  const address = `0x${ACPI_TABLES_ADDRESS.toString(16)}`;
  return `acpi_rsdp=${address} memmap=64K$${address}`;
}

function deviceGroups(model: Model, version: QemuVersion): ArgumentGroup[] {
  const groups = bridgeGroups(model);
  for (const viommu of model.viommus) groups.push(viommuGroup(model, viommu, version));
  for (const [index, endpoint] of model.endpoints.entries()) {
    const group = endpointGroup(model, endpoint, index);
    if (group !== undefined) groups.push(group);
  }
  return groups;
}

/** Everything with buses below it: extra hosts, then ports and bridges. */
export function bridgeGroups(model: Model): ArgumentGroup[] {
  const groups: ArgumentGroup[] = [];
  const slots = pxbSlots(model);
  let port = 0;
  for (const [id, slot] of slots) {
    const host = model.hosts.find((candidate) => candidate.id === id);
    if (host !== undefined) groups.push(pxbGroup(model, host, slot));
  }
  for (const host of model.hosts) {
    // By bus, so that a parent bridge is created before what is plugged into it.
    for (const bridge of host.bridges.toSorted((a, b) => a.rid - b.rid)) {
      if (bridge.kind === 'root-port') port += 1;
      groups.push(bridgeGroup(model, host, bridge, port));
    }
  }
  return groups;
}

/** A pxb is a function of the root bus: the highest slots that nothing else uses, from 1e down. */
export function pxbSlots(model: Model): Map<string, number> {
  const root = model.hosts.find((host) => host.kind === 'root');
  const taken = new Set(
    [...(root === undefined ? [] : occupied(model, root.id))]
      .filter((rid) => rid >> 8 === (root?.buses.start ?? 0))
      .map((rid) => (rid >> 3) & 0x1f),
  );
  const slots = new Map<string, number>();
  let slot = 0x1e;
  for (const host of model.hosts) {
    if (host.kind !== 'pxb') continue;
    while (taken.has(slot)) slot -= 1;
    slots.set(host.id, slot);
    slot -= 1;
  }
  return slots;
}

function tablesGroup(options: CommandOptions): ArgumentGroup[] {
  if (options.ownTables !== true) return [];
  return [
    {
      comment: 'ACPI tables of ours; acpi_rsdp= above points Linux at them',
      arguments: [
        propertyList('-device', 'loader', [
          ['file', { file: 'acpi-tables' }],
          ['addr', `0x${ACPI_TABLES_ADDRESS.toString(16)}`],
          ['force-raw', true],
        ]),
      ],
    },
  ];
}

function runGroup(options: CommandOptions): ArgumentGroup[] {
  const events = traceEvents(options.trace ?? 'none');
  const args = [
    ...(options.paused === true ? [argument('-S')] : []),
    ...(events.length > 0 ? [argument('-msg', 'timestamp=on')] : []),
    ...(events.length > 0 && options.traceFile === true ? [argument('-D', { file: 'trace' })] : []),
    ...events.map((name) => argument('-trace', name)),
  ];
  return args.length === 0
    ? []
    : [{ comment: 'what the vIOMMU does, told by QEMU', arguments: args }];
}
