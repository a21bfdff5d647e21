import type { FirmwareImages } from '../../../scenario/index.ts';
import type { Model } from '../../../topology/index.ts';
import { InputError } from '../../exit.ts';
import type { Io } from '../../io.ts';
import { runsInQemu, type BackendName } from './backends.ts';
import { askedBackend } from './conflicts.ts';
import type { BootOptions } from './options.ts';
import type { Ready } from './ready.ts';

export type FirmwareKind = 'device-tree' | 'acpi';

/** One boot of one topology: where, and with which firmware. */
export interface Boot extends Ready {
  readonly backend: BackendName;
  readonly kind: FirmwareKind;
}

/** Kinds of firmware as `--firmware` has them. */
export const FIRMWARE_WORDS = { 'device-tree': 'dt', acpi: 'acpi' } as const satisfies Record<
  FirmwareKind,
  string
>;

/**
 * What the options make of topologies, in their order. What was chosen for the user is said in a line.
 * @throws InputError when a topology cannot have the firmware that is asked for
 */
export function planBoots(topologies: readonly Ready[], options: BootOptions, io: Io): Boot[] {
  const asked = askedBackend(options);
  const byQemu = options.firmwareBy === 'qemu';
  const boots = topologies.flatMap((ready): Boot[] => {
    const backend = asked ?? (ready.model.arch === 'arm64' ? 'emulator' : 'qemu');
    const kinds = kindsOf({ ...ready, backend, byQemu }, options.firmware, io);
    return kinds.map((kind) => ({ ...ready, backend, kind }));
  });
  const elsewhere = asked === undefined ? boots.filter(({ backend }) => backend === 'qemu') : [];
  if (elsewhere.length > 0 && options.quiet !== true) {
    const names = [...new Set(elsewhere.map(({ model }) => model.name))].join(', ');
    io.err(`on QEMU, since the emulator's CPU is an arm64 one: ${names}\n`);
  }
  if (options.console === true && boots.length > 1) {
    throw new InputError('--console: one terminal is for one guest', 'name one topology');
  }
  if (options.net.length > 0 && boots.length > 1) {
    throw new InputError(
      '--net: a TAP interface is for one guest at a time',
      'name one topology, and one --firmware',
    );
  }
  return boots;
}

interface Candidate extends Ready {
  readonly backend: BackendName;
  /** QEMU makes the firmware. */
  readonly byQemu: boolean;
}

function kindsOf(
  candidate: Candidate,
  wish: BootOptions['firmware'],
  io: Io,
): readonly FirmwareKind[] {
  const { file, backend, model, firmware } = candidate;
  if (wish === undefined) return [defaultKind(model, firmware, backend)];
  if (wish !== 'both') {
    const kind = wish === 'dt' ? 'device-tree' : 'acpi';
    const reason = whyNot(kind, candidate);
    if (reason === undefined) return [kind];
    throw new InputError(`${file}: no boot with --firmware ${wish}: ${reason.what}`, reason.cure);
  }
  const both: readonly FirmwareKind[] = ['device-tree', 'acpi'];
  const kinds = both.filter((kind) => {
    const reason = whyNot(kind, candidate);
    if (reason !== undefined)
      io.err(`${model.name}: no ${FIRMWARE_WORDS[kind]} boot: ${reason.what}\n`);
    return reason === undefined;
  });
  if (kinds.length > 0) return kinds;
  throw new InputError(`${file}: no boot with either kind of firmware`, 'see above');
}

/** An arm64 kernel that is given both takes the tree; QEMU's `virt` has nothing else for it. */
function defaultKind(
  { arch }: Model,
  { tree }: FirmwareImages,
  backend: BackendName,
): FirmwareKind {
  if (arch !== 'arm64') return 'acpi';
  return tree !== undefined || runsInQemu(backend) ? 'device-tree' : 'acpi';
}

interface Reason {
  readonly what: string;
  readonly cure: string;
}

function whyNot(kind: FirmwareKind, candidate: Candidate): Reason | undefined {
  const { backend, model, firmware, byQemu } = candidate;
  const arm = model.arch === 'arm64';
  if (kind === 'device-tree') {
    if (!arm) return { what: 'a PC has no device tree', cure: 'use --firmware acpi' };
    if (firmware.tree !== undefined || byQemu) return undefined;
    return { what: 'the topology has no device tree', cure: 'set `firmware.device-tree: true`' };
  }
  if (runsInQemu(backend)) {
    if (!arm) return undefined;
    const what = "without a UEFI, QEMU's virt machine gives a kernel no ACPI tables";
    return { what, cure: 'use --backend emulator, which needs no UEFI' };
  }
  if (!firmware.tables.has('MCFG')) {
    return {
      what: 'there is no MCFG, so that a guest finds no PCI host',
      cure: 'set `firmware.acpi: true`, and describe a PCI host',
    };
  }
  const region = model.reserved.find(({ via }) => !via.includes('probe'));
  if (region === undefined) return undefined;
  return {
    what: `only a device tree can tell of region ${region.id}`,
    cure: 'let PROBE tell of it, or take the tree',
  };
}
