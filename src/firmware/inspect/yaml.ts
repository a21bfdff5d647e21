import { FormatError } from '../../bytes/index.ts';
import type { Inspection } from './inspect.ts';
import { printYaml } from './plain-yaml.ts';
import { treeTopology } from './yaml-tree.ts';
import { viotTopology } from './yaml-viot.ts';

/**
 * Firmware as a topology again, which `loadTopology` reads: the same hosts, vIOMMUs, doorbells
 * and regions, and each requester ID behind the same vIOMMU with the same endpoint ID as Linux
 * would have it. What firmware does not tell (devices, granules, features) is left to defaults.
 *
 * `name` becomes the topology's name. Of several files a device tree wins; a VIOT takes its
 * hosts from an MCFG and its MSI controller from an IORT when those are given.
 * @throws FormatError `inspect/no-topology` when there is neither a device tree nor a VIOT,
 * `inspect/too-large` for more hosts than any machine has.
 */
export function toTopologyYaml(inspections: readonly Inspection[], name: string): string {
  const tree = inspections.find((it) => it.format === 'dtb');
  if (tree !== undefined) return printYaml(treeTopology(tree.tree, tree.machine, name));
  const viot = inspections.find((it) => it.format === 'viot');
  if (viot === undefined) {
    throw new FormatError('inspect/no-topology', 0, 'neither a device tree nor a VIOT');
  }
  const mcfg = inspections.find((it) => it.format === 'mcfg')?.mcfg;
  const iort = inspections.find((it) => it.format === 'iort')?.iort;
  return printYaml(viotTopology(viot.viot, mcfg, iort, name));
}
