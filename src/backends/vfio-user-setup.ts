import { z } from 'zod';

import { CoverageIndex, reservedRegions, type Machine } from '../machine/index.ts';
import { boardFunctions, DISK_SIZE_DEFAULT } from '../qemu/index.ts';
import {
  AccessAudit,
  DeviceRecorder,
  EndpointTraces,
  type DeviceEvent,
  type DeviceRecord,
  type MachineRecord,
} from '../scenario/index.ts';
import { Tap, type ServerSetup, type SetupContext } from '../vfio-user/index.ts';
import { MachineTalk } from './machine-talk.ts';
import { MachineWatch } from './machine-watch.ts';
import { middleOf, PatternStore } from './model-disk.ts';
import { deviceEvent, WATCHED } from './model-events.ts';
import { DEBUG_QUESTION, debugAnswers } from './remote-debug.ts';
import { DISK_WRITE_BYTES } from './plan.ts';
import { TapLink } from './tap-link.ts';

/** What the backend tells the server's thread. */
const DATA = z.object({
  /** Of the disks' contents. */
  seed: z.string(),
  /** Whether somebody takes events while the guest runs. */
  live: z.boolean(),
  /** TAP interfaces that are open, by endpoint. */
  taps: z.array(z.object({ endpoint: z.string(), name: z.string(), fd: z.number() })).default([]),
});

const TALK = z.object({
  kind: z.string(),
  fields: z.array(z.tuple([z.string(), z.string()])),
});

/** Events kept for a listener that is slow; beyond that they are only counted. */
const LIVE_MAX = 50_000;

/** Answer to `events`. */
export interface LiveEvents {
  readonly events: readonly DeviceEvent[];
  /** As many came after these and were dropped. */
  readonly lost: number;
}

/** What is kept of one boot of the guest. */
interface Boot {
  readonly recorder: DeviceRecorder;
  readonly audit: AccessAudit;
  readonly traces: EndpointTraces;
  readonly watch: MachineWatch;
  readonly talk: MachineTalk;
}

/**
 * Runs in the server's thread: disks, and the record of all that the devices do. It is folded there,
 * since a guest makes thousands of events in a second and no thread needs to be told of each.
 */
export function setup(context: SetupContext): ServerSetup {
  const { seed, live, taps } = DATA.parse(context.data);
  const cables = taps.map(({ endpoint, name, fd }) => {
    const link = new TapLink(new Tap(name, fd));
    return { endpoint, link, source: { fd, work: (): boolean => link.work() } };
  });
  const { model } = context;
  const disks = new Map<string, PatternStore>();
  let boot: Boot | undefined;
  let answer: string | undefined;
  let subscribed = false;
  let waiting: DeviceEvent[] = [];
  let lost = 0;
  const started = performance.now();
  const nanoseconds = (): bigint => BigInt(Math.round((performance.now() - started) * 1e6));
  const subscribe = (machine: Machine): void => {
    machine.subscribe(
      (event) => {
        const told = deviceEvent(machine, event);
        // QEMU has the MSI-X tables, and sends the messages: here they have no address.
        if (told === undefined || told.kind === 'msi' || boot === undefined) return;
        const timed = { ...told, time: (performance.now() - started) / 1000 };
        boot.recorder.add(timed);
        boot.audit.add(timed);
        boot.traces.add(timed);
        boot.watch.event(event);
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
      link: ({ id }) => cables.find(({ endpoint }) => endpoint === id)?.link,
    },
    sources: cables.map(({ source }) => source),
    questions: {
      [DEBUG_QUESTION]: debugAnswers(context, nanoseconds),
      watch: () => {
        const machine = context.machine();
        if (!subscribed) {
          addBoardFunctions(machine);
          subscribe(machine);
          subscribed = true;
        }
        const audit = new AccessAudit(model);
        const watch = new MachineWatch(machine, audit);
        watch.started(boot === undefined ? 'power-on' : 'reset');
        const talk = new MachineTalk(machine, watch, (text) => void (answer = text));
        const traces = new EndpointTraces(model);
        boot = { recorder: new DeviceRecorder(), audit, traces, watch, talk };
      },
      events: (): LiveEvents => {
        const taken = { events: waiting, lost };
        waiting = [];
        lost = 0;
        return taken;
      },
      record: (): DeviceRecord | undefined =>
        boot === undefined
          ? undefined
          : {
              ...boot.recorder.finish(),
              audit: boot.audit.finish(),
              ...boot.traces.finish(),
              machine: withoutBatches(boot.watch.finish()),
            },
      talk: (argument) => {
        const { kind, fields } = TALK.parse(argument);
        answer = undefined;
        boot?.talk.record(kind, new Map(fields));
        return answer;
      },
      taps: () => cables.flatMap(({ link }) => link.troubles),
      harmed: () => boot?.talk.harmed ?? [],
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

/** A server that is busy needs no notification: what came with one says nothing of the guest. */
function withoutBatches(record: MachineRecord): MachineRecord {
  const { largestBatch: _, ...unmaps } = record.unmaps;
  return { ...record, unmaps };
}
