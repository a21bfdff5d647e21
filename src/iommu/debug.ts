import { hex, showRange } from '../bytes/index.ts';
import { ACCESS_WRITE } from '../memory/index.ts';
import type { Counters } from './counters.ts';
import type { IommuDevice } from './device.ts';
import { reportOf, type FaultReason } from './faults.ts';
import { listDomains, listEndpoints, listMappings } from './query.ts';
import { USUAL_KINDS, type IommuEvent, type IommuEventKind } from './stream.ts';
import { lower, upper } from './wide.ts';

/** What `fault` injects: a record as if that access had been refused. */
export interface InjectedFault {
  readonly reason: FaultReason;
  readonly endpoint: number;
  readonly address: bigint;
  /** ACCESS_READ, ACCESS_WRITE; default 0, an access of unknown direction. */
  readonly access?: number;
}

/**
 * The debug commands of the RFC's kvmtool patches: list, stat, dump, print, flood, noprint, fault.
 * All answers are text lines, for people; programs use the query functions.
 */
export class IommuDebug {
  readonly #device: IommuDevice;
  #end: (() => void) | undefined;

  constructor(device: IommuDevice) {
    this.#device = device;
  }

  /** The endpoints and where each stands. */
  list(): string[] {
    return listEndpoints(this.#device.state).map(
      ({ id, domain, path, passedThrough, reserved }) => {
        const where = domain === undefined ? 'unattached' : `domain ${domain}`;
        const host = passedThrough ? ', passed through' : '';
        const regions = reserved.map(({ range, type }) => ` ${type} ${showRange(range)}`).join('');
        return `endpoint ${hex(id)}: ${where}, ${path}${host}${regions}`;
      },
    );
  }

  /** Counters, and the memory that mappings take now. */
  stat(): Readonly<Counters> & { readonly residentBytes: number } {
    const residentBytes = listDomains(this.#device.state).reduce(
      (sum, { bytes }) => sum + bytes,
      0,
    );
    return { ...this.#device.state.counters, residentBytes };
  }

  /** Domains with their endpoints and mappings; at most `most` mappings of each. */
  dump(most = 1000): string[] {
    const { state } = this.#device;
    return listDomains(state).flatMap(({ id, bypass, endpoints, mappings }) => {
      const members = endpoints.map((endpoint) => hex(endpoint)).join(' ');
      const lines = [`domain ${id}${bypass ? ' (bypass)' : ''}: endpoints ${members}`];
      for (const { start, end, physical, flags } of listMappings(state, id)) {
        if (lines.length > most) {
          lines.push(`  ... ${mappings - most} more`);
          break;
        }
        lines.push(`  ${showRange({ start, end })} -> ${hex(physical)} ${showFlags(flags)}`);
      }
      return lines;
    });
  }

  /** Prints requests, faults and changes from now on. */
  print(write: (line: string) => void): void {
    this.#follow(write, USUAL_KINDS);
  }

  /** As `print`, and each translation too. */
  flood(write: (line: string) => void): void {
    this.#follow(write, [...USUAL_KINDS, 'translation']);
  }

  noprint(): void {
    this.#end?.();
    this.#end = undefined;
  }

  /** Reports a fault that did not happen. False when too many wait already. */
  fault({ reason, endpoint, address, access = 0 }: InjectedFault): boolean {
    const { state } = this.#device;
    const report = reportOf(reason, endpoint, access, upper(address), lower(address));
    const outcome = state.report(report);
    state.tellFault(reason, endpoint, access, report.addressHi, report.addressLo, outcome);
    if (outcome === 'queued') state.onReport?.();
    return outcome === 'queued';
  }

  /** Lets the next accesses of an endpoint fail, with reason unknown; false when there is none. */
  failAccesses(endpoint: number, count = 1): boolean {
    const found = this.#device.endpoints.get(endpoint);
    if (found === undefined) return false;
    found.injected = count;
    // What it has cached must not get past.
    this.#device.state.epoch++;
    return true;
  }

  #follow(write: (line: string) => void, kinds: readonly IommuEventKind[]): void {
    this.noprint();
    this.#end = this.#device.stream.subscribe((event) => write(showEvent(event)), kinds);
  }
}

const STATUS = ['OK', 'IOERR', 'UNSUPP', 'DEVERR', 'INVAL', 'RANGE', 'NOENT', 'FAULT', 'NOMEM'];

/** One line for an event. */
export function showEvent(event: IommuEvent): string {
  switch (event.kind) {
    case 'request':
      return showRequest(event);
    case 'attach':
      return `attach: endpoint ${hex(event.endpoint)} to ${event.bypass ? 'bypass ' : ''}domain ${event.domain}`;
    case 'detach':
      return `detach: endpoint ${hex(event.endpoint)} from domain ${event.domain}`;
    case 'fault':
      return `fault: ${event.reason}, endpoint ${hex(event.endpoint)} ${showAccess(event.access)} ${hex(event.address)}, report ${event.report}`;
    case 'translation':
      return `${event.how}: endpoint ${hex(event.endpoint)} ${showAccess(event.access)} ${hex(event.iova)}+${event.length}`;
    case 'bypass':
      return `bypass: ${event.value ? 'on' : 'off'} (${event.cause})`;
    case 'reset':
      return event.system ? 'system reset' : 'device reset';
    default:
      return `endpoint ${hex(event.endpoint)} ${event.present ? 'added' : 'removed'}`;
  }
}

function showRequest(event: IommuEvent & { kind: 'request' }): string {
  const { domain, endpoint, virt, phys, flags } = event.fields;
  const parts = [
    domain === undefined ? '' : ` domain ${domain}`,
    endpoint === undefined ? '' : ` endpoint ${hex(endpoint)}`,
    virt === undefined ? '' : ` ${showRange(virt)}`,
    phys === undefined ? '' : ` -> ${hex(phys)}`,
    flags === undefined ? '' : ` flags ${flags}`,
  ];
  const answer = event.status === undefined ? 'not answered' : (STATUS[event.status] ?? '?');
  const name = event.name === 'unknown' ? `unknown type ${event.type}` : event.name;
  return `${name}:${parts.join('')} = ${answer}, used ${event.used}`;
}

function showAccess(access: number): string {
  if (access === 0) return 'access';
  return (access & ACCESS_WRITE) !== 0 ? 'write' : 'read';
}

function showFlags(flags: number): string {
  return ['R', 'W', 'M'].map((letter, bit) => ((flags >> bit) & 1 ? letter : '-')).join('');
}
