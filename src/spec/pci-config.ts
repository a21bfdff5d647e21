/**
 * Configuration space of PCI functions: PCI Local Bus 3.0, chapter 6; PCI-to-PCI Bridge 1.2,
 * chapter 3; PCI Express Base 5.0, chapter 7. Names are those of linux/pci_regs.h, PCIe capability
 * registers are offsets inside their capability.
 */

/** Bytes of a conventional configuration space, and of a PCI Express one. */
export const PCI_CFG_SPACE_SIZE = 256;
export const PCI_CFG_SPACE_EXP_SIZE = 4096;
/** Bytes of the predefined header; capabilities follow. */
export const PCI_STD_HEADER_SIZEOF = 64;

// Both header types.
export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_REVISION_ID = 0x08;
/** Programming interface, sub-class, base class: three bytes. */
export const PCI_CLASS_PROG = 0x09;
export const PCI_CLASS_DEVICE = 0x0a;
export const PCI_CACHE_LINE_SIZE = 0x0c;
export const PCI_LATENCY_TIMER = 0x0d;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_BIST = 0x0f;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

// Type 0.
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_SUBSYSTEM_ID = 0x2e;
export const PCI_ROM_ADDRESS = 0x30;

// Type 1.
export const PCI_PRIMARY_BUS = 0x18;
export const PCI_SECONDARY_BUS = 0x19;
export const PCI_SUBORDINATE_BUS = 0x1a;
export const PCI_SEC_LATENCY_TIMER = 0x1b;
export const PCI_IO_BASE = 0x1c;
export const PCI_SEC_STATUS = 0x1e;
export const PCI_MEMORY_BASE = 0x20;
export const PCI_MEMORY_LIMIT = 0x22;
export const PCI_PREF_MEMORY_BASE = 0x24;
export const PCI_PREF_MEMORY_LIMIT = 0x26;
export const PCI_PREF_BASE_UPPER32 = 0x28;
export const PCI_PREF_LIMIT_UPPER32 = 0x2c;
export const PCI_BRIDGE_CONTROL = 0x3e;

export const PCI_COMMAND_MEMORY = 0x2;
export const PCI_COMMAND_MASTER = 0x4;
export const PCI_COMMAND_PARITY = 0x40;
export const PCI_COMMAND_SERR = 0x100;
export const PCI_COMMAND_INTX_DISABLE = 0x400;

export const PCI_STATUS_INTERRUPT = 0x08;
export const PCI_STATUS_CAP_LIST = 0x10;
/** Errors that a driver clears by writing 1: bits 8 and 11-15. */
export const PCI_STATUS_ERRORS = 0xf900;

export const PCI_HEADER_TYPE_NORMAL = 0;
export const PCI_HEADER_TYPE_BRIDGE = 1;
export const PCI_HEADER_TYPE_MFD = 0x80;

export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x04;
export const PCI_BASE_ADDRESS_MEM_PREFETCH = 0x08;
export const PCI_STD_NUM_BARS = 6;

/** Bits 4-15 of the memory windows of a bridge; the low ones say the width. */
export const PCI_MEMORY_RANGE_MASK = 0xfff0;
export const PCI_PREF_RANGE_TYPE_64 = 0x1;
/** Windows are counted in MiB. */
export const PCI_BRIDGE_WINDOW_UNIT = 0x10_0000;
export const PCI_BRIDGE_CTL_BUS_RESET = 0x40;

// Capability IDs.
export const PCI_CAP_ID_MSI = 0x05;
export const PCI_CAP_ID_EXP = 0x10;
export const PCI_CAP_ID_MSIX = 0x11;
export const PCI_EXT_CAP_ID_ACS = 0x0d;

// PCI Express capability.
export const PCI_EXP_FLAGS = 0x02;
/** Version 2 of the capability, its whole register block present. */
export const PCI_EXP_FLAGS_VERS_2 = 2;
export const PCI_EXP_TYPE_ENDPOINT = 0x0;
export const PCI_EXP_TYPE_ROOT_PORT = 0x4;
export const PCI_EXP_TYPE_PCI_BRIDGE = 0x7;
export const PCI_EXP_TYPE_RC_END = 0x9;
export const PCI_EXP_TYPE_SHIFT = 4;
export const PCI_EXP_FLAGS_SLOT = 0x100;
export const PCI_EXP_DEVCAP = 0x04;
export const PCI_EXP_DEVCAP_RBER = 0x8000;
export const PCI_EXP_DEVCAP_FLR = 0x1000_0000;
export const PCI_EXP_DEVCTL = 0x08;
export const PCI_EXP_DEVCTL_BCR_FLR = 0x8000;
export const PCI_EXP_DEVSTA = 0x0a;
export const PCI_EXP_LNKCAP = 0x0c;
/** 2.5 GT/s, one lane. */
export const PCI_EXP_LNKCAP_SLS_2_5GB = 0x1;
export const PCI_EXP_LNKCAP_MLW_X1 = 0x10;
export const PCI_EXP_LNKCAP_DLLLARC = 0x10_0000;
export const PCI_EXP_LNKCAP_PN_SHIFT = 24;
export const PCI_EXP_LNKCTL = 0x10;
export const PCI_EXP_LNKSTA = 0x12;
export const PCI_EXP_LNKSTA_DLLLA = 0x2000;
export const PCI_EXP_SLTCAP = 0x14;
export const PCI_EXP_SLTCAP_HPS = 0x20;
export const PCI_EXP_SLTCAP_HPC = 0x40;
export const PCI_EXP_SLTCAP_NCCS = 0x4_0000;
export const PCI_EXP_SLTCAP_PSN_SHIFT = 19;
export const PCI_EXP_SLTCTL = 0x18;
export const PCI_EXP_SLTCTL_PDCE = 0x8;
export const PCI_EXP_SLTCTL_HPIE = 0x20;
export const PCI_EXP_SLTCTL_DLLSCE = 0x1000;
export const PCI_EXP_SLTSTA = 0x1a;
export const PCI_EXP_SLTSTA_PDC = 0x8;
export const PCI_EXP_SLTSTA_PDS = 0x40;
export const PCI_EXP_SLTSTA_DLLSC = 0x100;
export const PCI_EXP_RTCTL = 0x1c;
export const PCI_EXP_RTCAP = 0x1e;
export const PCI_EXP_RTSTA = 0x20;
export const PCI_EXP_DEVCAP2 = 0x24;
export const PCI_EXP_DEVCTL2 = 0x28;
export const PCI_EXP_LNKCTL2 = 0x30;
/** Bytes of the capability, version 2. */
export const PCI_CAP_EXP_SIZEOF = 0x3c;

// Access Control Services: what a root port does with requests between functions below it.
export const PCI_ACS_CAP = 0x04;
export const PCI_ACS_CTRL = 0x06;
/** Source validation, translation blocking, request and completion redirect, upstream forwarding. */
export const PCI_ACS_ISOLATION = 0x1f;

// Class codes with programming interface, 24 bits (PCI Code and ID Assignment).
export const PCI_CLASS_STORAGE_SCSI = 0x01_0000;
export const PCI_CLASS_NETWORK_ETHERNET = 0x02_0000;
export const PCI_CLASS_BRIDGE_HOST = 0x06_0000;
export const PCI_CLASS_BRIDGE_PCI = 0x06_0400;
export const PCI_CLASS_SYSTEM_IOMMU = 0x08_0600;
/** "Data acquisition and signal processing, other": what test engines of this project say. */
export const PCI_CLASS_SP_OTHER = 0x11_8000;

/** Interrupt pins: INTA# is 1. */
export const PCI_INTERRUPT_PINS = 4;
