import type { Command } from 'commander';
import { jsonSchema } from '../../topology/index.ts';
import type { CommandContext } from '../context.ts';

/** `viommu-topo schema`: the JSON Schema that editors complete and check with. */
export function registerSchema(program: Command, { io }: CommandContext): void {
  program
    .command('schema')
    .description('print the JSON Schema of topology files')
    .addHelpText(
      'after',
      `
An editor with a YAML language server uses it when a topology begins with
  # yaml-language-server: $schema=topology.schema.json`,
    )
    .action(() => io.out(`${JSON.stringify(jsonSchema(), undefined, 2)}\n`));
}
