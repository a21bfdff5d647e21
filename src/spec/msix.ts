import { struct } from '../bytes/index.ts';

/**
 * Message-signalled interrupts: PCI Local Bus 3.0, 6.8. Names are those of linux/pci_regs.h;
 * register offsets are inside the capability.
 */

// MSI-X capability.
export const PCI_MSIX_FLAGS = 0x02;
/** Number of vectors minus one. */
export const PCI_MSIX_FLAGS_QSIZE = 0x07ff;
export const PCI_MSIX_FLAGS_MASKALL = 0x4000;
export const PCI_MSIX_FLAGS_ENABLE = 0x8000;
/** Offset of the table in a BAR, whose index is in the low three bits; so below. */
export const PCI_MSIX_TABLE = 0x04;
export const PCI_MSIX_PBA = 0x08;
export const PCI_CAP_MSIX_SIZEOF = 12;
export const PCI_MSIX_VECTORS_MAX = 2048;

export const PCI_MSIX_ENTRY = struct('MSI-X table entry', 16, {
  lower_addr: 'u32',
  upper_addr: 'u32',
  data: 'u32',
  vector_ctrl: 'u32',
});
export const PCI_MSIX_ENTRY_SIZE = 16;
export const PCI_MSIX_ENTRY_CTRL_MASKBIT = 1;

// MSI capability with a 64-bit address and no masks.
export const PCI_MSI_FLAGS = 0x02;
export const PCI_MSI_FLAGS_ENABLE = 0x0001;
export const PCI_MSI_FLAGS_QSIZE = 0x0070;
export const PCI_MSI_FLAGS_64BIT = 0x0080;
export const PCI_MSI_ADDRESS_LO = 0x04;
export const PCI_MSI_ADDRESS_HI = 0x08;
export const PCI_MSI_DATA_64 = 0x0c;
export const PCI_CAP_MSI_64_SIZEOF = 14;

// GICv2m frame (Arm SBSA, "MSI(-X) support", Linux drivers/irqchip/irq-gic-v2m.c).
export const V2M_MSI_TYPER = 0x008;
export const V2M_MSI_TYPER_BASE_SHIFT = 16;
export const V2M_MSI_SETSPI_NS = 0x040;
export const V2M_MSI_IIDR = 0xfcc;
/** Peripheral ID 2: architecture revision 1 in bits 4-7. */
export const V2M_PIDR2 = 0xfe8;
export const V2M_SIZE = 0x1000;

/** GITS_TRANSLATER in the page of an ITS that devices write to (GIC architecture 12.18.7). */
export const GITS_TRANSLATER = 0x40;

// x86: address and data of an interrupt message (Intel SDM 3, "Message Signalled Interrupts").
export const X86_MSI_BASE = 0xfee0_0000;
export const X86_MSI_SIZE = 0x10_0000;
export const X86_MSI_DEST_SHIFT = 12;
export const X86_MSI_DEST_MASK = 0xff;
export const X86_MSI_VECTOR_MASK = 0xff;
