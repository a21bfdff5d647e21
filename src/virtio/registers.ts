/** One register of a device that belongs to `C`. */
export interface Register<C> {
  readonly name: string;
  /** Bytes from the start of the block; a multiple of the size. */
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  /** Absent for write-only registers, which read as zero. */
  readonly read?: (owner: C) => number;
  /** Absent for read-only registers, which ignore writes. */
  readonly write?: (owner: C, value: number) => void;
}

/**
 * The registers of a block and the rules of access to them, in one place: an access takes effect only
 * with the very offset and width of a register. Anything else (holes, other widths, unaligned or
 * straddling accesses) reads as zero and is ignored when written; a driver must not do it
 * (VIRTIO 1.3, "MMIO Device Register Layout", "PCI Device Layout").
 */
export class RegisterBlock<C> {
  readonly registers: readonly Register<C>[];
  readonly #byOffset: (Register<C> | undefined)[] = [];

  /** @throws RangeError on registers that overlap or are not aligned: our own mistake */
  constructor(registers: readonly Register<C>[]) {
    this.registers = registers;
    const taken = new Set<number>();
    for (const register of registers) {
      const { name, offset, size } = register;
      if (offset % size !== 0) throw new RangeError(`${name}: offset ${offset} is not aligned`);
      for (let byte = offset; byte < offset + size; byte++) {
        if (taken.has(byte)) throw new RangeError(`${name}: byte ${byte} belongs to another`);
        taken.add(byte);
      }
      this.#byOffset[offset] = register;
    }
  }

  read(owner: C, offset: number, size: number): number {
    const register = this.#byOffset[offset];
    if (register === undefined || register.size !== size) return 0;
    return register.read?.(owner) ?? 0;
  }

  write(owner: C, offset: number, size: number, value: number): void {
    const register = this.#byOffset[offset];
    if (register?.size === size) register.write?.(owner, value);
  }
}

/** Whether a driver may access the device configuration like this: aligned, 1, 2 or 4 bytes wide. */
export function isConfigAccess(offset: number, size: number): boolean {
  return (size === 1 || size === 2 || size === 4) && offset >= 0 && offset % size === 0;
}
