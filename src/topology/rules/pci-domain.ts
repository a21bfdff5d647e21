import type { TreeHost } from '../description.ts';
import type { Facts, Finding, Rule } from '../facts.ts';
import { treeHostOf } from './support/match.ts';

function* missing(hosts: readonly TreeHost[]): Generator<Finding> {
  const stated = hosts.find((host) => host.segment !== undefined);
  for (const host of hosts) {
    if (host.segment !== undefined || stated === undefined) continue;
    yield {
      place: host.place,
      message: `${host.key} has no linux,pci-domain, ${stated.key} has ${stated.segment ?? 0}`,
      effect: `Linux gives ${host.key} a free segment of its own choice, in the order of probing; that of a VIOT does not match.`,
      related: [{ place: stated.place, message: `${stated.key} has it` }],
    };
  }
  if (stated === undefined && hosts.length > 1) {
    for (const host of hosts.slice(1)) {
      yield {
        severity: 'warning',
        place: host.place,
        message: `${hosts.length} hosts and none has linux,pci-domain (${host.key} here)`,
      };
    }
  }
}

export const pciDomain: Rule = {
  id: 'pci-domain',
  catalogue: [39],
  summary: 'With several hosts each has linux,pci-domain, and it is the topology’s segment.',
  severity: 'error',
  effect:
    'Linux numbers the segments in the order of probing: they change from boot to boot, and those of VIOT do not match.',
  cure: 'Write linux,pci-domain = <segment> for every host.',
  *check({ model, tree }: Facts): Iterable<Finding> {
    if (tree === undefined) return;
    yield* missing(tree.hosts);
    for (const host of model?.hosts ?? []) {
      const node = treeHostOf(tree, host);
      if (node === undefined || (node.segment ?? 0) === host.segment) continue;
      // With several hosts a missing number was reported above.
      if (node.segment === undefined && tree.hosts.length > 1) continue;
      yield {
        place: node.place,
        message: `linux,pci-domain of ${node.key} is ${node.segment ?? 'missing (0)'}, its segment in the topology ${host.segment}`,
        effect:
          'The guest’s addresses are other than the topology’s; a VIOT for the same machine does not match.',
        related: [{ place: host.place, message: `${host.id} is here` }],
      };
    }
  },
};
