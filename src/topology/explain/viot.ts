import { contains, hex, showRange } from '../../bytes/index.ts';
import { linuxPciName } from '../../spec/pci.ts';
import type { ViotDescription, ViotNode } from '../description.ts';
import { atLeast, showKernel } from '../diagnostic.ts';
import type { Facts } from '../facts.ts';
import { viommuOfViot } from '../rules/support/match.ts';
import {
  viotKey,
  viotOutput,
  type ViotEndpoint,
  type ViotIommu,
  type ViotRange,
} from '../rules/support/viot-runs.ts';
import type { Asker, Trail, Way } from './types.ts';

const PART = 'viot';

/** Nodes that do not match and are told one by one. */
const TOLD = 12;

/** From a VIOT (drivers/acpi/viot.c, viot_iommu_configure; ACPI 6.5, 5.2.34). */
export function explainViot(trail: Trail, facts: Facts, viot: ViotDescription, asker: Asker): Way {
  if (!atLeast(facts.kernel, 5, 14)) {
    const why = `Linux ${showKernel(facts.kernel)} does not read VIOT: 5.14 is the first that does`;
    trail.say(PART, 'stop', why, viot.place);
    return { fate: 'untranslated', why };
  }
  const hidden = iortFirst(trail, facts, asker);
  if (hidden !== undefined) return hidden;
  segmentExists(trail, facts, asker);
  const unread = viot.nodeCount - viot.nodes.length;
  const rest = unread > 0 ? `; ${unread} more are counted in its header and never reached` : '';
  trail.say(
    PART,
    'ok',
    `the table has ${viot.nodes.length} node(s) from offset ${hex(viot.nodeOffset)}${rest}`,
    viot.place,
  );
  const winner = searchNodes(trail, facts, viot, asker);
  if (winner === undefined) {
    const why = 'no node of the VIOT that leads to an IOMMU has it';
    trail.say(PART, 'stop', `${why}: it is not translated, and nothing is logged`, viot.place);
    return { fate: 'untranslated', why };
  }
  return outputOf(trail, facts, winner.node, winner.output, asker);
}

/** IORT is asked first, and an SMMU there is the end of it. */
function iortFirst(trail: Trail, { iort }: Facts, { location }: Asker): Way | undefined {
  if (iort === undefined || location.kind !== 'pci') return undefined;
  for (const complex of iort.rootComplexes) {
    if (complex.segment !== location.segment) continue;
    for (const mapping of complex.mappings) {
      if (!contains(mapping.input, location.rid)) continue;
      if (mapping.target === 'smmu') {
        const why = `IORT maps requester ID ${hex(location.rid)} to an SMMU, and Linux asks IORT before VIOT`;
        trail.say(PART, 'stop', why, mapping.place);
        return { fate: 'untranslated', why };
      }
      trail.say(
        PART,
        'note',
        `Linux asks IORT first: its root complex of segment ${complex.segment} sends ${hex(location.rid)} to ${mapping.target === 'its' ? 'an ITS, which is for MSIs' : 'no IOMMU'}, so that VIOT is asked`,
        mapping.place,
      );
      return undefined;
    }
  }
  return undefined;
}

function segmentExists(trail: Trail, { mcfg }: Facts, { location }: Asker): void {
  if (mcfg === undefined || location.kind !== 'pci') return;
  const { segment, rid } = location;
  const host = mcfg.hosts.find((it) => it.segment === segment && contains(it.buses, rid >>> 8));
  if (host === undefined) {
    trail.say(
      PART,
      'note',
      `MCFG gives no configuration space to bus ${hex(rid >>> 8)} of segment ${segment}: Linux sees no function there`,
      mcfg.place,
    );
    return;
  }
  trail.say(
    PART,
    'ok',
    `MCFG: buses ${showRange(host.buses)} of segment ${segment} have their configuration space at ${hex(host.ecam)}`,
    host.place,
  );
}

interface Winner {
  readonly node: ViotRange | ViotEndpoint;
  readonly output: ViotIommu;
}

/** All nodes are looked at; of those that match and lead to an IOMMU, the last one counts. */
function searchNodes(
  trail: Trail,
  facts: Facts,
  viot: ViotDescription,
  asker: Asker,
): Winner | undefined {
  let winner: Winner | undefined;
  let told = 0;
  let silent = 0;
  for (const node of viot.nodes) {
    if (node.type !== 'pci-range' && node.type !== 'mmio-endpoint') continue;
    const shown = showViotNode(node);
    if (!matches(node, asker)) {
      if (told < TOLD) trail.say(PART, 'no', `${shown}: not it`, node.place);
      else silent++;
      told++;
      continue;
    }
    const output = viotOutput(viot, node.output);
    if (output === undefined || isAbsent(facts, output)) {
      const what =
        output === undefined
          ? 'no IOMMU node starts'
          : `${showViotNode(output)} names a device that is not there`;
      trail.say(
        PART,
        'no',
        `${shown} has it, but at its output_node ${hex(node.output)} ${what}: "No IOMMU node found", and the node is dropped`,
        node.place,
      );
      continue;
    }
    if (winner !== undefined) {
      trail.say(
        PART,
        'note',
        `${showViotNode(winner.node)} has it, too, and loses: of all nodes that match, the last one in the table counts`,
        winner.node.place,
      );
    }
    winner = { node, output };
  }
  if (silent > 0) trail.say(PART, 'no', `${silent} more node(s) without it`);
  return winner;
}

