import { FormatError, hex } from '../bytes/index.ts';

/** More lines than any kernel has symbols: a bound for what is no System.map. */
const SYMBOLS_MAX = 2_000_000;
const LINE = /^([0-9a-f]{16}) [A-Za-z] (\S+)$/;
/** What Debian ships instead: one line that names the package with the real one. */
const STUB = /^f{16} B The real System\.map is in (.+)$/m;
/** Where the kernel image ends. */
const END = '_end';

/** The symbols of a kernel: `System.map`, as the kernel's build writes it. */
export class SystemMap {
  readonly #addresses: readonly bigint[];
  readonly #names: readonly string[];

  private constructor(addresses: readonly bigint[], names: readonly string[]) {
    this.#addresses = addresses;
    this.#names = names;
  }

  /**
   * @throws FormatError `system-map/stub` for Debian's stand-in, `system-map/line` for a line that
   * is no symbol, `system-map/empty`; the offset is that of the line
   */
  static parse(text: string): SystemMap {
    const stub = STUB.exec(text);
    if (stub !== null) {
      const where = stub[1] ?? '';
      throw new FormatError('system-map/stub', stub.index, `Debian keeps it elsewhere: ${where}`);
    }
    const symbols: { readonly address: bigint; readonly name: string }[] = [];
    let offset = 0;
    for (const line of text.split('\n')) {
      const match = LINE.exec(line);
      if (match !== null) symbols.push({ address: BigInt(`0x${match[1]}`), name: match[2] ?? '' });
      else if (line !== '') {
        throw new FormatError('system-map/line', offset, 'not an address, a type and a name');
      }
      if (symbols.length > SYMBOLS_MAX) {
        throw new FormatError('system-map/line', offset, `more than ${SYMBOLS_MAX} symbols`);
      }
      offset += line.length + 1;
    }
    if (symbols.length === 0) throw new FormatError('system-map/empty', 0, 'no symbol in it');
    // Stable: of several names for one address the first is the one that `nm` puts first.
    const sorted = symbols.toSorted((a, b) =>
      a.address < b.address ? -1 : a.address > b.address ? 1 : 0,
    );
    return new SystemMap(
      sorted.map(({ address }) => address),
      sorted.map(({ name }) => name),
    );
  }

  /** `cpu_do_idle+0x14`; undefined below the first symbol and behind the kernel image: modules. */
  at(address: bigint): string | undefined {
    let low = 0;
    let high = this.#addresses.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#addresses[middle] ?? 0n) <= address) low = middle + 1;
      else high = middle;
    }
    const start = this.#addresses[low - 1];
    if (start === undefined) return undefined;
    let index = low - 1;
    while (this.#addresses[index - 1] === start) index--;
    const name = this.#names[index] ?? '';
    return name === END ? undefined : `${name}+${hex(address - start)}`;
  }
}
