import type { Range } from '../bytes/index.ts';
import type { Domain } from './domain.ts';
import type { Endpoint } from './endpoint.ts';
import type { HostOutcome, PassthroughPort } from './port.ts';
import type { IommuState } from './state.ts';

/**
 * What a host container holds for the endpoints behind it: the mappings of their domain, all guest
 * memory (bypass), or nothing.
 */
export type PortContent = Domain | 'identity' | 'nothing';

/**
 * The mappings of domains, repeated on the hosts of passed-through endpoints.
 *
 * Every change is made on all ports or on none; when a host refuses to take a change back, nobody
 * knows what its endpoints can reach, and the device asks for a reset.
 */
export class Relay {
  readonly #state: IommuState;
  readonly #contents = new Map<PassthroughPort, PortContent>();

  constructor(state: IommuState) {
    this.#state = state;
  }

  contentOf(port: PassthroughPort): PortContent {
    return this.#contents.get(port) ?? 'nothing';
  }

  /** Whether another endpoint of the port's host group is in another domain than `id`. */
  isTorn(endpoint: Endpoint, id: number): boolean {
    if (endpoint.port === undefined) return false;
    return this.#companions(endpoint).some(({ domain }) => domain && domain.id !== id);
  }

  /** The host side of an attachment; `domain` is undefined when it is still to be made. */
  attach(endpoint: Endpoint, domain: Domain | undefined, bypass: boolean): HostOutcome {
    const { port } = endpoint;
    if (port === undefined) return 'ok';
    return this.#fillWith(port, bypass ? 'identity' : (domain ?? 'nothing'));
  }

  /** A domain that did not exist when `attach` was called. */
  attached(endpoint: Endpoint, domain: Domain): void {
    if (endpoint.port && !domain.bypass) this.#contents.set(endpoint.port, domain);
  }

  /** The host side of leaving a domain. */
  detach(endpoint: Endpoint): HostOutcome {
    const { port } = endpoint;
    if (port === undefined || this.#companions(endpoint).some(({ domain }) => domain)) return 'ok';
    return this.#fillWith(port, this.#state.unattachedBypass ? 'identity' : 'nothing');
  }

  /** The endpoint is no more: what is left of its group decides what the host holds. */
  remove({ port }: Endpoint): void {
    if (port === undefined) return;
    const content = this.#wanted().get(port) ?? 'nothing';
    if (this.#fillWith(port, content) !== 'ok') this.#fail('a removed endpoint keeps its host');
    if (content === 'nothing') this.#contents.delete(port);
  }

  /** After a change of bypass, a reset or a restore: brings every port to what it should hold. */
  synchronise(): void {
    for (const [port, content] of this.#wanted()) {
      if (this.#fillWith(port, content) !== 'ok') this.#fail('the host refuses to follow');
    }
  }

  #wanted(): Map<PassthroughPort, PortContent> {
    const wanted = new Map<PassthroughPort, PortContent>();
    const unattached = this.#state.unattachedBypass ? 'identity' : 'nothing';
    for (const { port, domain } of this.#state.endpoints.values()) {
      if (port === undefined) continue;
      if (domain) wanted.set(port, domain.bypass ? 'identity' : domain);
      else if (!wanted.has(port)) wanted.set(port, unattached);
    }
    return wanted;
  }

  map(domain: Domain, iova: Range, physical: bigint, flags: number): HostOutcome {
    for (const [done, port] of domain.ports.entries()) {
      const outcome = this.#map(port, iova, physical, flags);
      if (outcome === 'ok') continue;
      if (outcome === 'lost') this.#fail('a host keeps half a MAP');
      for (const earlier of domain.ports.slice(0, done)) {
        if (earlier.unmap(iova) !== 'ok') this.#fail('the host keeps half a MAP');
      }
      return outcome;
    }
    return 'ok';
  }

  /**
   * Takes the domain's mappings in the range from all hosts; the domain must still have them, since
   * they undo a removal that fails.
   */
  unmap(domain: Domain, within: Range): HostOutcome {
    const iova = spanOf(domain, within);
    if (iova === undefined) return 'ok';
    for (const [done, port] of domain.ports.entries()) {
      const outcome = port.unmap(iova);
      if (outcome === 'ok') continue;
      this.#state.counters.relayFailures++;
      for (const earlier of domain.ports.slice(0, done)) {
        if (this.#replay(earlier, domain, iova) !== 'ok') this.#fail('the host lost half a domain');
      }
      return outcome;
    }
    return 'ok';
  }

  #companions(endpoint: Endpoint): Endpoint[] {
    return [...this.#state.endpoints.values()].filter(
      (other) => other !== endpoint && other.port === endpoint.port,
    );
  }

  #fillWith(port: PassthroughPort, content: PortContent): HostOutcome {
    const before = this.contentOf(port);
    if (before === content) return 'ok';
    const emptied = before === 'nothing' ? 'ok' : port.unmapAll();
    const outcome = emptied === 'ok' ? this.#fill(port, content) : emptied;
    if (outcome === 'ok') {
      this.#contents.set(port, content);
      return 'ok';
    }
    this.#state.counters.relayFailures++;
    // What was mapped before the failure goes, and what was there comes back.
    if (emptied === 'ok' && (port.unmapAll() !== 'ok' || this.#fill(port, before) !== 'ok')) {
      this.#fail('the host could not be brought back');
      this.#contents.set(port, 'nothing');
    }
    return outcome;
  }

  #fill(port: PassthroughPort, content: PortContent): HostOutcome {
    if (content === 'nothing') return 'ok';
    if (content === 'identity') return port.mapIdentity();
    return this.#replay(port, content);
  }

  /** Repeats the mappings of the domain, all or those in a range. */
  #replay(port: PassthroughPort, domain: Domain, within?: Range): HostOutcome {
    for (const { start, end, physical, flags } of domain.mappings.entries(within)) {
      const outcome = this.#map(port, { start, end }, physical, flags);
      if (outcome !== 'ok') return outcome;
    }
    return 'ok';
  }

  #map(port: PassthroughPort, iova: Range, physical: bigint, flags: number): HostOutcome {
    const outcome = port.map(iova, physical, flags);
    if (outcome === 'ok') this.#state.counters.relayed++;
    else this.#state.counters.relayFailures++;
    return outcome;
  }

  #fail(why: string): void {
    this.#state.broken ??= why;
  }
}

/** From the first mapping's start to the last one's end: a host wants whole pages, a guest need not. */
function spanOf(domain: Domain, within: Range): Range | undefined {
  let span: Range | undefined;
  for (const { start, end } of domain.mappings.entries(within)) {
    span = { start: span?.start ?? start, end };
  }
  return span;
}
