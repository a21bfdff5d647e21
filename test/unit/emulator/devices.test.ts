import { describe, expect, test } from 'vitest';

import { FormatError } from '../../../src/bytes/index.ts';
import { Pl011, readImage, UART_INPUT_MAX } from '../../../src/emulator/index.ts';
import { ConsoleLog } from '../../../src/emulator/console-log.ts';
import { place } from '../../../src/emulator/image.ts';
import * as uart from '../../../src/spec/pl011.ts';

function pl011(): {
  device: Pl011;
  out: number[];
  lines: boolean[];
  read: (offset: number) => number;
  write: (offset: number, value: number) => void;
} {
  const out: number[] = [];
  const lines: boolean[] = [];
  const device = new Pl011(
    (level) => lines.push(level),
    (byte) => out.push(byte),
  );
  const region = device.region(0);
  return {
    device,
    out,
    lines,
    read: (offset) => region.read(offset, 4),
    write: (offset, value) => region.write(offset, 4, value),
  };
}

describe('PL011', () => {
  test('identifies itself', () => {
    const { read } = pl011();
    const id = Array.from({ length: 8 }, (_, n) => read(uart.UARTPeriphID0 + 4 * n));
    expect(id).toEqual([...uart.UART_ID]);
  });

  test('output, and the interrupt that asks for more', () => {
    const { read, write, out, lines } = pl011();
    write(uart.UARTDR, 0x41);
    expect(out).toEqual([0x41]);
    expect(lines).toEqual([]);
    write(uart.UARTIMSC, uart.UART_TXI);
    expect(lines).toEqual([true]);
    expect(read(uart.UARTMIS)).toBe(uart.UART_TXI);
    write(uart.UARTICR, uart.UART_TXI);
    expect(lines).toEqual([true, false]);
    expect(read(uart.UARTFR) & uart.UARTFR_TXFE).toBe(uart.UARTFR_TXFE);
  });

  test('input: more than the FIFO holds waits outside, nothing is lost', () => {
    const { device, read, write, lines } = pl011();
    write(uart.UARTIMSC, uart.UART_RXI);
    const bytes = Uint8Array.from({ length: 40 }, (_, n) => n + 1);
    expect(device.input(bytes)).toBe(40);
    expect(lines).toEqual([true]);
    expect(read(uart.UARTFR) & uart.UARTFR_RXFF).toBe(uart.UARTFR_RXFF);
    const seen: number[] = [];
    while ((read(uart.UARTFR) & uart.UARTFR_RXFE) === 0) seen.push(read(uart.UARTDR));
    expect(seen).toEqual([...bytes]);
    expect(lines).toEqual([true, false]);
  });

  test('input is bounded', () => {
    const { device } = pl011();
    const taken = device.input(new Uint8Array(UART_INPUT_MAX + 100));
    expect(taken).toBe(UART_INPUT_MAX);
    expect(device.input(new Uint8Array(100))).toBeLessThan(100);
  });

  test('save and restore', () => {
    const { device, write } = pl011();
    write(uart.UARTIMSC, uart.UART_RXI);
    device.input(new Uint8Array(20).fill(7));
    const other = pl011();
    other.device.restore(structuredClone(device.save()));
    expect(other.lines).toEqual([true]);
    expect(other.device.save()).toEqual(device.save());
  });
});

describe('console', () => {
  test('lines without their ends, the open one last, a bounded number of bounded lines', () => {
    const seen: string[] = [];
    const log = new ConsoleLog((line) => seen.push(line));
    const put = (text: string): void => {
      for (const byte of Buffer.from(text)) log.put(byte);
    };
    put('one\r\ntwo ö\nopen');
    expect(seen).toEqual(['one', 'two ö']);
    expect(log.last(2)).toEqual(['two ö', 'open']);
    put('x'.repeat(100_000));
    expect(Math.max(...log.last().map((line) => line.length))).toBeLessThanOrEqual(4096);
    put('\n'.repeat(1000));
    expect(log.last(1e9).length).toBeLessThanOrEqual(65);
  });
});

describe('kernel image', () => {
  /** A header; `size` is image_size. */
  function header(size = 0x100_0000, magic = 0x644d_5241, flags = 0xan): Uint8Array {
    const data = new DataView(new ArrayBuffer(4096));
    data.setBigUint64(8, 0n, true);
    data.setBigUint64(16, BigInt(size), true);
    data.setBigUint64(24, flags, true);
    data.setUint32(56, magic, true);
    return new Uint8Array(data.buffer);
  }

  /** With a PE header and one section that ends there in the file. */
  function pe(end: number): Uint8Array {
    const bytes = header();
    const data = new DataView(bytes.buffer);
    data.setUint32(0x3c, 64, true);
    data.setUint32(64, 0x4550, true);
    data.setUint16(70, 1, true);
    data.setUint16(84, 32, true);
    data.setUint32(64 + 24 + 32 + 16, 0x1000, true);
    data.setUint32(64 + 24 + 32 + 20, end - 0x1000, true);
    return bytes;
  }

  test('a file that holds all its sections is whole; headers past its end tell nothing', () => {
    const bytes = pe(4096);
    expect(readImage(bytes).bytes).toBe(bytes);
    const data = new DataView(bytes.buffer);
    for (const [at, value] of [
      [0x3c, 0xffff_fff0],
      [84, 0xffff],
      [64, 0],
    ] as const) {
      if (at === 84) data.setUint16(at, value, true);
      else data.setUint32(at, value, true);
      expect(readImage(bytes).bytes).toBe(bytes);
      data.setUint32(0x3c, 64, true);
    }
  });

  test('the header says how much room the kernel needs', () => {
    expect(readImage(header())).toMatchObject({ textOffset: 0, imageSize: 0x100_0000 });
  });

  test.each([
    ['truncated', new Uint8Array(63), 'image/truncated'],
    ['something else', header(0x1000, 0x1234), 'image/magic'],
    ['big-endian', header(0x1000, 0x644d_5241, 1n), 'image/endian'],
    ['for pages of 16 KiB', header(0x1000, 0x644d_5241, 4n), 'image/pages'],
    ['for pages of 64 KiB', header(0x1000, 0x644d_5241, 6n), 'image/pages'],
    ['cut short', pe(4097), 'image/short'],
  ])('%s', (_, bytes, code) => {
    expect(() => readImage(bytes)).toThrow(expect.objectContaining({ code }) as FormatError);
  });

  test('kernel, initramfs and tree do not overlap, or there is too little RAM', () => {
    const image = readImage(header());
    for (const initrd of [0, 1, 4096, 5_000_001]) {
      const at = place(64 << 20, image, initrd);
      expect(at.kernel % 0x20_0000).toBe(0);
      expect(at.initrd).toBeGreaterThanOrEqual(at.kernel + image.imageSize);
      expect(at.dtb).toBeGreaterThanOrEqual(at.initrd + initrd);
      expect(at.dtb % 0x20_0000).toBe(0);
      expect(at.dtb + 0x20_0000).toBeLessThanOrEqual(64 << 20);
    }
    expect(() => place(16 << 20, image, 4096)).toThrow(FormatError);
  });
});
