import { join } from 'node:path';
import { layOutTables } from '../../src/acpi/index.ts';
import {
  ModelGuest,
  type GuestFirmware,
  type GuestOptions,
  type GuestPlatform,
  type PlatformInterrupt,
} from '../../src/driver/index.ts';
import { buildFirmware } from '../../src/firmware/index.ts';
import {
  boardTables,
  buildMachine,
  type Machine,
  type MachineEvent,
  type MachineOptions,
} from '../../src/machine/index.ts';
import { loadTopology, parseTopology, type Loaded, type Model } from '../../src/topology/index.ts';

const TOPOLOGIES = join(import.meta.dirname, '../../topologies');

export function shippedModel(name: string): Model {
  return modelOf(loadTopology(join(TOPOLOGIES, `${name}.yaml`)), name);
}

/** A topology of a text, errors of rules allowed: firmware may be wrong on purpose. */
export function modelFrom(text: string, name = 'test'): Model {
  return modelOf(parseTopology(text, join(TOPOLOGIES, `${name}.yaml`)), name);
}

function modelOf({ model, diagnostics }: Loaded, name: string): Model {
  if (model !== undefined) return model;
  throw new Error(`${name}: ${diagnostics.map(({ message }) => message).join('; ')}`);
}

/** A machine with everything that happens in it on record. */
export interface World {
  readonly machine: Machine;
  readonly platform: GuestPlatform;
  readonly interrupts: PlatformInterrupt[];
  readonly events: MachineEvent[];
}

export function world(model: Model, options: MachineOptions = {}): World {
  const interrupts: PlatformInterrupt[] = [];
  const events: MachineEvent[] = [];
  const machine = buildMachine(model, {
    onInterrupt: (interrupt) => void interrupts.push(interrupt),
    ...options,
  });
  machine.subscribe((event) => void events.push(event), {
    iommu: ['request', 'fault', 'attach', 'detach', 'bypass', 'translation'],
  });
  const platform = {
    memory: machine.memory,
    bus: machine.bus,
    takeInterrupts: () => interrupts.splice(0),
    run: () => machine.isWaiting && machine.runPending(),
  };
  return { machine, platform, interrupts, events };
}

/** Firmware of a topology as its guest finds it. */
export function firmwareOf(model: Model, kind: 'device-tree' | 'acpi'): GuestFirmware {
  const { dtb, viot, iort, mcfg } = buildFirmware(model);
  if (kind === 'device-tree') {
    if (dtb === undefined) throw new Error(`${model.name} has no device tree`);
    return { kind, blob: dtb };
  }
  const own = [viot, iort, mcfg].flatMap((table) => (table === undefined ? [] : [table]));
  const blob = layOutTables((model.memory[0]?.start ?? 0n) + 0x20_0000n, [
    ...boardTables(model),
    ...own,
  ]);
  return { kind, images: [blob], rsdp: blob.rsdpAddress, memory: model.memory };
}

/** A booted guest in its world. */
export function bootModel(
  model: Model,
  options: GuestOptions & { readonly kind?: 'device-tree' | 'acpi' } = {},
  machine: MachineOptions = {},
): World & { readonly guest: ModelGuest } {
  const made = world(model, machine);
  const kind = options.kind ?? (model.firmware.deviceTree ? 'device-tree' : 'acpi');
  const guest = ModelGuest.boot(made.platform, firmwareOf(model, kind), options);
  return { ...made, guest };
}

/** Requests that the vIOMMUs saw: `attach`, `map` …, with their statuses. */
export function requests(events: readonly MachineEvent[]): {
  name: string;
  status: number | undefined;
  endpoint?: number;
  domain?: number;
  flags?: number;
}[] {
  return events.flatMap((one) => {
    if (one.source !== 'viommu' || one.event.kind !== 'request') return [];
    const { name, status, fields } = one.event;
    const { endpoint, domain, flags } = fields;
    return [
      {
        name,
        status,
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(domain === undefined ? {} : { domain }),
        ...(flags === undefined ? {} : { flags }),
      },
    ];
  });
}
