import type { Place } from '../diagnostic.ts';

/** What the user expects where it differs from what the topology implies. */
export interface Expectations {
  /** Endpoint id → what the guest must show. */
  readonly endpoints: Readonly<Record<string, EndpointExpectation>>;
  /** Regular expressions that must (not) match a line of the kernel log. */
  readonly log: { readonly present: readonly string[]; readonly absent: readonly string[] };
  readonly place?: Place;
}

export interface EndpointExpectation {
  /** True: in an IOMMU group. */
  readonly translated?: boolean;
  /** Type of its default domain. */
  readonly groupType?: 'DMA' | 'DMA-FQ' | 'identity';
  /** False: reading it is expected to fail or hang. */
  readonly works?: boolean;
  readonly place: Place;
}
