import type { Facts, Finding, Rule } from '../facts.ts';
import type { Model, PciBridge, PciHost } from '../model.ts';
import { onQemu } from './support/match.ts';
import { idAt, lookup } from './support/rid-map.ts';
import { linux, showFunction } from './support/text.ts';
import { views } from './support/views.ts';

/** Conventional buses: behind them a transaction has the bridge's ID, `secondary bus:00.0`. */
function conventional(model: Model): { host: PciHost; bridge: PciBridge }[] {
  return model.hosts.flatMap((host) =>
    host.bridges
      .filter((bridge) => bridge.kind === 'pcie-pci-bridge')
      .map((bridge) => ({ host, bridge })),
  );
}

export const bridgeAlias: Rule = {
  id: 'bridge-alias',
  catalogue: [31],
  summary: 'Behind a PCIe-to-PCI bridge the function and the bridge’s alias are both mapped.',
  severity: 'error',
  effect: 'The IOMMU sees the alias (secondary bus:00.0), not the function.',
  cure: 'Put the endpoint on a PCI Express bus (a root port), or cover both IDs by the same vIOMMU.',
  *check(facts: Facts): Iterable<Finding> {
    const { model } = facts;
    if (model === undefined) return;
    const all = views(facts);
    for (const { host, bridge } of conventional(model)) {
      const alias = bridge.buses.start << 8;
      const behind = model.endpoints.filter(
        ({ location, device }) =>
          device !== undefined &&
          location.kind === 'pci' &&
          location.host === host.id &&
          bridge.buses.start <= location.rids.start >> 8 &&
          location.rids.start >> 8 <= bridge.buses.end,
      );
      for (const endpoint of behind) {
        const { location, viommu } = endpoint;
        if (location.kind !== 'pci' || viommu === undefined) continue;
        const rid = location.rids.start;
        const related = [{ place: bridge.place, message: `${bridge.id} is here` }];
        const who = `${endpoint.id} (${showFunction(host.segment, rid)}) is behind the PCIe-to-PCI bridge ${bridge.id}`;
        if (onQemu(model)) {
          yield {
            place: endpoint.place,
            message: `${who}: QEMU’s vIOMMU knows it as the alias ${showFunction(host.segment, alias)} only`,
            effect: `${linux(facts)} probes the function’s own ID first and gets NOENT: it works untranslated, and nothing is logged.`,
            related,
          };
          continue;
        }
        for (const view of all) {
          const runs = view.runs(host);
          const run = lookup(runs, alias);
          if (run?.to?.iommu === viommu || lookup(runs, rid)?.broken !== undefined) continue;
          const got = run?.to === undefined ? 'no vIOMMU' : `${run.to.iommu}, ${idAt(run, alias)}`;
          yield {
            place: endpoint.place,
            message: `${who}; its alias ${showFunction(host.segment, alias)} is behind ${got} in the ${view.name}, not ${viommu}`,
            effect: `${linux(facts)} attaches the function’s ID only; its DMA arrives with the alias and is not translated, or blocked.`,
            related,
          };
        }
      }
    }
  },
};
