import { basename } from 'node:path';
import type { Diagnostic } from '../diagnostic.ts';
import type { Model } from '../model.ts';
import type { TopologyInput } from '../schema/topology.ts';
import type { DataNode } from '../source/node.ts';
import { BOARDS } from './boards.ts';
import { checkChecks, checkGuestDrivers } from './checks.ts';
import { checkConflicts } from './conflicts.ts';
import { Context } from './context.ts';
import { resolveCoverage } from './coverage.ts';
import { resolveDoorbells } from './doorbells.ts';
import { resolveEndpoints } from './endpoints.ts';
import { resolveExpectations } from './expect.ts';
import { resolveFirmware } from './firmware.ts';
import { resolveHosts } from './hosts.ts';
import { resolveGic, resolveGuest, resolveMemory } from './machine.ts';
import { checkPassthrough } from './passthrough.ts';
import { resolveRegions } from './regions.ts';
import { defineViommus, resolveViommus } from './viommus.ts';

export interface Resolved {
  /** The machine as far as it makes sense: whole when there are no diagnostics. */
  readonly model: Model;
  readonly diagnostics: readonly Diagnostic[];
  /** Whether parts are missing that the rest refers to: rules would judge what is not there. */
  readonly partial: boolean;
}

/**
 * A checked file to a model: defaults of the board, names bound, endpoint IDs derived.
 *
 * What is wrong is reported and left out, so that every mistake of a file comes in one run.
 */
export function resolve(
  input: TopologyInput,
  root: DataNode,
  file: string,
  dropped: ReadonlySet<string>,
): Resolved {
  const context = new Context(input, root, file, dropped);
  const { board } = input;
  const gic = resolveGic(context, board);
  const taken = defineViommus(context);
  const doorbells = resolveDoorbells(context, board, gic);
  const hosts = resolveHosts(context, board);
  const viommus = resolveViommus(context, board, hosts, taken);
  const endpoints = resolveEndpoints(context, board, hosts);
  const reserved = resolveRegions(context, viommus, endpoints);
  const guest = resolveGuest(context, board);
  const model: Model = {
    name: input.name ?? basename(file).replace(/\.ya?ml$/, ''),
    description: input.description ?? '',
    file,
    board,
    arch: BOARDS[board].arch,
    cpus: input.machine?.cpus ?? 1,
    memory: resolveMemory(context, board, guest),
    ...(gic === undefined ? {} : { gic }),
    hosts,
    viommus,
    endpoints,
    doorbells,
    reserved,
    coverage: resolveCoverage(context, hosts, viommus, endpoints),
    expect: resolveExpectations(context),
    firmware: resolveFirmware(context, board),
    guest,
    place: context.place(),
  };
  checkConflicts(context, model);
  checkPassthrough(context, model);
  checkChecks(context, model);
  checkGuestDrivers(context, model);
  return { model, diagnostics: context.diagnostics, partial: context.partial };
}
