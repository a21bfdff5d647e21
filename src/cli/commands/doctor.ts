import { InvalidArgumentError, Option, type Command } from 'commander';
import { cachedGuests } from '../../guest/index.ts';
import { styleFor } from '../../report/index.ts';
import type { CommandContext } from '../context.ts';
import { CAPABILITIES, diagnose, type Capability, type Diagnosis } from '../doctor/finding.ts';
import { findGuests } from '../doctor/guests.ts';
import { findNode } from '../doctor/node.ts';
import { findPrograms } from '../doctor/programs.ts';
import { findQemus } from '../doctor/qemu.ts';
import { EXIT } from '../exit.ts';
import type { Io } from '../io.ts';
import { Progress } from '../progress.ts';

interface DoctorOptions {
  readonly require?: readonly Capability[];
  readonly format: 'text' | 'json';
  readonly quiet?: boolean;
}

/** `viommu-topo doctor`: what this machine can run, and how to get what is missing. */
export function registerDoctor(program: Command, { io, exit }: CommandContext): void {
  program
    .command('doctor')
    .description('what this machine can run, and how to get what is missing')
    .option('--require <list>', `exit 3 without one of: ${CAPABILITIES.join(', ')}`, required)
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `
Everything is tried, not looked up: QEMU is asked for its devices, and KVM runs a kernel.

Examples:
  viommu-topo doctor
  viommu-topo doctor --require emulator,qemu-arm64     for the first step of a CI job`,
    )
    .action(async (options: DoctorOptions) => {
      const diagnosis = await examine(io, options.quiet === true);
      const text = options.format === 'json' ? json(diagnosis) : words(diagnosis, io);
      io.out(text);
      const lacking = (options.require ?? []).filter((name) => !diagnosis.capabilities[name]);
      if (lacking.length === 0) return;
      io.err(`viommu-topo: this machine cannot run ${lacking.join(', ')}\n`);
      exit(EXIT.ENVIRONMENT);
    });
}

function required(text: string): Capability[] {
  return text.split(',').map((name) => {
    const found = CAPABILITIES.find((one) => one === name);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`one or more of ${CAPABILITIES.join(', ')}.`);
  });
}

async function examine(io: Io, quiet: boolean): Promise<Diagnosis> {
  const progress = new Progress(io, quiet);
  try {
    progress.stage('looking at Node and the cache');
    const node = await findNode();
    const guests = await cachedGuests();
    progress.stage('asking QEMU');
    const qemu = await findQemus(guests, io.signal);
    progress.stage('asking other programs');
    const programs = await findPrograms(io.signal);
    return diagnose([...node, ...findGuests(guests), ...qemu, ...programs]);
  } finally {
    progress.end();
  }
}

function words({ findings, capabilities }: Diagnosis, io: Io): string {
  const style = styleFor(io.colorOut);
  const marks = { ok: style.green('ok  '), missing: style.yellow('--  '), bad: style.red('bad ') };
  const wide = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = findings.flatMap(({ subject, state, seen, use, cure }) => [
    `${marks[state]} ${subject.padEnd(wide)}  ${seen}`,
    ...(cure === undefined
      ? []
      : [
          `     ${' '.repeat(wide)}  ${style.dim(`for:  ${use}`)}`,
          `     ${' '.repeat(wide)}  ${style.dim(`cure: ${cure}`)}`,
        ]),
  ]);
  const can = CAPABILITIES.filter((name) => capabilities[name]);
  const cannot = CAPABILITIES.filter((name) => !capabilities[name]);
  return [
    ...lines,
    '',
    `can run     ${can.join(', ') || 'nothing'}`,
    ...(cannot.length === 0 ? [] : [`cannot run  ${cannot.join(', ')}`]),
    '',
  ].join('\n');
}

function json({ findings, capabilities }: Diagnosis): string {
  return `${JSON.stringify({ capabilities, findings }, undefined, 2)}\n`;
}
