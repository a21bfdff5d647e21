import {
  ACCESS_READ,
  ACCESS_WRITE,
  TRANSLATED,
  TRANSLATION_FAULT,
} from '../../src/memory/index.ts';
import { HostPort, type PortOutcome } from '../../src/host-iommu/index.ts';
import type { Endpoint } from '../../src/iommu/endpoint.ts';
import { MappingTree } from '../../src/iommu/mapping-tree.ts';
import { RegionSet } from '../../src/iommu/regions.ts';
import { ATTACH } from '../../src/iommu/requests/attach.ts';
import { IommuState } from '../../src/iommu/state.ts';
import { Translation } from '../../src/iommu/translation.ts';

/** A rule of the device model that is unplugged, and the promise that must notice. */
export interface Mutation {
  readonly rule: string;
  /** A shipped topology. */
  readonly topology: string;
  /** Id of a promise that breaks. */
  readonly breaks: string;
  /** Takes the rule away; the result puts it back. */
  readonly plant: () => () => void;
}

/** Replaces a method, or what a getter answers. */
function swap<T extends object, K extends keyof T & string>(
  owner: T,
  name: K,
  make: (before: T[K]) => T[K],
): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  if (before === undefined) throw new Error(`there is no ${name}`);
  const after =
    before.get === undefined
      ? { ...before, value: make(before.value as T[K]) }
      : { ...before, get: () => make(undefined as T[K]) };
  Object.defineProperty(owner, name, after);
  return () => void Object.defineProperty(owner, name, before);
}

type Look = Translation['look'];

function swapLook(make: (this: Translation, before: Look, ...parts: Parameters<Look>) => number) {
  return swap(
    Translation.prototype,
    'look',
    (before) =>
      function look(this: Translation, ...parts: Parameters<Look>): number {
        return make.call(this, before, ...parts);
      },
  );
}

/** Whatever is refused passes, and goes straight. */
function identity(to: Translation): number {
  to.startHi = to.startLo = to.physHi = to.physLo = 0;
  to.endHi = to.endLo = 0xffff_ffff;
  to.flags = ACCESS_READ | ACCESS_WRITE;
  return TRANSLATED;
}

const none = (): boolean => false;

