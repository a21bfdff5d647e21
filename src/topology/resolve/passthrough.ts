import { covers, hex, overlaps, showRange, type Range } from '../../bytes/index.ts';
import type { Endpoint, Model, Passthrough, Viommu } from '../model.ts';
import type { EndpointInput } from '../schema/endpoint.ts';
import type { Context } from './context.ts';
import { PASSTHROUGH } from './problems.ts';

const PAGE = 4096n;
/** 39 bits: the smallest IOMMU that is common, and what a guest must not take for granted. */
const APERTURE: Range = { start: 0n, end: (1n << 39n) - 1n };
/** `dma_entry_limit` of Linux' VFIO type 1 driver. */
const MAPPINGS = 65_535;

/** What the file says of the host; sizes that are no power of two are kept for {@link checkPassthrough}. */
export function passthroughOf({ passthrough: input }: EndpointInput): {
  passthrough?: Passthrough;
} {
  if (input === undefined || input.enabled === false) return {};
  const sizes = input['page-sizes'] ?? [PAGE];
  return {
    passthrough: {
      pageSizeMask: sizes.reduce((mask, size) => mask | size, 0n),
      aperture: input.aperture ?? APERTURE,
      mappings: input.mappings ?? MAPPINGS,
      reserved: input.reserved ?? [],
    },
  };
}

/** Says what could not be relayed to the hosts of passed-through endpoints. */
export function checkPassthrough(context: Context, model: Model): void {
  for (const endpoint of model.endpoints) {
    const { passthrough, places, place } = endpoint;
    if (passthrough === undefined) continue;
    const viommu = model.viommus.find(({ id }) => id === endpoint.viommu);
    const wrong =
      notOne(endpoint) ??
      (viommu === undefined ? undefined : wrongSizes(context, model, endpoint, viommu)) ??
      wrongReserved(passthrough) ??
      (viommu === undefined ? undefined : wrongBypass(model, passthrough, viommu));
    if (wrong === undefined) continue;
    context.report(PASSTHROUGH, places['passthrough'] ?? place, `"${endpoint.id}" ${wrong}`);
  }
}

function notOne({ location, device, viommu }: Endpoint): string | undefined {
  if (viommu === undefined) return 'is passed through, but bypasses: there is nothing to relay';
  const one = location.kind === 'platform' || location.form === 'function';
  if (one && device !== undefined) return undefined;
  return 'is passed through, but is no single device';
}

function wrongSizes(
  context: Context,
  model: Model,
  { id, passthrough }: Endpoint,
  viommu: Viommu,
): string | undefined {
  const input = context.input.endpoints?.find((it) => it.id === id)?.passthrough;
  const sizes = input?.['page-sizes'];
  if (sizes?.length === 0) return 'is passed through from a host without a page size';
  const odd = sizes?.find((size) => (size & (size - 1n)) !== 0n);
  if (odd !== undefined) return `has a host with pages of ${odd} bytes, no power of two`;
  const granule = granuleOf(passthrough?.pageSizeMask ?? PAGE);
  if ((viommu.pageSizeMask & ~(granule - 1n)) === 0n) {
    return `has a host with pages of ${hex(granule)}, and ${viommu.id} maps none of that size or above`;
  }
  const page = model.guest.pageSize;
  if (granule <= page) return undefined;
  return `has a host with pages of ${hex(granule)}, larger than the guest's of ${hex(page)}`;
}

function granuleOf(mask: bigint): bigint {
  return mask & -mask;
}

function wrongReserved({ reserved }: Passthrough): string | undefined {
  const sorted = reserved.toSorted((a, b) => (a.start < b.start ? -1 : 1));
  for (const [index, range] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next === undefined || !overlaps(range, next)) continue;
    return `has a host that reserves ${showRange(range)} and ${showRange(next)}, which overlap`;
  }
  return undefined;
}

/** As long as unattached endpoints bypass, the host maps all RAM where it is. */
function wrongBypass(model: Model, host: Passthrough, viommu: Viommu): string | undefined {
  const { features, bootBypass, id } = viommu;
  const bypasses = features.includes('BYPASS_CONFIG') ? bootBypass : features.includes('BYPASS');
  if (!bypasses) return undefined;
  if (model.memory.length > host.mappings) {
    return `bypasses until ${id} is driven, and its host keeps fewer mappings than there are ranges of RAM`;
  }
  const within = granuleOf(host.pageSizeMask) - 1n;
  for (const ram of model.memory) {
    const fits =
      covers(host.aperture, ram) &&
      !host.reserved.some((range) => overlaps(range, ram)) &&
      ((ram.start | (ram.end + 1n)) & within) === 0n;
    if (fits) continue;
    return `bypasses until ${id} is driven, and its host cannot map the RAM at ${showRange(ram)} there`;
  }
  return undefined;
}
