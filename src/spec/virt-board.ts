// The devices of QEMU's `virt` machine that no topology moves (hw/arm/virt.c, base_memmap and
// a15irqmap of QEMU 7.2). Interrupts are SPI numbers, counted from 0.

export const VIRT_UART_BASE = 0x0900_0000n;
export const VIRT_UART_SPI = 1;
export const VIRT_RTC_BASE = 0x0901_0000n;
export const VIRT_RTC_SPI = 2;
export const VIRT_FW_CFG_BASE = 0x0902_0000n;
export const VIRT_FW_CFG_SIZE = 0x18n;
/** The first of four INTx interrupts of the PCI root complex; slot and pin rotate among them. */
export const VIRT_PCIE_SPI = 3;

/** 32 virtio-mmio transports, one after the other, each with its own interrupt. */
export const VIRT_MMIO_BASE = 0x0a00_0000n;
export const VIRT_MMIO_SIZE = 0x200n;
export const VIRT_MMIO_COUNT = 32;
export const VIRT_MMIO_SPI = 16;

/** `apb-pclk`, the clock of the PrimeCell peripherals, in Hz. */
export const VIRT_APB_CLOCK = 24_000_000;