export const MUTATIONS: readonly Mutation[] = [
  {
    rule: 'overlap: a MAP over a live mapping is not refused',
    topology: 'dma-engine',
    breaks: 'overlap-refused',
    plant: () => swap(MappingTree.prototype, 'overlaps', () => none),
  },
  {
    rule: 'permission: a mapping that may be read may be written',
    topology: 'dma-engine',
    breaks: 'fault-reported',
    plant: () =>
      swapLook(function look(before, endpoint, hi, lo, access) {
        const outcome = before.call(this, endpoint, hi, lo, access);
        if (outcome !== TRANSLATION_FAULT) return outcome;
        const either = [ACCESS_READ, ACCESS_WRITE].some(
          (one) => before.call(this, endpoint, hi, lo, one) === TRANSLATED,
        );
        if (either) this.flags = ACCESS_READ | ACCESS_WRITE;
        return either ? TRANSLATED : outcome;
      }),
  },
  {
    rule: 'unmap: UNMAP removes nothing',
    topology: 'one-endpoint',
    breaks: 'unmap-leaves-nothing',
    plant: () => swap(MappingTree.prototype, 'removeWithin', () => () => 0),
  },
  {
    rule: 'unmap: what an endpoint has kept of the mapping goes on',
    topology: 'one-endpoint',
    breaks: 'unmap-leaves-nothing',
    plant: () =>
      swap(
        MappingTree.prototype,
        'removeWithin',
        (before) =>
          function removeWithin(this: MappingTree, ...parts: Parameters<typeof before>): number {
            before.apply(this, parts);
            // The device takes that for no change, and no translation is taken back.
            return 0;
          },
      ),
  },
  {
    rule: 'bypass: what is not mapped passes',
    topology: 'dma-engine',
    breaks: 'fault-reported',
    plant: () =>
      swapLook(function look(before, endpoint, hi, lo, access) {
        const outcome = before.call(this, endpoint, hi, lo, access);
        return outcome === TRANSLATION_FAULT ? identity(this) : outcome;
      }),
  },
  {
    rule: 'bypass: endpoints pass before they are attached, whatever boot-bypass says',
    topology: 'identity',
    breaks: 'start-state',
    plant: () => swap(IommuState.prototype, 'unattachedBypass', () => true),
  },
  {
    rule: 'bypass: boot-bypass is ignored',
    topology: 'one-endpoint',
    breaks: 'start-state',
    plant: () => swap(IommuState.prototype, 'unattachedBypass', none),
  },
  {
    rule: 'bypass: the flag of ATTACH is ignored',
    topology: 'identity',
    breaks: 'disks-read',
    plant: () =>
      swapLook(function look(before, endpoint, hi, lo, access) {
        const bypass = endpoint.domain?.bypass === true;
        return bypass ? TRANSLATION_FAULT : before.call(this, endpoint, hi, lo, access);
      }),
  },
  {
    rule: 'MSI: the region of a doorbell is like any other',
    topology: 'gicv2m',
    breaks: 'msi-works',
    plant: () => swap(RegionSet.prototype, 'isMsi', () => none),
  },
  {
    rule: 'MSI: the mapping of a doorbell leads a page further',
    topology: 'software-doorbell',
    breaks: 'msi-works',
    plant: () =>
      swapLook(function look(before, endpoint, hi, lo, access) {
        const outcome = before.call(this, endpoint, hi, lo, access);
        const inDoorbell = this.physHi === 0 && this.physLo < 0x4000_0000;
        if (outcome === TRANSLATED && inDoorbell && !endpoint.domain?.bypass) {
          this.physLo += 0x1000;
        }
        return outcome;
      }),
  },
  {
    rule: 'domains: an endpoint sees the mappings of the others',
    topology: 'dma-engine',
    breaks: 'fault-reported',
    plant: () => {
      const known = new Set<Endpoint>();
      return swapLook(function look(before, endpoint, hi, lo, access) {
        known.add(endpoint);
        for (const one of [endpoint, ...known]) {
          if (before.call(this, one, hi, lo, access) === TRANSLATED) return TRANSLATED;
        }
        return before.call(this, endpoint, hi, lo, access);
      });
    },
  },
  {
    rule: 'faults: the record names the endpoint next to it',
    topology: 'dma-engine',
    breaks: 'fault-reported',
    plant: () =>
      swap(
        IommuState.prototype,
        'fault',
        (before) =>
          function fault(this: IommuState, ...[reason, id, ...rest]: Parameters<typeof before>) {
            before.call(this, reason, id + 1, ...rest);
          },
      ),
  },
  {
    rule: 'faults: nothing is reported',
    topology: 'dma-engine',
    breaks: 'fault-reported',
    plant: () => swap(IommuState.prototype, 'report', () => () => 'dropped'),
  },
  {
    rule: 'domains: ATTACH puts every endpoint into domain 0',
    topology: 'several-endpoints',
    breaks: 'disks-read',
    plant: () =>
      swap(ATTACH, 'apply', (before) => (context, request): number => {
        request.domain = 0;
        return before(context, request);
      }),
  },
  {
    rule: 'relay: the host keeps what the guest unmaps',
    topology: 'passthrough',
    breaks: 'host-follows',
    plant: () => swap(HostPort.prototype, 'unmap', () => () => 'ok'),
  },
  {
    rule: 'relay: the host lets write what may be read',
    topology: 'passthrough',
    breaks: 'host-follows',
    plant: () =>
      swap(
        HostPort.prototype,
        'map',
        (before) =>
          function map(this: HostPort, iova, physical, flags): PortOutcome {
            return before.call(this, iova, physical, flags === 1 ? 3 : flags);
          },
      ),
  },
];

/** Of a device that is reset: only a machine that reboots can tell. */
export const RESET_MUTATION: Mutation = {
  rule: 'reset: endpoints stay attached',
  topology: 'checks',
  breaks: 'start-state',
  plant: () => swap(IommuState.prototype, 'forgetDriver', () => () => undefined),
};