function matches(node: ViotRange | ViotEndpoint, { location }: Asker): boolean {
  if (node.type === 'mmio-endpoint') {
    return location.kind === 'platform' && location.base === node.base;
  }
  return (
    location.kind === 'pci' &&
    contains(node.segments, location.segment) &&
    contains(node.rids, location.rid)
  );
}

/** A PCI IOMMU that is looked up and not found, or an MMIO one that no device of the machine is. */
function isAbsent({ model }: Facts, node: ViotIommu): boolean {
  if (model === undefined || viommuOfViot(model, node) !== undefined) return false;
  return !isThere(model, node);
}

function isThere(model: NonNullable<Facts['model']>, node: ViotIommu): boolean {
  if (node.type === 'mmio-iommu') {
    return model.endpoints.some(
      ({ location }) => location.kind === 'platform' && location.base === node.base,
    );
  }
  const { segment, rid } = node;
  const bridges = model.hosts.flatMap((host) => (host.segment === segment ? host.bridges : []));
  return (
    bridges.some((bridge) => bridge.rid === rid) ||
    model.endpoints.some(
      ({ location, device }) =>
        device !== undefined &&
        location.kind === 'pci' &&
        location.segment === segment &&
        contains(location.rids, rid),
    )
  );
}

function outputOf(
  trail: Trail,
  facts: Facts,
  node: ViotRange | ViotEndpoint,
  output: ViotIommu,
  { location }: Asker,
): Way {
  const id = endpointId(node, location);
  trail.say(
    PART,
    'ok',
    `${showViotNode(node)} has it: endpoint ID ${id.sum}, output_node ${hex(node.output)}`,
    node.place,
  );
  const target = `VIOT+${hex(output.offset)}`;
  trail.say(PART, 'ok', `${target} is ${showViotNode(output)}`, output.place);
  const own =
    output.type === 'pci-iommu'
      ? location.kind === 'pci' &&
        location.segment === output.segment &&
        location.rid === output.rid
      : location.kind === 'platform' && location.base === output.base;
  if (own) {
    const why =
      'the IOMMU that the VIOT names is this very device, which Linux does not put behind itself (EINVAL)';
    trail.say(PART, 'stop', why, output.place);
    return { fate: 'untranslated', why };
  }
  const { model } = facts;
  if (model !== undefined && viommuOfViot(model, output) === undefined) {
    const why = `${showViotNode(output)} names a device that is no virtio-iommu`;
    trail.say(
      PART,
      'stop',
      `${why}: Linux waits for a driver that never registers an IOMMU; after 15 s the log has only "deferred probe pending: (reason unknown)"`,
      output.place,
    );
    return { fate: 'deferred', why };
  }
  return { found: { key: viotKey(output), target, endpointId: id.value } };
}

/** ACPI 6.5, 5.2.34: ((segment - start) << 16) + (bdf - start) + endpoint start. */
function endpointId(
  node: ViotRange | ViotEndpoint,
  location: Asker['location'],
): { readonly value: number; readonly sum: string } {
  if (node.type === 'mmio-endpoint' || location.kind !== 'pci') {
    const value = node.type === 'mmio-endpoint' ? node.endpoint : node.endpointStart;
    return { value, sum: hex(value) };
  }
  const segment = ((location.segment - node.segments.start) << 16) >>> 0;
  const value = (segment + (location.rid - node.rids.start) + node.endpointStart) >>> 0;
  const first = segment === 0 ? '' : `${hex(segment)} + `;
  return {
    value,
    sum: `${first}(${hex(location.rid)} - ${hex(node.rids.start)}) + ${hex(node.endpointStart)} = ${hex(value)}`,
  };
}

/** `PCI range 0000:00:00.0-0000:00:1f.7`, `virtio-iommu at 0000:00:01.0`. */
export function showViotNode(node: ViotNode): string {
  switch (node.type) {
    case 'pci-range': {
      const { segments, rids } = node;
      return `the PCI range ${linuxPciName(rids.start, segments.start)}-${linuxPciName(rids.end, segments.end)}`;
    }
    case 'mmio-endpoint':
      return `the MMIO endpoint at ${hex(node.base)}`;
    case 'pci-iommu':
      return `a virtio-iommu at ${linuxPciName(node.rid, node.segment)}`;
    case 'mmio-iommu':
      return `a virtio-iommu at ${hex(node.base)}`;
    case 'unknown':
      return `a node of unknown type ${node.number}`;
    default:
      return node satisfies never;
  }
}
