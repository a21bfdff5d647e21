import {
  ACCESS_READ,
  ACCESS_WRITE,
  addressOf,
  DMA_FAILED,
  type DmaFault,
  type DmaSpace,
  type HostWindow,
} from '../memory/index.ts';

/**
 * What a function's requests go through before they leave it: nothing passes while Bus Master Enable
 * is clear, or after the function was pulled (PCI Local Bus 3.0, 6.2.2). What passes goes to `target`,
 * which stands for everything upstream: bridges, the IOMMU, memory and doorbells.
 */
export class BusMasterDma implements DmaSpace {
  #target: DmaSpace;
  #enabled = false;
  /** Makes `epoch` grow over a change of target or of the gate. */
  #offset = 0;
  /** Address of an access that the gate stopped, or undefined when the target answered last. */
  #stopped: DmaFault | undefined;

  constructor(target: DmaSpace) {
    this.#target = target;
  }

  get target(): DmaSpace {
    return this.#target;
  }

  /** Sends later requests elsewhere: the function has another requester ID, or another IOMMU. */
  set target(to: DmaSpace) {
    this.#offset = this.epoch + 1 - to.epoch;
    this.#target = to;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  set enabled(on: boolean) {
    if (on !== this.#enabled) this.#offset++;
    this.#enabled = on;
  }

  get epoch(): number {
    return this.#target.epoch + this.#offset;
  }
  get piece(): HostWindow {
    return this.#target.piece;
  }
  get pieceAt(): number {
    return this.#target.pieceAt;
  }
  get pieceLength(): number {
    return this.#target.pieceLength;
  }
  get valueHi(): number {
    return this.#target.valueHi;
  }
  get valueLo(): number {
    return this.#target.valueLo;
  }

  resolve(hi: number, lo: number, length: number, access: number): boolean {
    return this.#passes(hi, lo, access) && this.#target.resolve(hi, lo, length, access);
  }

  readU8(hi: number, lo: number): number {
    return this.#passes(hi, lo, ACCESS_READ) ? this.#target.readU8(hi, lo) : DMA_FAILED;
  }

  readU16(hi: number, lo: number): number {
    return this.#passes(hi, lo, ACCESS_READ) ? this.#target.readU16(hi, lo) : DMA_FAILED;
  }

  readU32(hi: number, lo: number): number {
    return this.#passes(hi, lo, ACCESS_READ) ? this.#target.readU32(hi, lo) : DMA_FAILED;
  }

  readU64(hi: number, lo: number): boolean {
    return this.#passes(hi, lo, ACCESS_READ) && this.#target.readU64(hi, lo);
  }

  writeU8(hi: number, lo: number, value: number): boolean {
    return this.#passes(hi, lo, ACCESS_WRITE) && this.#target.writeU8(hi, lo, value);
  }

  writeU16(hi: number, lo: number, value: number): boolean {
    return this.#passes(hi, lo, ACCESS_WRITE) && this.#target.writeU16(hi, lo, value);
  }

  writeU32(hi: number, lo: number, value: number): boolean {
    return this.#passes(hi, lo, ACCESS_WRITE) && this.#target.writeU32(hi, lo, value);
  }

  writeU64(hi: number, lo: number, valueHi: number, valueLo: number): boolean {
    return this.#passes(hi, lo, ACCESS_WRITE) && this.#target.writeU64(hi, lo, valueHi, valueLo);
  }

  loadU16(hi: number, lo: number): number {
    return this.#passes(hi, lo, ACCESS_READ) ? this.#target.loadU16(hi, lo) : DMA_FAILED;
  }

  storeU16(hi: number, lo: number, value: number): boolean {
    return this.#passes(hi, lo, ACCESS_WRITE) && this.#target.storeU16(hi, lo, value);
  }

  read(hi: number, lo: number, into: Uint8Array, at = 0, length = into.length - at): number {
    return this.#passes(hi, lo, ACCESS_READ) ? this.#target.read(hi, lo, into, at, length) : 0;
  }

  write(hi: number, lo: number, from: Uint8Array, at = 0, length = from.length - at): number {
    return this.#passes(hi, lo, ACCESS_WRITE) ? this.#target.write(hi, lo, from, at, length) : 0;
  }

  fill(hi: number, lo: number, length: number, byte: number): number {
    return this.#passes(hi, lo, ACCESS_WRITE) ? this.#target.fill(hi, lo, length, byte) : 0;
  }

  fault(): DmaFault {
    return this.#stopped ?? this.#target.fault();
  }

  #passes(hi: number, lo: number, access: number): boolean {
    if (this.#enabled) {
      this.#stopped = undefined;
      return true;
    }
    this.#stopped = { address: addressOf(hi, lo), access };
    return false;
  }
}
