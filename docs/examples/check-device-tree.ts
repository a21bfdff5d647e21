// Checks a device tree of anybody's: the rules of `viommu-topo check`, and the same ones that judge
// a topology. Nothing is known of the machine but what the tree says.
import { readFileSync } from 'node:fs';
import {
  checkFacts,
  DEFAULT_KERNEL,
  describeTree,
  FormatError,
  renderDiagnostics,
} from 'viommu-topo';

/** What is wrong with the tree in `file`, as text; empty when nothing is. */
export function checkDeviceTree(file: string): string {
  try {
    const tree = describeTree(readFileSync(file), file);
    const found = checkFacts({ tree, kernel: DEFAULT_KERNEL, guestPage: 4096n });
    return renderDiagnostics(found, new Map(), { color: false });
  } catch (error) {
    // The bytes may be anything. Readers throw this and nothing else.
    if (error instanceof FormatError) return `${file}: ${error.message} [${error.code}]\n`;
    throw error;
  }
}
