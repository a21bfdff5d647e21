import { InvalidArgumentError, Option, type Command } from 'commander';
import { explanationsJson, renderExplanation } from '../../report/index.ts';
import { askerNames, explain, findAskers, type KernelVersion } from '../../topology/index.ts';
import { collect, kernelVersion } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { InputError } from '../exit.ts';
import { machineFacts } from '../facts.ts';

interface ExplainOptions {
  readonly with: readonly string[];
  readonly format: 'text' | 'json';
  readonly kernelVersion?: KernelVersion;
  readonly pageSize?: string;
}

const PAGE_SIZES: Readonly<Record<string, bigint>> = { '4K': 4096n, '16K': 16384n, '64K': 65536n };

/** Names that are listed when none of them was meant. */
const NAMES_SHOWN = 12;

/** `viommu-topo explain`: why Linux will (not) put an endpoint behind a vIOMMU. */
export function registerExplain(program: Command, { io }: CommandContext): void {
  program
    .command('explain')
    .description('say step by step why Linux puts an endpoint behind a vIOMMU, or does not')
    .argument('<file>', 'a topology (.yaml), a .dtb, an ACPI table, or a directory of those')
    .argument('<endpoint>', 'a topology id, 0000:00:02.0, an endpoint ID (0x10), or a node path')
    .argument('[iova]', 'an address: in what it falls, and what a DMA there meets', address)
    .option('--with <file>', 'more firmware of the same machine; may be repeated', collect, [])
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .option('--kernel-version <version>', 'the Linux that is asked about', kernelVersion)
    .addOption(
      new Option('--page-size <size>', 'page size of the guest').choices(Object.keys(PAGE_SIZES)),
    )
    .addHelpText(
      'after',
      `
Each step names the node and property with its byte offset, or the table with the offset of the node.
"+" goes on, "-" is passed over, "x" ends the way.

Examples:
  viommu-topo explain topologies/its.yaml disk0
  viommu-topo explain topologies/its.yaml disk0 0x8090040
  viommu-topo explain out 0000:00:02.0 --kernel-version 7.3
  viommu-topo explain /sys/firmware/acpi/tables 0000:00:02.0
  viommu-topo explain viot.aml 0x10 --with mcfg.aml

Exit codes: 0 explained, whatever comes of it; 2 the firmware or the endpoint cannot be found.`,
    )
    .action((file: string, endpoint: string, iova: bigint | undefined, options: ExplainOptions) => {
      const { kernelVersion: kernel, pageSize } = options;
      const page = pageSize === undefined ? undefined : PAGE_SIZES[pageSize];
      const { facts, sources } = machineFacts([file, ...options.with], io, {
        ...(kernel === undefined ? {} : { kernel }),
        ...(page === undefined ? {} : { guestPage: page }),
      });
      const askers = findAskers(facts, endpoint);
      if (askers.length === 0) throw nobody(endpoint, file, askerNames(facts));
      const explanations = askers.map((asker) => explain(facts, asker, iova));
      if (options.format === 'json') io.out(explanationsJson(explanations));
      else {
        const color = io.colorOut;
        io.out(explanations.map((one) => renderExplanation(one, sources, { color })).join('\n'));
      }
    });
}

function nobody(word: string, file: string, names: readonly string[]): InputError {
  const more = names.length > NAMES_SHOWN ? `, and ${names.length - NAMES_SHOWN} more` : '';
  const known = `${names.slice(0, NAMES_SHOWN).join(', ')}${more}`;
  return new InputError(
    `${file} has no endpoint ${word}`,
    `name a function (0000:00:02.0), an endpoint ID${known === '' ? '' : `, or one of ${known}`}`,
  );
}

function address(text: string): bigint {
  if (!/^(?:0x[0-9a-f]{1,16}|\d{1,20})$/iu.test(text) || BigInt(text) >> 64n !== 0n) {
    throw new InvalidArgumentError('An address of 64 bits is wanted, such as 0x8090040.');
  }
  return BigInt(text);
}
