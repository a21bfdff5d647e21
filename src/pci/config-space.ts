import { PCI_CFG_SPACE_EXP_SIZE, PCI_CFG_SPACE_SIZE } from '../spec/pci-config.ts';

/** A register of a configuration space. Bits that are in neither mask keep what the device put there. */
export interface ConfigRegister {
  readonly name: string;
  /** Bytes from the start of the space. */
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  /** Value after a reset. */
  readonly value: number;
  /** Bits that a driver may write; default none. */
  readonly writable?: number;
  /** Bits that a driver clears by writing 1 (RW1C); default none. */
  readonly clear?: number;
  /** Told after a write that touched the register, changed or not. */
  readonly wrote?: (now: number, before: number) => void;
}

/** A stretch of configuration space with a mind of its own. Accesses inside it go there. */
export interface ConfigWindow {
  readonly offset: number;
  readonly length: number;
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/**
 * The configuration space of one function: registers with their masks. Accesses of 1, 2 and 4 bytes
 * at any offset do what they do byte by byte; what no register covers reads as zero.
 */
export class ConfigSpace {
  /** 256 or 4096. */
  readonly size: number;
  readonly registers: readonly ConfigRegister[];
  readonly #bytes: Uint8Array;
  readonly #writable: Uint8Array;
  readonly #clear: Uint8Array;
  /** Index of the register that has a `wrote` at each byte, or -1. */
  readonly #hooks: Int16Array;
  readonly #windows: readonly ConfigWindow[];

  /** @throws RangeError on registers that overlap or do not fit: our own mistake */
  constructor(
    express: boolean,
    registers: readonly ConfigRegister[],
    windows: readonly ConfigWindow[] = [],
  ) {
    this.size = express ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
    this.registers = registers;
    this.#bytes = new Uint8Array(this.size);
    this.#writable = new Uint8Array(this.size);
    this.#clear = new Uint8Array(this.size);
    this.#hooks = new Int16Array(this.size).fill(-1);
    this.#windows = windows;
    const taken = new Uint8Array(this.size);
    for (const [index, register] of registers.entries()) {
      const { name, offset, size, writable = 0, clear = 0 } = register;
      if (offset < 0 || offset + size > this.size) throw new RangeError(`${name}: does not fit`);
      for (let i = 0; i < size; i++) {
        if (taken[offset + i] !== 0) throw new RangeError(`${name}: byte ${offset + i} is taken`);
        taken[offset + i] = 1;
        this.#writable[offset + i] = writable >>> (8 * i);
        this.#clear[offset + i] = clear >>> (8 * i);
        if (register.wrote) this.#hooks[offset + i] = index;
      }
    }
    this.reset();
  }

  /** All registers as after power-on. Nobody is told. */
  reset(): void {
    this.#bytes.fill(0);
    for (const { offset, size, value } of this.registers) this.set(offset, size, value);
  }

  /** A driver's load; bytes beyond the space read as ones. */
  read(offset: number, size: number): number {
    const window = this.#windowAt(offset, size);
    if (window !== undefined) return window.read(offset - window.offset, size) >>> 0;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (this.#bytes[offset + i] ?? 0xff);
    return value;
  }

  /** A driver's store. */
  write(offset: number, size: number, value: number): void {
    const window = this.#windowAt(offset, size);
    if (window !== undefined) {
      window.write(offset - window.offset, size, value >>> 0);
      return;
    }
    const end = Math.min(offset + size, this.size);
    const touched: { register: ConfigRegister; before: number }[] = [];
    for (let at = Math.max(0, offset); at < end; at++) {
      const register = this.registers[this.#hooks[at] ?? -1];
      if (register === undefined || touched.at(-1)?.register === register) continue;
      touched.push({ register, before: this.get(register.offset, register.size) });
    }
    for (let i = 0; i < size && offset + i < this.size; i++) {
      this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    }
    for (const { register, before } of touched) {
      register.wrote?.(this.get(register.offset, register.size), before);
    }
  }

  /** For the device: a register as it is, without effects. */
  get(offset: number, size: 1 | 2 | 4): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (this.#bytes[offset + i] ?? 0);
    return value;
  }

  /** For the device: puts a value there, whatever a driver may write. */
  set(offset: number, size: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < size; i++) this.#bytes[offset + i] = value >>> (8 * i);
  }

  /** For the device: sets or clears bits of a 16-bit register. */
  setBits(offset: number, bits: number, on: boolean): void {
    const now = this.get(offset, 2);
    this.set(offset, 2, on ? now | bits : now & ~bits);
  }

  snapshot(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Nobody is told: whoever derives something from registers does so again. */
  restore(bytes: Uint8Array): void {
    this.#bytes.set(bytes.subarray(0, this.size));
  }

  #writeByte(at: number, value: number): void {
    const writable = this.#writable[at] ?? 0;
    const clear = this.#clear[at] ?? 0;
    const before = this.#bytes[at] ?? 0;
    this.#bytes[at] = ((before & ~writable) | (value & writable)) & ~(value & clear);
  }

  #windowAt(offset: number, size: number): ConfigWindow | undefined {
    for (const window of this.#windows) {
      if (offset >= window.offset && offset + size <= window.offset + window.length) return window;
    }
    return undefined;
  }
}
