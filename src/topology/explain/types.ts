import type { Diagnostic, Place } from '../diagnostic.ts';

/** Who is asked about: one requester, by what firmware and Linux know it by. */
export interface Asker {
  /** `disk0 (0000:00:02.0)`, `0000:00:02.0`, `/virtio@a003c00 (0xa003c00)`. */
  readonly label: string;
  /** Topology id, where a topology is known and has it. */
  readonly id?: string;
  readonly location:
    | { readonly kind: 'pci'; readonly segment: number; readonly rid: number }
    | { readonly kind: 'platform'; readonly base?: bigint; readonly path?: string };
}

/** What a step is about. */
export type StepPart = 'requester' | 'device-tree' | 'viot' | 'viommu' | 'msi' | 'iova';

/**
 * `ok`: it goes on from here. `no`: looked at and passed over. `stop`: here the way ends, and the
 * endpoint is not translated. `note`: worth knowing.
 */
export type StepMark = 'ok' | 'no' | 'stop' | 'note';

/** One thing that Linux looks at, and what comes of it. */
export interface Step {
  readonly part: StepPart;
  readonly mark: StepMark;
  readonly text: string;
  /** Node and property with the byte offset in the blob, or table and offset. */
  readonly place?: Place;
}

/** What comes of one description of the machine. */
export type Fate =
  /** Behind the vIOMMU. */
  | 'translated'
  /** Behind the vIOMMU by an ID that is another's: its DMA does not go where its mappings say. */
  | 'mistaken'
  /** No IOMMU is found, or it knows no such endpoint: DMA goes past. */
  | 'untranslated'
  /** As `untranslated`, but the vIOMMU lets nothing past. */
  | 'blocked'
  /** The driver of the device is never bound. */
  | 'deferred'
  /** Linux crashes. */
  | 'crash';

/** What comes of one description: the endpoint’s fate by the device tree, or by VIOT. */
export interface Conclusion {
  readonly source: 'device-tree' | 'viot';
  readonly fate: Fate;
  /** One sentence. */
  readonly text: string;
  /** Topology id of the vIOMMU; absent when no topology is known, or it is none of its. */
  readonly viommu?: string;
  /** Node path or `VIOT+0x30`. */
  readonly target?: string;
  readonly endpointId?: number;
}

/** Where an address falls, and what a DMA there would meet. */
export interface AddressExplanation {
  readonly address: bigint;
  readonly text: string;
}

/** The way of one endpoint through the firmware, step by step, to its fate. */
export interface Explanation {
  readonly asker: Asker;
  /** In the order Linux goes. */
  readonly steps: readonly Step[];
  /** One for each description there is. */
  readonly conclusions: readonly Conclusion[];
  readonly address?: AddressExplanation;
  /** What the rules find at the places of the steps. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Steps as they are made. */
export class Trail {
  readonly steps: Step[] = [];

  say(part: StepPart, mark: StepMark, text: string, place?: Place): void {
    this.steps.push({ part, mark, text, ...(place === undefined ? {} : { place }) });
  }
}

/** A description's answer, before the vIOMMU itself is asked. */
export interface Found {
  /** Key of the IOMMU in the tree, `viot+48` in a VIOT. */
  readonly key: string;
  /** In words: path, or node. */
  readonly target: string;
  readonly endpointId: number;
}

/** Either an IOMMU, or the end of the way. */
export type Way =
  | { readonly found: Found }
  | { readonly fate: Exclude<Fate, 'translated' | 'mistaken'>; readonly why: string };
