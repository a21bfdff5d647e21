import { decodeU32 } from '../../fdt/index.ts';
import { GITS_TRANSLATER_PAGE, GITS_TRANSLATER_PAGE_SIZE } from '../../spec/gic.ts';
import type { Range } from '../../bytes/index.ts';
import type { TreeMsiController } from '../../topology/index.ts';
import {
  rangeOf,
  regRanges,
  textList,
  withPhandle,
  type ScanNode,
  type TreeScan,
} from './tree-scan.ts';

/** Every node with `msi-controller`: GICv2m frames, ITSs, and others that are only named. */
export function readMsiControllers(scan: TreeScan): TreeMsiController[] {
  return scan.nodes
    .filter(({ node }) => node.props.has('msi-controller'))
    .map((at) => {
      const kind = kindOf(at);
      const msiCells = decodeU32(at.node.bytes('#msi-cells'));
      const window = windowOf(at, kind);
      return {
        key: at.path,
        path: at.path,
        ...withPhandle(at),
        kind,
        ...(msiCells === undefined ? {} : { msiCells }),
        ...(window === undefined ? {} : { window }),
        place: scan.place(at),
      };
    });
}

function kindOf(at: ScanNode): TreeMsiController['kind'] {
  const compatible = textList(at.node.bytes('compatible'));
  if (compatible.includes('arm,gic-v2m-frame')) return 'gicv2m';
  return compatible.includes('arm,gic-v3-its') ? 'its' : 'other';
}

function windowOf(at: ScanNode, kind: TreeMsiController['kind']): Range | undefined {
  const [frame] = regRanges(at);
  if (frame === undefined || kind === 'other') return undefined;
  if (kind === 'gicv2m') return frame;
  return rangeOf(frame.start + GITS_TRANSLATER_PAGE, GITS_TRANSLATER_PAGE_SIZE);
}
