/** Number of interrupts: SGIs, PPIs and 224 SPIs. */
export const GIC_INTERRUPTS = 256;

/** The interrupts of a GIC as its register banks see them; arrays by interrupt number. */
export interface GicInterrupts {
  readonly enabled: Uint8Array;
  /** Pending by an edge, by a write to GICD_ISPENDR, or as an SGI. */
  readonly latched: Uint8Array;
  readonly active: Uint8Array;
  /** 1 for edge-triggered. */
  readonly edge: Uint8Array;
  readonly priority: Uint8Array;
  readonly target: Uint8Array;
  /** Priority of what runs; lower is more urgent. */
  readonly runningPriority: number;
  isPending(id: number): boolean;
  /** The most urgent interrupt that the CPU may be told of, or GIC_SPURIOUS. */
  highest(): number;
  /** GICC_IAR: the interrupt becomes active. */
  acknowledge(): number;
  /** GICC_EOIR: drops the priority, and deactivates unless that is left to GICC_DIR. */
  end(id: number, deactivates: boolean): void;
  deactivate(id: number): void;
  /** Recomputes the line to the CPU. */
  update(): void;
}
