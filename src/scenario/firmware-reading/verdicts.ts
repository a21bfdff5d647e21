import type { Place } from '../../topology/index.ts';

/**
 * What a kernel concludes from firmware about one endpoint: an IOMMU and an ID, or a reason why
 * there is none. Both forms of firmware lead here, so that the causes need not know which it was.
 */
export type Reading =
  | {
      readonly kind: 'translated';
      /** Topology id of the vIOMMU, or undefined when what is named is none of them. */
      readonly viommu?: string;
      /** What is named, in the firmware's words: `/pcie@…/iommu@1,0`, `node at 0x30 (00:02.0)`. */
      readonly target: string;
      readonly endpointId: number;
      /** The row or node that says so. */
      readonly by: string;
      /** The requester ID that was looked up, where a mask made it another than the device's. */
      readonly masked?: { readonly mask: number; readonly rid: number; readonly lookedUp: number };
      /** A later or earlier one that says something else and loses. */
      readonly overlapped?: string;
      readonly place: Place;
    }
  | {
      readonly kind: 'none';
      readonly reason: NoneReason;
      /** The sentence's second half: `rows cover 0x0-0x7, 0x9-0x17`. */
      readonly detail: string;
      /** The property, table or node that is at fault. */
      readonly by: string;
      readonly place: Place;
    };

export type NoneReason =
  /** No host bridge of that segment and bus. */
  | 'no-host'
  /** The bridge has no iommu-map, the device no iommus, the machine no VIOT. */
  | 'no-map'
  /** The property's length is not one of whole rows. */
  | 'bad-length'
  /** A row before the match has bits outside the mask in its base, which ends the search. */
  | 'mask'
  /** No row or range has it. */
  | 'gap'
  /** The row that has it points at no node. */
  | 'dangling';
