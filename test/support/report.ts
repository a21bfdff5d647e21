import { reportPage, RunRecorder, type ReportInput } from '../../src/report/index.ts';
import { judge, type DeviceEvent, type Observation } from '../../src/scenario/index.ts';
import type { Model } from '../../src/topology/index.ts';
import { sampleModel, sampleObservation } from '../unit/scenario/samples.ts';

export interface SampleReport {
  readonly model?: Model;
  readonly observation?: Observation;
  readonly events?: Iterable<DeviceEvent>;
  readonly lines?: readonly string[];
  readonly recorder?: RunRecorder;
  readonly firmware?: ReportInput['firmware'];
}

/** A page made of samples, with a line of the console every 100 events. */
export async function sampleReport({
  model = sampleModel(),
  observation = sampleObservation(),
  events = [],
  lines = [],
  recorder = new RunRecorder(),
  firmware = [],
}: SampleReport = {}): Promise<string> {
  let line = 0;
  for (const event of events) {
    if (event.order % 100 === 0 && line < lines.length) {
      recorder.console(lines[line++] ?? '', event.time);
    }
    recorder.event(event);
  }
  for (const rest of lines.slice(line)) recorder.console(rest);
  const run = recorder.finish();
  const verdict = judge(model, observation);
  return reportPage({ model, verdict, observation, run, firmware, version: '0.0.0' });
}

const ENDPOINTS = [0x10, 0x18, 0x20];

/** A disk's life: attach, then map, access, MSI and unmap again and again, a fault now and then. */
export function* busyEvents(count: number): Generator<DeviceEvent> {
  let order = 0;
  const base = (): { order: number; time: number; viommu: string } => ({
    order,
    time: order * 1e-5,
    viommu: 'viommu0',
  });
  for (const [domain, endpoint] of ENDPOINTS.entries()) {
    yield { ...base(), kind: 'probe', endpoint };
    order++;
    yield { ...base(), kind: 'attach', domain, endpoint };
    order++;
  }
  while (order < count) {
    const domain = order % ENDPOINTS.length;
    const endpoint = ENDPOINTS[domain] ?? 0;
    const page = BigInt((order * 7) % 4096);
    const virt = { start: 0xf000_0000n + page * 0x1000n, end: 0xf000_0fffn + page * 0x1000n };
    const round: (() => DeviceEvent)[] = [
      () => ({
        ...base(),
        kind: 'map',
        domain,
        virt,
        phys: 0x4000_0000n + page * 0x1000n,
        flags: 3,
      }),
      () => ({
        ...base(),
        kind: 'access',
        endpoint,
        iova: virt.start,
        length: 512,
        write: order % 2 === 0,
        how: 'translated',
      }),
      () => ({ ...base(), kind: 'msi', endpoint, address: 0x809_0040n }),
      () => ({ ...base(), kind: 'unmap', domain, virt }),
      ...(order % 500 < 4
        ? [
            (): DeviceEvent => ({
              ...base(),
              kind: 'fault',
              endpoint,
              reason: 'mapping',
              address: virt.start,
              write: true,
            }),
          ]
        : []),
    ];
    for (const make of round) {
      if (order >= count) return;
      yield make();
      order++;
    }
  }
}
