import { expect, test } from 'vitest';
import { TerminalLink } from '../../../src/backends/emulator-terminal.ts';
import { UART_INPUT_MAX } from '../../../src/emulator/index.ts';

function linked(): {
  readonly link: TerminalLink;
  readonly screen: () => string;
  readonly typed: () => string;
  readonly type: (text: string) => void;
} {
  let screen = '';
  let typed = '';
  let input: ((bytes: Uint8Array) => void) | undefined;
  const terminal = {
    rows: 24,
    columns: 80,
    output: (bytes: Uint8Array): void => void (screen += Buffer.from(bytes).toString()),
    connect: (to: (bytes: Uint8Array) => void): void => void (input = to),
  };
  const link = new TerminalLink(terminal, (bytes) => void (typed += Buffer.from(bytes).toString()));
  link.connect();
  return {
    link,
    screen: () => screen,
    typed: () => typed,
    type: (text) => input?.(Buffer.from(text)),
  };
}

/** Bytes as a UART sends them, and the line when it has ended. */
function send(link: TerminalLink, text: string): void {
  for (const line of text.split(/(?<=\n)/)) {
    for (const byte of Buffer.from(line)) link.byte(byte);
    if (line.endsWith('\n')) link.line(line.trimEnd());
  }
}

test('lines before and after the shell, every byte within, and no report', () => {
  const { link, screen } = linked();
  send(link, '[    0.100000] Linux\r\n[    1.000000] VT1 1 begin protocol=1\r\n');
  send(link, '[    1.100000] VT1 2 shell state=begin\r\n/ # ec');
  expect(screen()).toBe('[    0.100000] Linux\r\n/ # ec');
  send(link, 'ho\r\n[    2.000000] VT1 3 shell state=end\r\n');
  const shown = screen().length;
  send(link, '[    2.100000] VT1 4 end lines=4\r\n[    2.200000] reboot: Power down\r\n');
  expect(screen().slice(shown)).toBe('[    2.200000] reboot: Power down\r\n');
});

test('what is typed before the shell is there waits for it, as far as a UART waits', () => {
  const { link, typed, type } = linked();
  type('early ');
  type('x'.repeat(2 * UART_INPUT_MAX));
  expect(typed()).toBe('');
  link.line('[    1.100000] VT1 2 shell state=begin');
  expect(typed()).toHaveLength(UART_INPUT_MAX);
  expect(typed().startsWith('early xxx')).toBe(true);
  type('later');
  expect(typed().endsWith('xlater')).toBe(true);
});
