import type { DoorbellSink } from '../memory/index.ts';
import {
  GITS_TRANSLATER,
  V2M_MSI_IIDR,
  V2M_MSI_SETSPI_NS,
  V2M_MSI_TYPER,
  V2M_MSI_TYPER_BASE_SHIFT,
  V2M_PIDR2,
  V2M_SIZE,
  X86_MSI_BASE,
  X86_MSI_DEST_MASK,
  X86_MSI_DEST_SHIFT,
  X86_MSI_SIZE,
  X86_MSI_VECTOR_MASK,
} from '../spec/msix.ts';
import { GIC_SPI_FIRST } from '../spec/gicv2.ts';

/** Something that devices write to, to interrupt a CPU. Addresses are guest-physical, below 2^53. */
export interface MsiDoorbell {
  /**
   * A 32-bit write that reached the bus.
   *
   * @param requester DeviceID of who wrote: a requester ID, or whatever the machine made of it
   * @returns whether the address is one of its
   */
  write(address: number, value: number, requester: number): boolean;
}

const SPI_LIMIT = 1020;

/** GICv2m frame: one page, a write to one register of which raises an SPI (Arm SBSA). */
export class GicV2m implements MsiDoorbell {
  readonly base: number;
  readonly size: number = V2M_SIZE;
  readonly #first: number;
  readonly #count: number;
  readonly #raise: (spi: number, requester: number) => void;

  /**
   * @param spis first SPI, counted from 0, and how many
   * @param raise told of an edge of an SPI, counted from 0
   */
  constructor(
    base: bigint,
    spis: { readonly base: number; readonly count: number },
    raise: (spi: number, requester: number) => void,
  ) {
    const last = GIC_SPI_FIRST + spis.base + spis.count - 1;
    if (spis.base < 0 || spis.count < 1 || last >= SPI_LIMIT) {
      throw new RangeError(`GICv2m: ${spis.count} SPIs from ${spis.base} on`);
    }
    this.base = Number(base);
    this.#first = GIC_SPI_FIRST + spis.base;
    this.#count = spis.count;
    this.#raise = raise;
  }

  write(address: number, value: number, requester: number): boolean {
    const offset = address - this.base;
    if (offset < 0 || offset >= this.size) return false;
    const inside = value >= this.#first && value < this.#first + this.#count;
    if (offset === V2M_MSI_SETSPI_NS && inside) this.#raise(value - GIC_SPI_FIRST, requester);
    return true;
  }

  /** A CPU's load: how many interrupts there are, and from which on. */
  read(offset: number): number {
    if (offset === V2M_MSI_TYPER) {
      return ((this.#first << V2M_MSI_TYPER_BASE_SHIFT) | this.#count) >>> 0;
    }
    // Implementer and variant: none. Revision 1 of the architecture.
    if (offset === V2M_MSI_IIDR) return 0;
    return offset === V2M_PIDR2 ? 0x10 : 0;
  }
}

/** The page of a GICv3 ITS that devices write an EventID to; the ITS looks up what it means. */
export class ItsTranslater implements MsiDoorbell {
  readonly #address: number;
  readonly #page: number;
  readonly #translate: (deviceId: number, eventId: number) => void;

  /** @param page the translation page: 64 KiB, which has GITS_TRANSLATER at 0x40 */
  constructor(page: bigint, translate: (deviceId: number, eventId: number) => void) {
    this.#page = Number(page);
    this.#address = this.#page + GITS_TRANSLATER;
    this.#translate = translate;
  }

  write(address: number, value: number, requester: number): boolean {
    if (address < this.#page || address >= this.#page + 0x1_0000) return false;
    if (address === this.#address) this.#translate(requester, value);
    return true;
  }
}

/** An interrupt message on x86. */
export interface X86Message {
  /** APIC ID it is for. */
  readonly destination: number;
  /** 16–255. */
  readonly vector: number;
  readonly address: number;
  readonly data: number;
}

/** The window of the local APICs: every address in it is a doorbell (Intel SDM 3). */
export class X86MsiWindow implements MsiDoorbell {
  readonly #deliver: (message: X86Message, requester: number) => void;

  constructor(deliver: (message: X86Message, requester: number) => void) {
    this.#deliver = deliver;
  }

  write(address: number, value: number, requester: number): boolean {
    if (address < X86_MSI_BASE || address >= X86_MSI_BASE + X86_MSI_SIZE) return false;
    const destination = (address >>> X86_MSI_DEST_SHIFT) & X86_MSI_DEST_MASK;
    const vector = value & X86_MSI_VECTOR_MASK;
    // Vectors below 16 are illegal and never accepted.
    if (vector >= 16) this.#deliver({ destination, vector, address, data: value }, requester);
    return true;
  }
}

/** The doorbells of a machine as one function's DMA meets them. `requester` is asked at each write. */
export function doorbellSink(
  doorbells: readonly MsiDoorbell[],
  requester: () => number | undefined,
): DoorbellSink {
  return (hi, lo, value) => {
    const address = hi * 2 ** 32 + lo;
    const from = requester();
    return from !== undefined && doorbells.some((bell) => bell.write(address, value, from));
  };
}
