import { printDts, resolvePhandles, walk, writeFdt, type FdtNode } from '../fdt/index.ts';
import { describe } from '../topology/index.ts';
import type { Model, TreeDescription } from '../topology/index.ts';
import { buildAcpi, type AcpiFirmware, type TableDescriptions } from './acpi/build.ts';
import { buildDeviceTree } from './device-tree/build.ts';
import { resolvedJson, type Json } from './resolved.ts';

/** What a topology's firmware says, as `describe` derives it. */
export interface FirmwareDescription extends TableDescriptions {
  readonly tree?: TreeDescription | undefined;
}

/** Everything a guest is given, as bytes and as files. */
export interface Firmware extends AcpiFirmware {
  /** What the bytes mean. */
  readonly description: FirmwareDescription;
  /** The device tree with its phandles, its blob and its source. */
  readonly tree?: FdtNode;
  readonly dtb?: Uint8Array;
  readonly dts?: string;
  readonly resolved: Json;
  /** By file name, sorted; what `viommu-topo build` writes. */
  readonly files: ReadonlyMap<string, Uint8Array | string>;
}

/**
 * All firmware of a topology. The same model gives the same bytes.
 * @throws FirmwareError or FdtTreeError when the description cannot become bytes,
 * which only overrides bring about.
 */
export function buildFirmware(
  model: Model,
  description: FirmwareDescription = describe(model),
): Firmware {
  const acpi = buildAcpi(model, description);
  const built = description.tree && buildTree(model, description.tree);
  const resolved = resolvedJson(model, built?.phandles ?? new Map<string, number>());
  const files: [string, Uint8Array | string][] = [
    ['topology.json', `${JSON.stringify(resolved, undefined, 2)}\n`],
  ];
  if (built !== undefined) {
    files.push(['topology.dtb', built.dtb], ['topology.dts', built.dts]);
  }
  for (const name of ['viot', 'iort', 'mcfg'] as const) {
    const bytes = acpi[name];
    if (bytes !== undefined) files.push([`${name}.aml`, bytes]);
  }
  return {
    ...acpi,
    description,
    ...(built === undefined ? {} : { tree: built.tree, dtb: built.dtb, dts: built.dts }),
    resolved,
    files: new Map(files.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}

interface BuiltTree {
  readonly tree: FdtNode;
  readonly dtb: Uint8Array;
  readonly dts: string;
  /** By path, of the nodes that are referred to. */
  readonly phandles: ReadonlyMap<string, number>;
}

function buildTree(model: Model, description: TreeDescription): BuiltTree {
  const linked = buildDeviceTree(model, description);
  const { root, phandles } = resolvePhandles(linked);
  // Wrong names and addresses are errors of ours, unless the topology asks for them.
  const names = model.firmware.overrides === undefined ? 'strict' : 'lax';
  const byPath = new Map<string, number>();
  for (const { node, path } of walk(linked)) {
    const phandle = phandles.get(node);
    if (phandle !== undefined) byPath.set(path, phandle);
  }
  return { tree: root, dtb: writeFdt(root, { names }), dts: printDts(root), phandles: byPath };
}
