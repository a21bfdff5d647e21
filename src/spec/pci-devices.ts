/** Registers of PCI devices for tests, one of this project and one of QEMU. Little-endian. */

// The DMA engine: registers of 32 bits from the start of BAR 0 on, its buffer from 0x10000 on.
// docs/reference/dma-engine.md has the same list.
export const DMA_ENGINE_VENDOR_ID = 0x1b36;
export const DMA_ENGINE_DEVICE_ID = 0x70d0;
/** `VDMA` in little-endian. */
export const DMA_ENGINE_MAGIC = 0x414d_4456;
export const DMA_ENGINE_VERSION = 1;

export const DMA_ENGINE_R_MAGIC = 0x00;
export const DMA_ENGINE_R_VERSION = 0x04;
/** I/O virtual address of the transfer: two halves. */
export const DMA_ENGINE_R_ADDRESS_LO = 0x08;
export const DMA_ENGINE_R_ADDRESS_HI = 0x0c;
/** Bytes to transfer: 0 to the size of the buffer. */
export const DMA_ENGINE_R_LENGTH = 0x10;
/** Where in the buffer, in bytes. */
export const DMA_ENGINE_R_OFFSET = 0x14;
/** Commands; reads as zero. */
export const DMA_ENGINE_R_CONTROL = 0x18;
/** What became of the last transfer; a bit is cleared by writing it, BUSY is not. */
export const DMA_ENGINE_R_STATUS = 0x1c;
/** Bytes that were transferred. */
export const DMA_ENGINE_R_DONE = 0x20;
/** First address that could not be accessed: two halves. */
export const DMA_ENGINE_R_FAULT_LO = 0x24;
export const DMA_ENGINE_R_FAULT_HI = 0x28;
/** MSI-X vector of completions. */
export const DMA_ENGINE_R_VECTOR = 0x2c;
/** Value of a MESSAGE. */
export const DMA_ENGINE_R_DATA = 0x30;
/** Steps of the machine that a transfer waits before it accesses memory. 0: none. */
export const DMA_ENGINE_R_DELAY = 0x34;
/** Transfers that were started since the reset. */
export const DMA_ENGINE_R_COUNT = 0x38;

export const DMA_ENGINE_C_GO = 1;
/** From the buffer to memory; without it from memory to the buffer. */
export const DMA_ENGINE_C_WRITE = 2;
/** Interrupt when it is over. */
export const DMA_ENGINE_C_INTERRUPT = 4;
/** Instead of a transfer: one 32-bit write of DATA, which may ring a doorbell. */
export const DMA_ENGINE_C_MESSAGE = 8;

export const DMA_ENGINE_S_DONE = 1;
/** It stopped short at FAULT. */
export const DMA_ENGINE_S_FAULT = 2;
export const DMA_ENGINE_S_BUSY = 4;
/** Offset and length are not inside the buffer, or a transfer was running: nothing was done. */
export const DMA_ENGINE_S_INVALID = 8;

export const DMA_ENGINE_BUFFER = 0x1_0000;
export const DMA_ENGINE_BUFFER_SIZE = 0x1_0000;
export const DMA_ENGINE_BAR_SIZE = 0x2_0000;

// QEMU's `edu` (docs/specs/edu): BAR 0 of 1 MiB. Registers below 0x80 are 32 bits wide.
export const EDU_VENDOR_ID = 0x1234;
export const EDU_DEVICE_ID = 0x11e8;
export const EDU_REVISION = 0x10;
export const EDU_CLASS = 0x00_ff00;
export const EDU_BAR_SIZE = 0x10_0000;
export const EDU_ID = 0x0100_00ed;
export const EDU_R_ID = 0x00;
export const EDU_R_LIVENESS = 0x04;
export const EDU_R_FACTORIAL = 0x08;
export const EDU_R_STATUS = 0x20;
export const EDU_R_INTERRUPTS = 0x24;
export const EDU_R_RAISE = 0x60;
export const EDU_R_ACK = 0x64;
export const EDU_R_DMA_SOURCE = 0x80;
export const EDU_R_DMA_TARGET = 0x88;
export const EDU_R_DMA_COUNT = 0x90;
export const EDU_R_DMA_COMMAND = 0x98;
export const EDU_STATUS_FACTORIAL_INTERRUPT = 0x80;
export const EDU_INTERRUPT_FACTORIAL = 0x001;
export const EDU_INTERRUPT_DMA = 0x100;
export const EDU_DMA_RUN = 1;
/** From the device to memory. */
export const EDU_DMA_TO_MEMORY = 2;
export const EDU_DMA_INTERRUPT = 4;
export const EDU_BUFFER = 0x4_0000;
export const EDU_BUFFER_SIZE = 0x1000;
/** Addresses are cut to 28 bits unless the device was told otherwise. */
export const EDU_DMA_MASK = 0x0fff_ffffn;
