import type { Model } from '../topology/index.ts';
import type { DeviceEvent } from './events.ts';
import { HostAudit, type HostRecord } from './host-audit.ts';
import { RequestTrace, type TraceRecord } from './request-trace.ts';

/** What is kept of single endpoints beyond tallies. */
export interface EndpointTraceRecord {
  /** Of passed-through endpoints. */
  readonly hosts: readonly HostRecord[];
  /** Of endpoints that a program in the guest's user space drives. */
  readonly traces: readonly TraceRecord[];
}

/** Follows the few endpoints whose story is wanted whole. Needs a backend whose events are complete. */
export class EndpointTraces {
  readonly #hosts: HostAudit;
  readonly #traces: RequestTrace;

  constructor(model: Model) {
    this.#hosts = new HostAudit(model);
    this.#traces = new RequestTrace(model);
  }

  add(event: DeviceEvent): void {
    this.#hosts.add(event);
    this.#traces.add(event);
  }

  finish(): EndpointTraceRecord {
    return { hosts: this.#hosts.finish(), traces: this.#traces.finish() };
  }
}
