import type { Endpoint, ReservedRegion, Viommu } from '../model.ts';
import type { RegionInput } from '../schema/machine.ts';
import type { Context } from './context.ts';
import { YAML_TOO_BIG } from '../source/problems.ts';
import { REGION_SCOPE } from './problems.ts';

const KEY = 'reserved-regions';
/** Each is a tuple in the tree, which a guest reads whole. */
const PAIRS_MAX = 65_536;

export function resolveRegions(
  context: Context,
  viommus: readonly Viommu[],
  endpoints: readonly Endpoint[],
): ReservedRegion[] {
  const scopes = new Scopes(viommus, endpoints);
  return (context.input[KEY] ?? []).flatMap((input, index) => {
    if (!context.define('reserved region', input.id, context.idPlace(KEY, index))) return [];
    const type = input.type ?? 'reserved';
    const via = input.via ?? [type === 'direct' ? 'device-tree' : 'probe'];
    checkCarrier(context, input, index, type, via);
    const inTree = via.includes('device-tree');
    const scope = scopeOf(context, input, index, scopes, inTree);
    const { physical } = input;
    return [
      {
        id: input.id,
        range: input.range,
        type,
        via,
        ...scope,
        ...(physical === undefined ? {} : { physical }),
        place: context.idPlace(KEY, index),
      },
    ];
  });
}

function checkCarrier(
  context: Context,
  input: RegionInput,
  index: number,
  type: ReservedRegion['type'],
  via: ReservedRegion['via'],
): void {
  const wrong =
    (type === 'direct' && via.includes('probe') && 'PROBE has no direct regions') ||
    (type === 'msi' && via.includes('device-tree') && 'a device tree has no MSI regions') ||
    (via.length === 0 && 'nothing tells the guest');
  if (wrong) {
    const place = context.place(KEY, index, 'via');
    context.report(REGION_SCOPE, place, `"${input.id}" is of type ${type}: ${wrong}`);
  }
  const treeless = via.includes('device-tree') && context.input.board === 'q35';
  if (treeless) {
    const place = context.place(KEY, index, 'via');
    context.report(REGION_SCOPE, place, `q35 has no device tree to carry "${input.id}"`);
  }
}

/** Endpoints by name and by vIOMMU, and how much the tree has to say so far. */
class Scopes {
  readonly byId: ReadonlyMap<string, Endpoint>;
  /** One list for all regions of a vIOMMU: each would be as long as the file. */
  readonly behind = new Map<string, string[]>();
  pairs = 0;

  constructor(viommus: readonly Viommu[], endpoints: readonly Endpoint[]) {
    this.byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    for (const { id } of viommus) this.behind.set(id, []);
    for (const { id, viommu = '' } of endpoints) this.behind.get(viommu)?.push(id);
  }
}

interface Scope {
  readonly endpoints: readonly string[];
  readonly viommu?: string;
}

function scopeOf(
  context: Context,
  input: RegionInput,
  index: number,
  scopes: Scopes,
  inTree: boolean,
): Scope {
  const place = context.idPlace(KEY, index);
  if ((input.viommu === undefined) === (input.endpoints === undefined)) {
    const [both, and] = input.viommu === undefined ? ['neither', 'nor'] : ['both', 'and'];
    const message = `"${input.id}" states ${both} \`viommu\` ${and} \`endpoints\``;
    context.report(REGION_SCOPE, place, message);
  }
  const scope =
    input.endpoints === undefined
      ? ofViommu(context, input, index, scopes)
      : { endpoints: ofEndpoints(context, input.endpoints, input.id, index, scopes) };
  scopes.pairs += inTree ? scope.endpoints.length : 0;
  if (scopes.pairs <= PAIRS_MAX) return scope;
  const message = `device-tree regions name endpoints more than ${PAIRS_MAX} times`;
  context.report(YAML_TOO_BIG, place, message, { cure: 'report them by PROBE: `via: [probe]`' });
  return { endpoints: [] };
}

function ofViommu(context: Context, input: RegionInput, index: number, scopes: Scopes): Scope {
  const at = context.place(KEY, index, 'viommu');
  const viommu = context.lookUp(['vIOMMU'], input.viommu, at);
  if (viommu === undefined) return { endpoints: [] };
  return { viommu, endpoints: scopes.behind.get(viommu) ?? [] };
}

function ofEndpoints(
  context: Context,
  ids: readonly string[],
  region: string,
  index: number,
  scopes: Scopes,
): string[] {
  return ids.flatMap((id, item) => {
    const at = context.place(KEY, index, 'endpoints', item);
    const name = context.lookUp(['endpoint'], id, at);
    const endpoint = name === undefined ? undefined : scopes.byId.get(name);
    if (endpoint === undefined) return [];
    if (endpoint.viommu === undefined) {
      const related = [{ place: endpoint.place, message: 'no vIOMMU translates it' }];
      const message = `"${id}" bypasses: the region "${region}" means nothing to it`;
      context.report(REGION_SCOPE, at, message, { related });
    }
    return [id];
  });
}
