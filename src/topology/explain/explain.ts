import { contains, hex } from '../../bytes/index.ts';
import { linuxPciName } from '../../spec/pci.ts';
import type { Diagnostic, Place } from '../diagnostic.ts';
import type { Facts } from '../facts.ts';
import { checkFacts } from '../rules/index.ts';
import { explainAddress } from './iova.ts';
import { explainIortMsi, explainTreeMsi } from './msi.ts';
import { explainTree } from './tree.ts';
import { Trail, type Asker, type Conclusion, type Explanation } from './types.ts';
import { conclude } from './viommu.ts';
import { explainViot } from './viot.ts';

/**
 * Why Linux will, or will not, put an endpoint behind a vIOMMU: every row, node and property that it
 * looks at, in its order, for each description of the machine that there is.
 *
 * Works on facts of any origin. Without a model, what only the machine knows (whether the device
 * has such an endpoint, boot-bypass, regions of PROBE) is said to be unknown.
 *
 * @param address an IOVA, 0 to 2^64 - 1
 */
export function explain(facts: Facts, asker: Asker, address?: bigint): Explanation {
  const trail = new Trail();
  requester(trail, facts, asker);
  const conclusions: Conclusion[] = [];
  if (facts.tree !== undefined) {
    const way = explainTree(trail, facts, facts.tree, asker);
    conclusions.push(conclude(trail, facts, asker, way, 'device-tree'));
    explainTreeMsi(trail, facts, facts.tree, asker);
  }
  if (facts.viot !== undefined) {
    const way = explainViot(trail, facts, facts.viot, asker);
    conclusions.push(conclude(trail, facts, asker, way, 'viot'));
    explainIortMsi(trail, facts, asker);
  }
  const about =
    address === undefined ? undefined : explainAddress(trail, facts, asker, conclusions, address);
  const { steps } = trail;
  return {
    asker,
    steps,
    conclusions,
    ...(about === undefined ? {} : { address: about }),
    diagnostics: concerning(
      facts,
      steps.flatMap(({ place }) => place ?? []),
      asker,
    ),
  };
}

function requester(trail: Trail, { model }: Facts, asker: Asker): void {
  const { location, id } = asker;
  const own = model?.endpoints.find((endpoint) => endpoint.id === id);
  const device = own?.device === undefined ? '' : `, a ${own.device.kind}`;
  if (location.kind === 'platform') {
    const at = location.base === undefined ? '' : ` with registers at ${hex(location.base)}`;
    trail.say('requester', 'ok', `${asker.label} is a platform device${at}${device}`, own?.place);
    return;
  }
  const { segment, rid } = location;
  const text = `${asker.label} is requester ID ${hex(rid)} of segment ${segment}${device}`;
  trail.say('requester', 'ok', text, own?.place);
  for (const host of model?.hosts ?? []) {
    const bridge = host.bridges.find(
      (it) =>
        it.kind === 'pcie-pci-bridge' && host.segment === segment && contains(it.buses, rid >>> 8),
    );
    if (bridge === undefined) continue;
    const alias = linuxPciName(bridge.buses.start << 8, segment);
    trail.say(
      'requester',
      'note',
      `it is behind the PCIe-to-PCI bridge ${bridge.id}: its DMA carries the bridge's alias ${alias}, which Linux asks for as well`,
      bridge.place,
    );
  }
}

/** Findings at the places that were visited, and at the endpoint itself. */
function concerning(facts: Facts, places: readonly Place[], { id }: Asker): Diagnostic[] {
  const visited = new Set(places.map(keyOf));
  const own = facts.model?.endpoints.find((endpoint) => endpoint.id === id);
  if (own !== undefined)
    for (const place of [own.place, ...Object.values(own.places)]) visited.add(keyOf(place));
  return checkFacts(facts).filter(
    ({ place, related }) =>
      visited.has(keyOf(place)) || related.some((other) => visited.has(keyOf(other.place))),
  );
}

function keyOf(place: Place): string {
  switch (place.kind) {
    case 'source':
      return `${place.file}:${place.start}`;
    case 'tree':
      return `${place.path} ${place.property ?? ''} ${place.offset ?? ''}`;
    case 'table':
      return `${place.table}+${place.offset}`;
    case 'file':
      return place.file;
    default:
      return place satisfies never;
  }
}
