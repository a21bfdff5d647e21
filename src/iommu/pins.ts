import type { Domain } from './domain.ts';
import type { Endpoint } from './endpoint.ts';
import { meet } from './wide.ts';

/**
 * An access that has been translated and is not over: the holder may still touch the memory.
 * UNMAP and DETACH do not complete before it is released (VIRTIO 1.3, "DETACH request").
 */
export interface Pin {
  readonly id: number;
  readonly endpoint: Endpoint;
  /** Where the endpoint was attached when it was made. */
  readonly domain: Domain | undefined;
  readonly startHi: number;
  readonly startLo: number;
  readonly endHi: number;
  readonly endLo: number;
  /** False once released, or void by a reset: the holder must not touch the memory any more. */
  live: boolean;
}

/** All accesses in flight, and the one request that may wait for some of them. */
export class PinTable {
  #next = 1;
  readonly #pins = new Map<number, Pin>();
  readonly #waiting = new Set<Pin>();
  #resume: (() => void) | undefined;

  get size(): number {
    return this.#pins.size;
  }

  /** Whether a request waits. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  get(id: number): Pin | undefined {
    return this.#pins.get(id);
  }

  add(endpoint: Endpoint, sHi: number, sLo: number, eHi: number, eLo: number): Pin {
    return this.#put({
      id: this.#next++,
      endpoint,
      domain: endpoint.domain,
      startHi: sHi,
      startLo: sLo,
      endHi: eHi,
      endLo: eLo,
      live: true,
    });
  }

  release(pin: Pin): void {
    if (!pin.live) return;
    this.#drop(pin);
    if (this.#waiting.delete(pin) && this.#waiting.size === 0) {
      const resume = this.#resume;
      this.#resume = undefined;
      resume?.();
    }
  }

  /** The endpoint is gone, and its accesses with it. */
  releaseAll(endpoint: Endpoint): void {
    for (const pin of Array.from(endpoint.pins)) this.release(pin);
  }

  /**
   * All accesses of the endpoint: through its attachment, unattached, and through an older one that a
   * reset of the request queue kept from being waited for.
   */
  waitForEndpoint(endpoint: Endpoint): void {
    for (const pin of endpoint.pins) this.#waiting.add(pin);
  }

  /** Accesses through the domain to the range, of endpoints that have left it too. */
  waitForRange(domain: Domain, sHi: number, sLo: number, eHi: number, eLo: number): void {
    for (const pin of domain.pins) {
      if (meet(pin.startHi, pin.startLo, pin.endHi, pin.endLo, sHi, sLo, eHi, eLo)) {
        this.#waiting.add(pin);
      }
    }
  }

  /** What to do when nothing is waited for any more. */
  onResume(resume: () => void): void {
    this.#resume = resume;
  }

  /** The request that waited is gone; the accesses go on. */
  forgetWaiting(): void {
    this.#waiting.clear();
    this.#resume = undefined;
  }

  /** All in-flight accesses become void, and nobody waits: a reset never hangs on an endpoint. */
  cancelAll(): void {
    this.forgetWaiting();
    for (const pin of this.#pins.values()) this.#drop(pin);
  }

  /** @param answerable whether the request that waits can still be answered */
  snapshot(answerable: boolean): readonly PinState[] {
    return [...this.#pins.values()].map((pin) => ({
      id: pin.id,
      endpoint: pin.endpoint.id,
      domain: pin.domain?.id ?? null,
      /** A domain that has ceased to exist is not the one that has its ID now. */
      current: pin.domain?.exists ?? true,
      range: [pin.startHi, pin.startLo, pin.endHi, pin.endLo],
      waitedFor: answerable && this.#waiting.has(pin),
    }));
  }

  get nextId(): number {
    return this.#next;
  }

  /** For restore: a pin as it was, which its holder finds again by its ID. */
  adopt(next: number, pins: readonly { pin: Pin; waitedFor: boolean }[]): void {
    this.cancelAll();
    this.#next = next;
    for (const { pin, waitedFor } of pins) {
      this.#put(pin);
      if (waitedFor) this.#waiting.add(pin);
    }
  }

  #put(pin: Pin): Pin {
    this.#pins.set(pin.id, pin);
    pin.endpoint.pins.add(pin);
    pin.domain?.pins.add(pin);
    return pin;
  }

  #drop(pin: Pin): void {
    pin.live = false;
    this.#pins.delete(pin.id);
    pin.endpoint.pins.delete(pin);
    pin.domain?.pins.delete(pin);
  }
}

export interface PinState {
  readonly id: number;
  readonly endpoint: number;
  readonly domain: number | null;
  readonly current: boolean;
  readonly range: readonly number[];
  readonly waitedFor: boolean;
}
