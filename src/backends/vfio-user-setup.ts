import { z } from 'zod';

import { CoverageIndex, reservedRegions, type Machine } from '../machine/index.ts';
import { boardFunctions, DISK_SIZE_DEFAULT } from '../qemu/index.ts';
import { AccessAudit, DeviceRecorder, type DeviceEvent } from '../scenario/index.ts';
import type { ServerSetup, SetupContext } from '../vfio-user/index.ts';
import { middleOf, PatternStore } from './model-disk.ts';
import { deviceEvent, WATCHED } from './model-events.ts';
import { DISK_WRITE_BYTES } from './plan.ts';

/** What the backend tells the server's thread. */
const DATA = z.object({
  /** Of the disks' contents. */
  seed: z.string(),
  /** Whether somebody takes events while the guest runs. */
  live: z.boolean(),
});

/** Events kept for a listener that is slow; beyond that they are only counted. */
const LIVE_MAX = 50_000;

/** Answer to `events`. */
export interface LiveEvents {
  readonly events: readonly DeviceEvent[];
  /** As many came after these and were dropped. */
  readonly lost: number;
}

/**
 * Runs in the server's thread: disks, and the record of all that the devices do. It is folded there,
 * since a guest makes thousands of events in a second and no thread needs to be told of each.
 */
export function setup(context: SetupContext): ServerSetup {
  const { seed, live } = DATA.parse(context.data);
  const { model } = context;
  const disks = new Map<string, PatternStore>();
  const recorder = new DeviceRecorder();
  const audit = new AccessAudit(model);
  let waiting: DeviceEvent[] = [];
  let lost = 0;
  const watch = (machine: Machine): void => {
    const started = performance.now();
    machine.subscribe(
      (event) => {
        const told = deviceEvent(machine, event);
        // QEMU has the MSI-X tables, and sends the messages: here they have no address.
        if (told === undefined || told.kind === 'msi') return;
        const timed = { ...told, time: (performance.now() - started) / 1000 };
        recorder.add(timed);
        audit.add(timed);
        if (!live) return;
        if (waiting.length < LIVE_MAX) waiting.push(timed);
        else lost++;
      },
      { iommu: WATCHED },
    );
  };
  return {
    machine: {
      store: ({ id, device }) => {
        const image = { endpoint: id, size: device?.size ?? DISK_SIZE_DEFAULT, seed };
        const disk = new PatternStore(image);
        disks.set(id, disk);
        return disk;
      },
    },
    questions: {
      watch: () => {
        addBoardFunctions(context.machine());
        watch(context.machine());
      },
      events: (): LiveEvents => {
        const taken = { events: waiting, lost };
        waiting = [];
        lost = 0;
        return taken;
      },
      record: () => ({ ...recorder.finish(), audit: audit.finish() }),
      written: () =>
        new Map(
          Array.from(disks, ([id, disk]) => {
            const middle = middleOf(disk.size);
            const bytes = Math.min(DISK_WRITE_BYTES, disk.size - middle);
            return [id, disk.sha256(middle, bytes)];
          }),
        ),
    },
  };
}

/**
 * The functions of QEMU's own board are behind a vIOMMU too, where the firmware says so, and a guest
 * asks about them; here they exist as endpoints only.
 */
function addBoardFunctions(machine: Machine): void {
  const { model } = machine;
  const coverage = new CoverageIndex(model);
  for (const { host: id, rid } of boardFunctions(model)) {
    const host = model.hosts.find((one) => one.id === id);
    const placed = host === undefined ? undefined : coverage.find(host.segment, rid);
    const device = machine.viommus.get(placed?.viommu ?? '')?.device;
    if (host === undefined || placed === undefined || device === undefined) continue;
    if (device.endpoints.get(placed.endpointId) !== undefined) continue;
    const reserved = reservedRegions(model, { viommu: placed.viommu, host });
    device.addEndpoint({ id: placed.endpointId, reserved });
  }
}
