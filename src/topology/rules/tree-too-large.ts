import type { Facts, Finding, Rule } from '../facts.ts';

/** Linux maps 2 MiB for the tree (Documentation/arch/arm64/booting.rst). */
const ARM64_TREE_LIMIT = 0x20_0000;
/** QEMU doubles what `-dtb` gives it and 10,000 bytes: more than this passes 2 MiB. */
const QEMU_TREE_LIMIT = 0x10_0000 - 10_000;

export const treeTooLarge: Rule = {
  id: 'tree-too-large',
  catalogue: [38],
  summary: 'A device tree for arm64 is at most 2 MiB after QEMU doubled it.',
  severity: 'error',
  effect: 'The guest hangs before its first character on any console.',
  cure: 'Merge adjacent rows of iommu-map; repack a padded tree with dtc -I dtb -O dtb.',
  *check({ model, tree }: Facts): Iterable<Finding> {
    if (tree === undefined) return;
    // A description without a blob still knows the padding that was asked for.
    const padding = Number(model?.firmware.overrides?.padding ?? 0n);
    const size = tree.size ?? padding;
    const onVirt = model === undefined || model.board === 'virt';
    const about = tree.size === undefined ? `more than ${size}` : `${size}`;
    if (size > ARM64_TREE_LIMIT) {
      yield {
        place: tree.place,
        message: `the device tree has ${about} bytes; arm64 Linux takes ${ARM64_TREE_LIMIT}`,
      };
    } else if (onVirt && size > QEMU_TREE_LIMIT) {
      yield {
        severity: model === undefined ? 'warning' : 'error',
        place: tree.place,
        message: `the device tree has ${about} bytes; QEMU’s -dtb takes ${QEMU_TREE_LIMIT}`,
        effect:
          'QEMU doubles the tree’s size, which makes it larger than the 2 MiB that arm64 Linux maps: a hang before any console.',
      };
    }
  },
};
