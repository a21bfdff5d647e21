import { sizeOf } from '../bytes/index.ts';
import { showBdf } from '../spec/pci.ts';
import type { Model } from '../topology/index.ts';
import { argument, propertyList, type Argument, type ArgumentGroup } from './argument.ts';
import {
  bridgeGroups,
  guestGroup,
  machineGroup,
  pxbSlots,
  virtProperties,
  type QemuCommand,
} from './command.ts';
import { qemuId } from './bus-numbers.ts';
import { position } from './devices.ts';
import { VFIO_USER_DEVICE } from './vfio-user-lack.ts';

/** A PCI function that somebody serves on a socket. */
export interface VfioUserFunction {
  /** The topology's id of the vIOMMU or endpoint. */
  readonly id: string;
  /** The topology's id of its host bridge. */
  readonly host: string;
  readonly segment: number;
  /** Bus, device and function. */
  readonly rid: number;
  /** Path of a unix socket. */
  readonly socket: string;
}

export interface VfioUserCommandOptions {
  readonly functions: readonly VfioUserFunction[];
  /** The kernel's command line. */
  readonly append: string;
  /** Q35: there is a VIOT to be passed, as the file `viot`. */
  readonly viot: boolean;
  /** Virt: there is a tree to be passed, as the file `tree`. */
  readonly tree: boolean;
  /**
   * What a guest's reset does: it starts again, or QEMU ends (default), or QEMU stands still and so
   * it does when the guest powers off.
   */
  readonly reset?: 'again' | 'end' | 'pause';
}

/**
 * QEMU waits that long for an answer before it gives its connection up, and the guest with it: 5 s
 * unless said otherwise. Hours, since a server may be stopped in a debugger; a server that dies is
 * noticed by its socket.
 */
const MESSAGE_TIMEOUT_MS = 3_600_000;

/**
 * The command line for a machine whose vIOMMUs and endpoints are served over vfio-user.
 *
 * Bridges are QEMU's own. All RAM is shared: the server reads and writes it through the file
 * descriptors that QEMU passes.
 */
export function buildVfioUserCommand(model: Model, options: VfioUserCommandOptions): QemuCommand {
  const arm = model.arch === 'arm64';
  const bytes = model.memory.reduce((sum, range) => sum + sizeOf(range), 0n);
  const ram = propertyList('-object', 'memory-backend-memfd', [
    ['id', 'ram'],
    ['size', `${bytes >> 20n}M`],
    ['share', true],
  ]);
  const board = arm
    ? propertyList('-M', 'virt', [...virtProperties(model), ['memory-backend', 'ram']])
    : propertyList('-M', 'q35', [
        ['sata', false],
        ['memory-backend', 'ram'],
      ]);
  return {
    program: arm ? 'qemu-system-aarch64' : 'qemu-system-x86_64',
    groups: [
      resetting(machineGroup(model, board, [ram]), options.reset ?? 'end'),
      edited(
        guestGroup(model, { append: options.append }),
        (option) => option !== '-dtb' || options.tree,
      ),
      ...viotGroup(model, options.viot),
      ...bridgeGroups(model),
      ...options.functions.map((served) => functionGroup(model, served)),
    ],
    disks: [],
  };
}

function resetting(group: ArgumentGroup, reset: 'again' | 'end' | 'pause'): ArgumentGroup {
  const { comment, arguments: all } = edited(group, (option) => {
    // Nothing of ours is behind virtio-mmio here.
    return option !== '-global' && (option !== '-no-reboot' || reset !== 'again');
  });
  return { comment, arguments: [...all, ...(reset === 'pause' ? [argument('-no-shutdown')] : [])] };
}

function edited(group: ArgumentGroup, keep: (option: string) => boolean): ArgumentGroup {
  return { ...group, arguments: group.arguments.filter(({ option }) => keep(option)) };
}

/** QEMU makes no VIOT here, as it sees no vIOMMU: ours is the only one. */
function viotGroup(model: Model, viot: boolean): ArgumentGroup[] {
  if (!viot || model.board !== 'q35') return [];
  return [
    {
      comment: 'the VIOT: which endpoints are behind which vIOMMU',
      arguments: [propertyList('-acpitable', '', [['file', { file: 'viot' }]])],
    },
  ];
}

function functionGroup(model: Model, served: VfioUserFunction): ArgumentGroup {
  return {
    comment: `${served.id} at ${showBdf(served.rid, served.segment)}`,
    arguments: [vfioUserDevice(model, served)],
  };
}

/** The `-device` of a served function. A socket address can only be said in JSON. */
export function vfioUserDevice(model: Model, served: VfioUserFunction): Argument {
  return argument('-device', JSON.stringify(vfioUserProperties(model, served)));
}

/** What `device_add` and `-device` take. */
export function vfioUserProperties(
  model: Model,
  { id, host, rid, socket }: VfioUserFunction,
): Readonly<Record<string, unknown>> {
  const place = position(model, host, rid).filter(([, value]) => value !== undefined);
  const index = model.endpoints.findIndex((endpoint) => endpoint.id === id);
  const bootable = model.endpoints[index]?.device?.bootable === true;
  return {
    driver: VFIO_USER_DEVICE,
    id: qemuId(id),
    ...Object.fromEntries(place),
    socket: { type: 'unix', path: socket },
    'x-msg-timeout': MESSAGE_TIMEOUT_MS,
    ...(bootable ? { bootindex: index + 1 } : {}),
  };
}

/** A function that QEMU's board has by itself, and that a guest may drive and probe like any other. */
export interface BoardFunction {
  /** The topology's id of its host bridge. */
  readonly host: string;
  readonly rid: number;
}

/** Host bridges, the south bridge of a PC, and the functions behind which extra hosts are. */
export function boardFunctions(model: Model): BoardFunction[] {
  const root = model.hosts.find((host) => host.kind === 'root');
  if (root === undefined) return [];
  const south = model.board === 'q35' ? [0xf8, 0xfb] : [];
  const pxbs = Array.from(pxbSlots(model).values(), (slot) => slot << 3);
  const base = root.buses.start << 8;
  return [0, ...south, ...pxbs].map((devfn) => ({ host: root.id, rid: base | devfn }));
}
