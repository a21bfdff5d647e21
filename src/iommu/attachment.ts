import { Domain } from './domain.ts';
import type { Endpoint } from './endpoint.ts';
import type { IommuState } from './state.ts';

/** Puts an endpoint that has no domain into one, making the domain when it is new. */
export function join(state: IommuState, endpoint: Endpoint, id: number, bypass: boolean): Domain {
  let domain = state.domain(id);
  if (domain === undefined) {
    domain = new Domain(id, bypass);
    state.addDomain(domain);
  }
  domain.add(endpoint);
  state.epoch++;
  if (state.stream.wants('attach')) {
    state.stream.emit({ kind: 'attach', endpoint: endpoint.id, domain: id, bypass });
  }
  return domain;
}

/** Takes an endpoint out of its domain, which dies with its last one. */
export function leave(state: IommuState, endpoint: Endpoint): void {
  const { domain } = endpoint;
  if (domain === undefined) return;
  domain.remove(endpoint);
  if (domain.endpoints.size === 0) state.removeDomain(domain);
  if (state.canary !== 'detach-keeps-epoch') state.epoch++;
  if (state.stream.wants('detach')) {
    state.stream.emit({ kind: 'detach', endpoint: endpoint.id, domain: domain.id });
  }
}
