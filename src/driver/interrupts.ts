import type { PlatformInterrupt } from './platform.ts';

type Handler = () => void;

/** Vectors of a local APIC that are for devices. */
const APIC_FIRST = 0x30;
const APIC_LIMIT = 0xf0;
/** LPIs of a GIC begin there; EventIDs are counted for each device. */
const EVENTS_MAX = 2048;

/** A message that a device is to send, and how to stop listening for it. */
export interface Vector {
  /** Low bits of the address, beyond the controller's base. */
  readonly address: number;
  readonly data: number;
  readonly free: () => void;
}

/**
 * The interrupt controllers as the guest's CPU uses them: who is called for which interrupt.
 *
 * An ITS knows a device by the DeviceID that its driver was told by firmware; an event of a DeviceID
 * that nobody mapped is dropped, as the hardware does.
 */
export class InterruptHub {
  readonly #lines = new Map<number, Set<Handler>>();
  readonly #edges = new Map<number, Handler>();
  readonly #events = new Map<string, Handler>();
  readonly #vectors = new Map<number, Handler>();
  /** Interrupts that nobody was there for. */
  spurious = 0;

  dispatch(interrupt: PlatformInterrupt): void {
    switch (interrupt.kind) {
      case 'line':
        if (interrupt.level)
          for (const handler of this.#lines.get(interrupt.number) ?? []) handler();
        return;
      case 'edge':
        this.#call(this.#edges.get(interrupt.number));
        return;
      case 'its':
        this.#call(this.#events.get(`${interrupt.deviceId}/${interrupt.eventId}`));
        return;
      case 'apic':
        this.#call(this.#vectors.get(interrupt.vector));
        return;
      default:
        interrupt satisfies never;
    }
  }

  /** Listens to a wired line, which several devices may share. */
  line(number: number, handler: Handler): () => void {
    const handlers = this.#lines.get(number) ?? new Set<Handler>();
    this.#lines.set(number, handlers.add(handler));
    return () => void handlers.delete(handler);
  }

  /** An SPI of a GICv2m frame, by its range (SPIs from 0); undefined: none is left. */
  spi(
    range: { readonly start: number; readonly end: number },
    handler: Handler,
  ): Vector | undefined {
    for (let number = range.start; number <= range.end; number++) {
      if (this.#edges.has(number)) continue;
      this.#edges.set(number, handler);
      return { address: 0, data: number + 32, free: () => void this.#edges.delete(number) };
    }
    return undefined;
  }

  /** An event of a device at an ITS. */
  event(deviceId: number, handler: Handler): Vector | undefined {
    for (let eventId = 0; eventId < EVENTS_MAX; eventId++) {
      const key = `${deviceId}/${eventId}`;
      if (this.#events.has(key)) continue;
      this.#events.set(key, handler);
      return { address: 0, data: eventId, free: () => void this.#events.delete(key) };
    }
    return undefined;
  }

  /** A vector of the local APIC of CPU 0. */
  vector(handler: Handler): Vector | undefined {
    for (let number = APIC_FIRST; number < APIC_LIMIT; number++) {
      if (this.#vectors.has(number)) continue;
      this.#vectors.set(number, handler);
      return { address: 0, data: number, free: () => void this.#vectors.delete(number) };
    }
    return undefined;
  }

  #call(handler: Handler | undefined): void {
    if (handler === undefined) this.spurious++;
    else handler();
  }
}
