import { Option, type Command } from 'commander';
import { topologyDot, topologySvg } from '../../report/index.ts';
import { writeResult } from '../files.ts';
import type { CommandContext } from '../context.ts';
import { requireTopology } from '../topology.ts';

interface GraphOptions {
  readonly output?: string;
  readonly format?: 'svg' | 'dot';
  readonly force?: boolean;
}

/** `viommu-topo graph`: a topology as a picture. */
export function registerGraph(program: Command, { io }: CommandContext): void {
  program
    .command('graph')
    .description('draw a topology: buses, endpoints, vIOMMUs, doorbells, what bypasses')
    .argument('<file>', 'topology')
    .option('-o, --output <file>', 'write the picture there (default: standard output)')
    .addOption(
      new Option('--format <format>', 'default: as the name of the output ends, else svg').choices([
        'svg',
        'dot',
      ]),
    )
    .option('--force', 'draw although there are errors')
    .addHelpText(
      'after',
      `
Examples:
  viommu-topo graph topologies/several-endpoints.yaml -o topology.svg
  viommu-topo graph topologies/large.yaml --format dot | dot -Tpdf > large.pdf

The SVG follows the light or dark setting of whoever looks at it. Consecutive functions with the same
translation are one node, so that thousands of endpoints stay readable. The same topology gives the
same bytes.`,
    )
    .action(async (file: string, options: GraphOptions) => {
      const model = requireTopology(file, io, { force: options.force === true });
      const { output } = options;
      const format =
        options.format ?? (output !== undefined && /\.(?:dot|gv)$/iu.test(output) ? 'dot' : 'svg');
      const text = format === 'dot' ? topologyDot(model) : await topologySvg(model);
      if (output === undefined) io.out(text);
      else writeResult(output, text);
    });
}
