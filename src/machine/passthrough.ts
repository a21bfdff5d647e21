import { HostContainer, HostPort, HostTranslator, type HostCallMade } from '../host-iommu/index.ts';
import type { IommuDevice } from '../iommu/index.ts';
import {
  ACCESS_WRITE,
  addressOf,
  TRANSLATED,
  TRANSLATION_FAULT,
  TRANSLATION_MSI,
  type GuestMemory,
  type Translator,
} from '../memory/index.ts';
import type { Endpoint } from '../topology/index.ts';

const HALF = 2 ** 32;

/** What the host of a passed-through device was asked, let through, or refused. */
export type HostEvent =
  | { readonly kind: 'call'; readonly made: HostCallMade }
  | {
      readonly kind: 'access';
      readonly endpoint: number;
      readonly iova: bigint;
      /** Bytes that the host's mapping let through; the device comes again for the rest. */
      readonly length: number;
      /** ACCESS_READ | ACCESS_WRITE. */
      readonly access: number;
      /** Through a mapping of the guest, or all memory being mapped for an endpoint in no domain. */
      readonly how: 'translated' | 'bypassed';
    }
  | {
      readonly kind: 'fault';
      readonly endpoint: number;
      readonly iova: bigint;
      readonly access: number;
    };

export type HostListener = (event: HostEvent) => void;

/**
 * The accesses of a passed-through device. Memory is reached through the host's container alone. Its
 * MSIs are a VMM's: those of the real device end in the host, and what the guest wrote into its
 * vectors goes where the vIOMMU leads it, the doorbell, which no host maps.
 */
class HostWay implements Translator {
  readonly device: IommuDevice;
  readonly #host: HostTranslator;
  readonly #memory: GuestMemory;
  readonly #tell: HostListener;
  #of: Translator;

  constructor(side: HostSide, memory: GuestMemory, device: IommuDevice, tell: HostListener) {
    const { container } = side;
    this.device = device;
    this.#tell = tell;
    this.#host = new HostTranslator(container);
    this.#memory = memory;
    this.#of = this.#host;
  }

  /** Both only grow. */
  get epoch(): number {
    return this.#host.epoch + this.device.translation.epoch;
  }
  get startHi(): number {
    return this.#of.startHi;
  }
  get startLo(): number {
    return this.#of.startLo;
  }
  get endHi(): number {
    return this.#of.endHi;
  }
  get endLo(): number {
    return this.#of.endLo;
  }
  get physHi(): number {
    return this.#of.physHi;
  }
  get physLo(): number {
    return this.#of.physLo;
  }
  get flags(): number {
    return this.#of.flags;
  }

  translate(id: number, hi: number, lo: number, length: number, access: number): number {
    this.#of = this.#host;
    if (this.#host.translate(id, hi, lo, length, access) === TRANSLATED) {
      this.#tellAccess(id, addressOf(hi, lo), length, access);
      return TRANSLATED;
    }
    const message = access === ACCESS_WRITE && length === 4;
    const outcome = message ? this.#message(id, hi, lo) : TRANSLATION_FAULT;
    if (outcome === TRANSLATION_FAULT) this.refused(id, hi, lo, access);
    return outcome;
  }

  refused(endpoint: number, hi: number, lo: number, access: number): void {
    this.#tell({ kind: 'fault', endpoint, iova: addressOf(hi, lo), access });
  }

  #tellAccess(endpoint: number, iova: bigint, wanted: number, access: number): void {
    const { endHi, endLo } = this.#host;
    const room = addressOf(endHi, endLo) - iova + 1n;
    const length = room < BigInt(wanted) ? Number(room) : wanted;
    const domain = this.device.endpoints.get(endpoint)?.domain;
    const how = domain === undefined || domain.bypass ? 'bypassed' : 'translated';
    this.#tell({ kind: 'access', endpoint, iova, length, access, how });
  }

  /** A write of a message to what is no memory; anything else stays refused. */
  #message(id: number, hi: number, lo: number): number {
    const { translation, endpoints } = this.device;
    const endpoint = endpoints.get(id);
    if (endpoint === undefined) return TRANSLATION_FAULT;
    const outcome = translation.look(endpoint, hi, lo, ACCESS_WRITE);
    if (outcome === TRANSLATION_MSI) return outcome;
    if (outcome !== TRANSLATED) return TRANSLATION_FAULT;
    const low = translation.physLo + (lo - translation.startLo);
    const carry = Math.floor(low / HALF);
    const physHi = translation.physHi + (hi - translation.startHi) + carry;
    if (this.#memory.resolve(physHi, low - carry * HALF, 4, 0)) return TRANSLATION_FAULT;
    this.#of = translation;
    return outcome;
  }
}

/** The host that a device is passed through from: a container of its own, as one VFIO group has. */
export class HostSide {
  readonly container: HostContainer;
  readonly port: HostPort;
  readonly #memory: GuestMemory;
  readonly #tell: HostListener;
  #way: HostWay | undefined;

  constructor(container: HostContainer, memory: GuestMemory, tell: HostListener) {
    this.container = container;
    this.port = new HostPort(container, memory);
    this.#memory = memory;
    this.#tell = tell;
    container.onCall = (made) => tell({ kind: 'call', made });
  }

  /** How the device's accesses go while that vIOMMU has it. */
  behind(device: IommuDevice): Translator {
    if (this.#way?.device !== device) {
      this.#way = new HostWay(this, this.#memory, device, this.#tell);
    }
    return this.#way;
  }
}

/** The host of an endpoint that is passed through. */
export function hostSideOf(
  { passthrough }: Endpoint,
  memory: GuestMemory,
  tell: HostListener,
): { hostSide?: HostSide } {
  if (passthrough === undefined) return {};
  const { pageSizeMask, aperture, mappings, reserved } = passthrough;
  const container = new HostContainer({
    pageSizeMask,
    aperture: [aperture],
    mappings,
    reserved: reserved.map((range) => ({ range, type: 'reserved' })),
  });
  return { hostSide: new HostSide(container, memory, tell) };
}
