/** A bus as the functions on it see it. */
export interface BusSide {
  /** Bus number as it is now. */
  readonly number: number;
  /** Whether the bus is a root complex's own. */
  readonly isRoot: boolean;
  /**
   * The requester ID that the root complex sees for one of this bus: its own, or that of the bridge to
   * conventional PCI that it is behind.
   */
  sourceOf(rid: number): number;
  /** BARs, windows or decode enables changed. */
  decodeChanged(): void;
  /** An interrupt pin (1–4) of one of its functions changed. */
  intx(devfn: number, pin: number, level: boolean): void;
}

/** What is above a bus: a bridge, or the host. */
export interface Upstream extends BusSide {
  /** Whether anything is on the bus, told at each change of it. */
  populated?(there: boolean): void;
}
