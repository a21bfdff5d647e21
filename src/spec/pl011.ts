// PrimeCell UART (PL011) Technical Reference Manual, ARM DDI 0183G, 3.2 Summary of registers.

export const UARTDR = 0x000;
export const UARTRSR = 0x004;
export const UARTFR = 0x018;
export const UARTILPR = 0x020;
export const UARTIBRD = 0x024;
export const UARTFBRD = 0x028;
export const UARTLCR_H = 0x02c;
export const UARTCR = 0x030;
export const UARTIFLS = 0x034;
export const UARTIMSC = 0x038;
export const UARTRIS = 0x03c;
export const UARTMIS = 0x040;
export const UARTICR = 0x044;
export const UARTDMACR = 0x048;
/** First of the eight identification registers. */
export const UARTPeriphID0 = 0xfe0;

export const UARTFR_RXFE = 1 << 4;
export const UARTFR_RXFF = 1 << 6;
export const UARTFR_TXFE = 1 << 7;

/** Bits of the interrupt registers. */
export const UART_RXI = 1 << 4;
export const UART_TXI = 1 << 5;
export const UART_RTI = 1 << 6;

export const UARTLCR_H_FEN = 1 << 4;
export const UART_FIFO_DEPTH = 16;
/** Peripheral and PrimeCell identification of revision r1p5, a byte each. */
export const UART_ID = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1] as const;
