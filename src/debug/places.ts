import { hex } from '../bytes/index.ts';
import type { IommuDevice } from '../iommu/index.ts';
import type { Machine } from '../machine/index.ts';
import { linuxPciName } from '../spec/pci.ts';
import { DEBUG_ERRORS, DebugError } from './protocol.ts';

/** A vIOMMU, by its topology id. */
export interface NamedViommu {
  readonly id: string;
  readonly device: IommuDevice;
}

/** An endpoint of a vIOMMU. */
export interface NamedEndpoint extends NamedViommu {
  readonly endpoint: number;
}

/** All of them, or the one that is named. @throws DebugError */
export function viommusOf(machine: Machine, id: string | undefined): NamedViommu[] {
  if (id === undefined)
    return Array.from(machine.viommus, ([name, { device }]) => ({ id: name, device }));
  const found = machine.viommus.get(id);
  if (found !== undefined) return [{ id, device: found.device }];
  const known = [...machine.viommus.keys()].join(', ');
  throw new DebugError(
    DEBUG_ERRORS.notFound,
    `there is no vIOMMU ${id}: ${known || 'none at all'}`,
  );
}

/** The only vIOMMU, or the one that is named. @throws DebugError */
export function oneViommu(machine: Machine, id: string | undefined): NamedViommu {
  const [first, second] = viommusOf(machine, id);
  if (first !== undefined && second === undefined) return first;
  const known = [...machine.viommus.keys()].join(', ');
  throw new DebugError(DEBUG_ERRORS.invalidParams, `which vIOMMU? There are ${known || 'none'}`);
}

/**
 * Whom a word means: a device of the topology by its id or PCI function, or an endpoint ID that a
 * vIOMMU knows. @throws DebugError
 */
export function endpointOf(
  machine: Machine,
  word: string | number,
  viommu: string | undefined,
): NamedEndpoint {
  const viommus = viommusOf(machine, viommu);
  const unit = typeof word === 'string' ? unitOf(machine, word) : undefined;
  if (unit?.placed !== undefined) {
    const { viommu: owner, endpointId } = unit.placed;
    const named = viommus.find(({ id }) => id === owner);
    if (named !== undefined) return { ...named, endpoint: endpointId };
  }
  if (unit !== undefined) {
    throw new DebugError(DEBUG_ERRORS.notFound, `${word} is behind no vIOMMU now`);
  }
  const id = idOf(word);
  const knowing = viommus.filter(({ device }) => id !== undefined && device.endpoints.get(id));
  const [first, second] = knowing;
  if (first === undefined || id === undefined) {
    throw new DebugError(DEBUG_ERRORS.notFound, `no vIOMMU knows an endpoint ${word}`);
  }
  if (second === undefined) return { ...first, endpoint: id };
  const names = knowing.map((one) => one.id).join(', ');
  throw new DebugError(
    DEBUG_ERRORS.invalidParams,
    `${hex(id)} is an endpoint of each of ${names}: say which`,
  );
}

function unitOf(machine: Machine, word: string): Machine['units'][number] | undefined {
  const long = /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/iu.test(word) ? `0000:${word}` : word;
  return machine.units.find(
    ({ id, kind, pci }) =>
      kind === 'endpoint' && (id === word || functionOf(pci) === long.toLowerCase()),
  );
}

function functionOf(pci: Machine['units'][number]['pci']): string | undefined {
  const rid = pci?.fn.requesterId;
  return pci === undefined || rid === undefined
    ? undefined
    : linuxPciName(rid, pci.at.host.segment);
}

function idOf(word: string | number): number | undefined {
  if (typeof word === 'number') return word;
  if (!/^(?:0x[0-9a-f]{1,8}|\d{1,10})$/iu.test(word)) return undefined;
  const id = Number(word);
  return id <= 0xffff_ffff ? id : undefined;
}

/** What an endpoint ID of a vIOMMU is in the topology. */
export function nameOf(machine: Machine, viommu: string, endpoint: number): string | undefined {
  return machine.units.find(
    ({ placed }) => placed?.viommu === viommu && placed.endpointId === endpoint,
  )?.id;
}
