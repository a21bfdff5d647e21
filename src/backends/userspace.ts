import { covers, overlaps, type Range } from '../bytes/index.ts';
import type { GuestAction, GuestReport } from '../guest/index.ts';
import {
  expectedRegions,
  type UserspaceObservation,
  type UserspaceStep,
} from '../scenario/index.ts';
import type { Endpoint, Model } from '../topology/index.ts';

/** Bytes of the program's buffer: as many as the engine's. */
const BUFFER_BYTES = 64 * 1024;
const PAGE = 4096n;
/** What the program leaves free between its mappings. */
const GAPS = 64n * PAGE;
/** More than this many mappings are not made to see whether the next one is refused. */
const MANY_MAX = 1024;
/** Addresses a program might choose, the one above 32 bits first. */
const FAVOURITES = [0x10_0000_0000n, 0x1_0000_0000n, 0x4000_0000n, 0x1000_0000n, 0x10_0000n];

/** Endpoints that a program in the guest's user space is to drive. */
export function userspaceEndpoints({ endpoints }: Model): Endpoint[] {
  return endpoints.filter(
    ({ guestDriver, viommu }) => guestDriver === 'vfio-pci' && viommu !== undefined,
  );
}

/** What the program is to do with a device; nothing where no address is free for it. */
export function userspaceCheck(model: Model, endpoint: Endpoint, at: string): GuestAction[] {
  const input = model.viommus.find(({ id }) => id === endpoint.viommu)?.inputRange;
  if (input === undefined) return [];
  const { passthrough } = endpoint;
  const mappings = passthrough?.mappings ?? 0;
  const many = mappings > 0 && mappings <= MANY_MAX ? 2 * mappings : 0;
  const regions = expectedRegions(model, [endpoint]).map(({ range }) => range);
  const span = BigInt(BUFFER_BYTES) + GAPS + BigInt(many) * 2n * PAGE;
  const iova = FAVOURITES.find((start) => {
    const range = { start, end: start + span - 1n };
    return covers(input, range) && !regions.some((region) => overlaps(region, range));
  });
  if (iova === undefined) return [];
  const beyond = addressBeyond(input, passthrough?.aperture);
  const reserved = passthrough?.reserved[0]?.start ?? regionInside(regions, input)?.start;
  return [
    {
      verb: 'vfio',
      at,
      iova,
      bytes: BUFFER_BYTES,
      ...(beyond === undefined ? {} : { beyond }),
      ...(reserved === undefined ? {} : { reserved }),
      ...(many === 0 ? {} : { many }),
      // A PC's interrupts are remapped by an IOMMU of another kind, which no topology of ours has.
      ...(model.arch === 'arm64' ? {} : { unsafe: 1 }),
    },
  ];
}

/** The first address past what can be mapped; none when all 64 bits can. */
function addressBeyond(input: Range, aperture: Range | undefined): bigint | undefined {
  const end = aperture !== undefined && aperture.end < input.end ? aperture.end : input.end;
  return end >= (1n << 64n) - PAGE ? undefined : (end + PAGE) & -PAGE;
}

function regionInside(regions: readonly Range[], input: Range): Range | undefined {
  return regions.find((region) => covers(input, region));
}

/** A device of the host lacks nothing that ours has; a GICv2m cannot tell who writes to it. */
export const VFIO_MODULES = ['vfio', 'vfio_iommu_type1', 'vfio_pci'] as const;

/** The program's lines, device by device. */
export function userspaceOf(
  { results }: GuestReport,
  linuxName: (at: string) => string,
): UserspaceObservation[] {
  const seen = new Map<string, { steps: UserspaceStep[]; ran: boolean; error?: string }>();
  for (const result of results) {
    if (result.verb !== 'vfio' && result.verb !== 'vfioend') continue;
    const device = linuxName(result.at);
    const known = seen.get(device) ?? { steps: [], ran: false };
    seen.set(device, known);
    if (result.verb === 'vfio') known.steps.push(stepOf(result.fields));
    else {
      const status = result.fields.get('status') ?? '';
      const error = result.fields.get('error') ?? '';
      known.ran = status === '0';
      if (!known.ran) known.error = status === 'timeout' ? 'timeout' : error || `exit ${status}`;
    }
  }
  return Array.from(seen, ([device, { steps, ran, error }]) => ({
    device,
    ran,
    steps,
    ...(error === undefined ? {} : { error }),
  }));
}

function stepOf(fields: ReadonlyMap<string, string>): UserspaceStep {
  const numbers = new Map<string, bigint>();
  const words = new Map<string, string>();
  for (const [key, text] of fields) {
    if (/^(?:0x[0-9a-f]{1,16}|\d{1,19})$/iu.test(text)) numbers.set(key, BigInt(text));
    else words.set(key, text);
  }
  return {
    name: words.get('step') ?? '',
    errno: Number(numbers.get('errno') ?? -1n),
    numbers,
    words,
  };
}
