import { HostContainer, HostPort, HostTranslator } from '../host-iommu/index.ts';
import type { IommuDevice } from '../iommu/index.ts';
import {
  ACCESS_WRITE,
  TRANSLATED,
  TRANSLATION_FAULT,
  TRANSLATION_MSI,
  type GuestMemory,
  type Translator,
} from '../memory/index.ts';
import type { Endpoint } from '../topology/index.ts';

const HALF = 2 ** 32;

/**
 * The accesses of a passed-through device. Memory is reached through the host's container alone. Its
 * MSIs are a VMM's: those of the real device end in the host, and what the guest wrote into its
 * vectors goes where the vIOMMU leads it, the doorbell, which no host maps.
 */
class HostWay implements Translator {
  readonly device: IommuDevice;
  readonly #host: HostTranslator;
  readonly #memory: GuestMemory;
  #of: Translator;

  constructor(container: HostContainer, memory: GuestMemory, device: IommuDevice) {
    this.device = device;
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
    const outcome = this.#host.translate(id, hi, lo, length, access);
    if (outcome === TRANSLATED || access !== ACCESS_WRITE || length !== 4) return outcome;
    return this.#message(id, hi, lo);
  }

  refused(id: number, hi: number, lo: number, access: number): void {
    this.#host.refused(id, hi, lo, access);
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
  #way: HostWay | undefined;

  constructor(container: HostContainer, memory: GuestMemory) {
    this.container = container;
    this.port = new HostPort(container, memory);
    this.#memory = memory;
  }

  /** How the device's accesses go while that vIOMMU has it. */
  behind(device: IommuDevice): Translator {
    if (this.#way?.device !== device) {
      this.#way = new HostWay(this.container, this.#memory, device);
    }
    return this.#way;
  }
}

/** The host of an endpoint that is passed through. */
export function hostSideOf(
  { passthrough }: Endpoint,
  memory: GuestMemory,
): { hostSide?: HostSide } {
  if (passthrough === undefined) return {};
  const { pageSizeMask, aperture, mappings, reserved } = passthrough;
  const container = new HostContainer({
    pageSizeMask,
    aperture: [aperture],
    mappings,
    reserved: reserved.map((range) => ({ range, type: 'reserved' })),
  });
  return { hostSide: new HostSide(container, memory) };
}
