import type { Place } from '../diagnostic.ts';
import type {
  Board,
  EndpointOverrides,
  FirmwareOptions,
  FirmwareOverrides,
  HostOverrides,
  RawCell,
  RegionOverrides,
  ViommuOverrides,
} from '../model.ts';
import type { OverridesInput } from '../schema/firmware.ts';
import { resolveViotOverrides } from './viot-overrides.ts';
import type { Context, NameKind } from './context.ts';
import { BOARD_LACKS } from './problems.ts';

const AT = ['firmware', 'overrides'] as const;
/** What a cell may name: everything that has a node of its own. */
const NODES: readonly NameKind[] = ['vIOMMU', 'doorbell', 'host', 'endpoint', 'reserved region'];

/** Call last: overrides name everything else. */
export function resolveFirmware(context: Context, board: Board): FirmwareOptions {
  const input = context.input.firmware;
  const deviceTree = input?.['device-tree'] ?? board !== 'q35';
  if (deviceTree && board === 'q35') {
    const place = context.place('firmware', 'device-tree');
    context.report(BOARD_LACKS, place, 'q35 boots by ACPI: it takes no device tree');
  }
  const overrides = input?.overrides && resolveOverrides(context, input.overrides);
  return {
    deviceTree,
    acpi: input?.acpi ?? true,
    ...(overrides === undefined ? {} : { overrides }),
  };
}

function resolveOverrides(context: Context, input: OverridesInput): FirmwareOverrides {
  const viot = input.viot && resolveViotOverrides(context, input.viot);
  const delta = input.iort?.['id-count-delta'];
  return {
    hosts: each(context, 'hosts', 'host', input.hosts, hostOverrides),
    viommus: each(context, 'viommus', 'vIOMMU', input.viommus, (v, places): ViommuOverrides => ({
      ...some('described', v.described),
      ...some('reg', v.reg),
      ...some('nodeName', v['node-name']),
      ...some('iommuCells', v['#iommu-cells']),
      ...some('status', v.status),
      places,
    })),
    endpoints: each(
      context,
      'endpoints',
      'endpoint',
      input.endpoints,
      (e, places, at): EndpointOverrides => ({
        ...some('iommus', e.iommus && cells(context, e.iommus, [...at, 'iommus'])),
        places,
      }),
    ),
    regions: each(
      context,
      'regions',
      'reserved region',
      input.regions,
      (r, places): RegionOverrides => ({
        ...some('iommuAddresses', r['iommu-addresses']),
        ...some('memoryRegion', r['memory-region']),
        places,
      }),
    ),
    ...(viot === undefined ? {} : { viot }),
    ...(input.iort === undefined
      ? {}
      : { iort: { ...some('idCountDelta', delta), places: context.places(...AT, 'iort') } }),
    ...some('padding', input.padding),
  };

  function hostOverrides(
    h: NonNullable<OverridesInput['hosts']>[string],
    places: Readonly<Record<string, Place>>,
    at: readonly string[],
  ): HostOverrides {
    const msiMap = h['msi-map'];
    const parent = h['msi-parent'];
    if (parent !== undefined) context.lookUp(NODES, parent, context.place(...at, 'msi-parent'));
    return {
      ...some('iommuMap', h['iommu-map'] && cells(context, h['iommu-map'], [...at, 'iommu-map'])),
      ...some('iommuMapMask', h['iommu-map-mask']),
      ...some(
        'msiMap',
        typeof msiMap === 'object' ? cells(context, msiMap, [...at, 'msi-map']) : msiMap,
      ),
      ...some('msiParent', parent),
      ...some('pciDomain', h['linux,pci-domain']),
      places: {
        ...places,
        ...rowPlaces(context, h['iommu-map'], [...at, 'iommu-map']),
        ...rowPlaces(context, h['msi-map'], [...at, 'msi-map']),
      },
    };
  }
}

/** The place of each row, as `iommu-map/0` and so on. */
function rowPlaces(
  context: Context,
  rows: readonly (readonly RawCell[])[] | 'none' | undefined,
  at: readonly [...string[], string],
): Record<string, Place> {
  if (typeof rows !== 'object') return {};
  const key = at.at(-1) ?? '';
  return Object.fromEntries(rows.map((_, i) => [`${key}/${i}`, context.place(...at, i)]));
}

/** `{ [key]: value }`, or nothing when there is no value. */
function some<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

/** Overrides of named things; names that nothing has are reported. */
function each<I, O>(
  context: Context,
  key: 'hosts' | 'viommus' | 'endpoints' | 'regions',
  kind: NameKind,
  input: Readonly<Record<string, I>> | undefined,
  make: (value: I, places: Readonly<Record<string, Place>>, at: readonly string[]) => O,
): Record<string, O> {
  // No prototype: `constructor` is a name like any other.
  const result = Object.create(null) as Record<string, O>;
  for (const [id, value] of Object.entries(input ?? {})) {
    const at = [...AT, key, id];
    if (context.lookUp([kind], id, context.keyPlace(...at)) === undefined) continue;
    result[id] = make(value, context.places(...at), at);
  }
  return result;
}

/** Rows of cells; a name must be of something that has a node. */
function cells(
  context: Context,
  rows: readonly (readonly RawCell[])[],
  at: readonly string[],
): readonly (readonly RawCell[])[] {
  rows.forEach((row, i) =>
    row.forEach((cell, j) => {
      if (typeof cell !== 'string') return;
      const known = context.lookUp(NODES, cell, context.place(...at, i, j));
      if (known === undefined) context.partial = true;
    }),
  );
  return rows;
}
