// Open Firmware PCI bus binding (IEEE 1275), as flattened trees use it: phys.hi of an address.

export const PCI_SPACE_CONFIG = 0x0000_0000;
export const PCI_SPACE_IO = 0x0100_0000;
export const PCI_SPACE_MEM32 = 0x0200_0000;
export const PCI_SPACE_MEM64 = 0x0300_0000;
/** Bits of phys.hi that name the space. */
export const PCI_SPACE_MASK = 0x0300_0000;

/** Requester ID in phys.hi of a function's `reg`: bits 8-23. */
export const PCI_REG_RID_SHIFT = 8;

/** `interrupt-map` looks at two bits of the device number: INTx lines repeat every four slots. */
export const PCI_INTX_SLOTS = 4;
export const PCI_INTX_PINS = 4;
export const PCI_DEVICE_SHIFT = 11;
