import { Option, type Command } from 'commander';
import { topologyDot, topologySvg } from '../../report/index.ts';
import type { CommandContext } from '../context.ts';
import { InputError } from '../exit.ts';
import { refuseInput, writeResult } from '../files.ts';
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
      refuseInput(output, [file]);
      refuseOtherFormat(options);
      const format =
        options.format ?? (output !== undefined && /\.(?:dot|gv)$/iu.test(output) ? 'dot' : 'svg');
      const text = format === 'dot' ? topologyDot(model) : await topologySvg(model);
      if (output === undefined) io.out(text);
      else writeResult(output, text);
    });
}

/** Whoever names a picture of another kind would get one that does not open. */
function refuseOtherFormat({ output, format }: GraphOptions): void {
  const ending = /\.(png|pdf|jpe?g|gif|webp|ps|eps)$/iu.exec(output ?? '')?.[1];
  if (ending === undefined || format !== undefined) return;
  throw new InputError(
    `graph draws SVG and DOT, and ${output} is to be neither`,
    `draw it with Graphviz: viommu-topo graph FILE --format dot | dot -T${ending} -o ${output}`,
  );
}
