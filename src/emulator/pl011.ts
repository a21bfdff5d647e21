import {
  UART_FIFO_DEPTH,
  UART_ID,
  UART_RTI,
  UART_RXI,
  UART_TXI,
  UARTCR,
  UARTDMACR,
  UARTDR,
  UARTFBRD,
  UARTFR,
  UARTFR_RXFE,
  UARTFR_RXFF,
  UARTFR_TXFE,
  UARTIBRD,
  UARTICR,
  UARTIFLS,
  UARTILPR,
  UARTIMSC,
  UARTLCR_H,
  UARTMIS,
  UARTPeriphID0,
  UARTRIS,
} from '../spec/pl011.ts';
import type { Region } from './regions.ts';

const PLAIN = [UARTILPR, UARTIBRD, UARTFBRD, UARTLCR_H, UARTCR, UARTIFLS, UARTDMACR] as const;
const SIZE = 0x1000;
/** What waits outside for room in the FIFO: enough for a paste, and a bound. */
export const UART_INPUT_MAX = 1 << 16;

/** State of the UART, as plain data. */
export interface UartState {
  readonly registers: readonly (readonly [offset: number, value: number])[];
  readonly mask: number;
  readonly raw: number;
  readonly fifo: readonly number[];
  readonly waiting: readonly number[];
}

/** A PL011 whose line is infinitely fast: what is written is out, what is read makes room. */
export class Pl011 {
  readonly #registers = new Map<number, number>();
  #mask = 0;
  #raw = 0;
  #fifo: number[] = [];
  #waiting: number[] = [];
  #asserted = false;
  readonly #line: (level: boolean) => void;
  readonly #output: (byte: number) => void;

  /** @param line interrupt, level; told of changes. @param output each byte that the guest sends */
  constructor(line: (level: boolean) => void, output: (byte: number) => void) {
    this.#line = line;
    this.#output = output;
    this.#registers.set(UARTCR, 0x300);
    this.#registers.set(UARTIFLS, 0x12);
  }

  region(base: number): Region {
    return {
      name: 'pl011',
      base,
      size: SIZE,
      read: (offset) => this.#read(offset & ~3),
      write: (offset, _size, value) => this.#write(offset & ~3, value),
    };
  }

  /** Input for the guest; answers how many bytes were taken: no more than UART_INPUT_MAX wait. */
  input(bytes: Uint8Array): number {
    const room = UART_INPUT_MAX - this.#waiting.length;
    const taken = bytes.subarray(0, Math.max(0, room));
    for (const byte of taken) this.#waiting.push(byte);
    this.#refill();
    return taken.length;
  }

  save(): UartState {
    return {
      registers: [...this.#registers].map(([offset, value]) => [offset, value] as const),
      mask: this.#mask,
      raw: this.#raw,
      fifo: this.#fifo.slice(),
      waiting: this.#waiting.slice(),
    };
  }

  restore(state: UartState): void {
    this.#registers.clear();
    for (const [offset, value] of state.registers) this.#registers.set(offset, value);
    this.#mask = state.mask;
    this.#raw = state.raw;
    this.#fifo = state.fifo.slice();
    this.#waiting = state.waiting.slice();
    this.#update();
  }

  #read(offset: number): number {
    switch (offset) {
      case UARTDR:
        return this.#receive();
      case UARTFR:
        return this.#flags();
      case UARTIMSC:
        return this.#mask;
      case UARTRIS:
        return this.#raw;
      case UARTMIS:
        return this.#raw & this.#mask;
      default: {
        const id = UART_ID[(offset - UARTPeriphID0) / 4];
        return id ?? this.#registers.get(offset) ?? 0;
      }
    }
  }

  #flags(): number {
    let flags = UARTFR_TXFE;
    if (this.#fifo.length === 0) flags |= UARTFR_RXFE;
    if (this.#fifo.length >= UART_FIFO_DEPTH) flags |= UARTFR_RXFF;
    return flags;
  }

  #receive(): number {
    const byte = this.#fifo.shift() ?? 0;
    if (this.#fifo.length === 0) this.#raw &= ~(UART_RXI | UART_RTI);
    this.#refill();
    this.#update();
    return byte;
  }

  #refill(): void {
    while (this.#waiting.length > 0 && this.#fifo.length < UART_FIFO_DEPTH) {
      this.#fifo.push(this.#waiting.shift() ?? 0);
      // The receive timeout is what tells of less than half a FIFO.
      this.#raw |= UART_RXI | UART_RTI;
    }
    this.#update();
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case UARTDR:
        this.#output(value & 0xff);
        this.#raw |= UART_TXI;
        break;
      case UARTIMSC:
        this.#mask = value & 0x7ff;
        break;
      case UARTICR:
        this.#raw &= ~value;
        // What is in the FIFO still is.
        if (this.#fifo.length > 0) this.#raw |= UART_RXI;
        break;
      default:
        if ((PLAIN as readonly number[]).includes(offset)) this.#registers.set(offset, value);
    }
    this.#update();
  }

  #update(): void {
    const asserted = (this.#raw & this.#mask) !== 0;
    if (asserted === this.#asserted) return;
    this.#asserted = asserted;
    this.#line(asserted);
  }
}
