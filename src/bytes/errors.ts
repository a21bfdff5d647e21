/**
 * Damaged input: a byte string that is not what its format says.
 *
 * Every reader of this project (FDT, ACPI, ELF, cpio …) throws this and nothing else, whatever
 * bytes it is given. `offset` is the place in the input, in bytes from its start.
 */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  /** Stable, lower-case words joined by `-`, with the format as prefix: `fdt/truncated`. */
  readonly code: string;
  /** Bytes from the start of the input. */
  readonly offset: number;

  constructor(code: string, offset: number, message: string) {
    super(`${message} (at offset 0x${offset.toString(16)})`);
    this.code = code;
    this.offset = offset;
  }
}
