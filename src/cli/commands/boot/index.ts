import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import type { Verdict } from '../../../scenario/index.ts';
import { EXIT, InputError } from '../../exit.ts';
import { refuseInput } from '../../files.ts';
import { planBoots } from './boots.ts';
import { checkOptions } from './conflicts.ts';
import { addBootOptions, type BootOptions } from './options.ts';
import { load } from './ready.ts';
import { tapingFor } from './recording.ts';
import { runBoots } from './runner.ts';

/** `viommu-topo boot`: stock guests on topologies, and verdicts. */
export function registerBoot(program: Command, { io, exit }: CommandContext): void {
  const command = program
    .command('boot')
    .description('boot a stock guest on a topology and judge what it shows')
    .argument('<file...>', 'topologies; verdicts come in their order');
  addBootOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  viommu-topo boot topologies/one-endpoint.yaml
  viommu-topo boot topologies/its.yaml --firmware both
  viommu-topo boot topologies/its.yaml topologies/gicv2m.yaml --backend model
  viommu-topo boot topologies/q35-*.yaml --format junit -o verdicts.xml
  viommu-topo build its.yaml -o out && $EDITOR out/topology.dts && dtc -o out/topology.dtb out/topology.dts
  viommu-topo boot its.yaml --firmware-from out
  viommu-topo boot topologies/its.yaml --console

Exit codes: 0 all promises kept, 1 some broken, 2 a file or argument is wrong, 3 the machine lacks
something. The console log is kept when a verdict failed; its path is in the verdict.`,
    )
    .action(async (files: string[], options: BootOptions) => {
      checkOptions(options);
      refuseInput(options.output, files);
      refuseInput(options.trace, files);
      // All files are read before the first guest starts: a typo in the last one is told at once.
      const topologies = files.map((file) => load(file, io, options));
      const boots = planBoots(topologies, options, io);
      if (options.debug !== undefined && boots.length > 1) {
        throw new InputError(
          '--debug is for one boot at a time',
          'name one topology, and one --firmware',
        );
      }
      if ((options.record ?? options.replay) !== undefined && boots.length > 1) {
        throw new InputError('a recording is of one boot', 'name one topology, and one --firmware');
      }
      const taping = tapingFor(options, io);
      let verdicts: readonly Verdict[] = [];
      try {
        verdicts = await runBoots(boots, io, options, taping?.tape);
      } catch (error) {
        if (taping?.isOver() !== true || io.signal.aborted) throw error;
      } finally {
        taping?.close();
      }
      const asRecorded = taping?.tell() ?? true;
      const kept = verdicts.every(({ outcome }) => outcome === 'pass');
      exit(kept && asRecorded ? EXIT.OK : EXIT.VERDICT);
    });
}
