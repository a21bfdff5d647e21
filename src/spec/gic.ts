// Interrupt specifiers of `arm,cortex-a15-gic` and `arm,gic-v3` (Linux
// Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml and arm,gic-v3.yaml).

export const GIC_SPI = 0;
export const GIC_PPI = 1;

export const IRQ_TYPE_EDGE_RISING = 1;
export const IRQ_TYPE_LEVEL_HIGH = 4;

/** GICv2: bits 8-15 of a PPI's flags name the CPUs that it belongs to. */
export const GIC_CPU_MASK_SHIFT = 8;

/** Private peripheral interrupts of the architected timer and the PMU (counted from 0). */
export const PPI_TIMER_SECURE = 13;
export const PPI_TIMER_PHYSICAL = 14;
export const PPI_TIMER_VIRTUAL = 11;
export const PPI_TIMER_HYPERVISOR = 10;
export const PPI_PMU = 7;

/** The page of an ITS that holds GITS_TRANSLATER, which devices write to, from its base. */
export const GITS_TRANSLATER_PAGE = 0x1_0000n;
export const GITS_TRANSLATER_PAGE_SIZE = 0x1_0000n;
