import type { Endpoint, ReservedRegion, Viommu } from '../model.ts';
import type { RegionInput } from '../schema/machine.ts';
import type { Context } from './context.ts';
import { REGION_SCOPE } from './problems.ts';

const KEY = 'reserved-regions';

export function resolveRegions(
  context: Context,
  viommus: readonly Viommu[],
  endpoints: readonly Endpoint[],
): ReservedRegion[] {
  return (context.input[KEY] ?? []).flatMap((input, index) => {
    if (!context.define('reserved region', input.id, context.idPlace(KEY, index))) return [];
    const type = input.type ?? 'reserved';
    const via = input.via ?? [type === 'direct' ? 'device-tree' : 'probe'];
    checkCarrier(context, input, index, type, via);
    const scope = scopeOf(context, input, index, viommus, endpoints);
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

function scopeOf(
  context: Context,
  input: RegionInput,
  index: number,
  viommus: readonly Viommu[],
  endpoints: readonly Endpoint[],
): { endpoints: string[]; viommu?: string } {
  const place = context.idPlace(KEY, index);
  if ((input.viommu === undefined) === (input.endpoints === undefined)) {
    const what = input.viommu === undefined ? 'neither' : 'both';
    const message = `"${input.id}" states ${what} \`viommu\` and \`endpoints\``;
    context.report(REGION_SCOPE, place, message);
  }
  if (input.endpoints === undefined) {
    const at = context.place(KEY, index, 'viommu');
    const viommu = context.lookUp(['vIOMMU'], input.viommu, at);
    if (viommu === undefined || !viommus.some((v) => v.id === viommu)) return { endpoints: [] };
    const behind = endpoints.filter((endpoint) => endpoint.viommu === viommu);
    return { viommu, endpoints: behind.map((endpoint) => endpoint.id) };
  }
  const names = input.endpoints.flatMap((id, item) => {
    const at = context.place(KEY, index, 'endpoints', item);
    const name = context.lookUp(['endpoint'], id, at);
    const endpoint = endpoints.find((e) => e.id === name);
    if (endpoint === undefined) return [];
    if (endpoint.viommu === undefined) {
      const related = [{ place: endpoint.place, message: 'no vIOMMU translates it' }];
      const message = `"${id}" bypasses: the region "${input.id}" means nothing to it`;
      context.report(REGION_SCOPE, at, message, { related });
    }
    return [id];
  });
  return { endpoints: names };
}
