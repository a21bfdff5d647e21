import type { Deliver, NetLink } from '../endpoints/index.ts';
import { GONE, NO_FRAME, type Tap } from '../vfio-user/index.ts';

/** Frames that are taken from the host at once: a flood must not keep devices from their work. */
const FRAMES_AT_ONCE = 64;

/**
 * A cable to a TAP interface. It is a wire: frames are no longer than the interface's MTU, and what
 * the host sends nobody has checked. `work` takes what has come; somebody must call it.
 */
export class TapLink implements NetLink {
  readonly #tap: Tap;
  readonly #delivered: () => void;
  #deliver: Deliver = () => undefined;
  #gone = false;

  /** `delivered`: told when the guest has been given frames. */
  constructor(tap: Tap, delivered: () => void = () => undefined) {
    this.#tap = tap;
    this.#delivered = delivered;
  }

  connect(deliver: Deliver): void {
    this.#deliver = deliver;
  }

  transmit(frame: Uint8Array): void {
    if (!this.#gone) this.#tap.send(frame);
  }

  /** Gives the guest what the host has sent; false when the interface was deleted. */
  work(): boolean {
    if (this.#gone) return false;
    let count = 0;
    for (; count < FRAMES_AT_ONCE; count++) {
      const frame = this.#tap.receive();
      if (frame === NO_FRAME) break;
      if (frame === GONE) {
        this.#gone = true;
        break;
      }
      this.#deliver(frame);
    }
    if (count > 0) this.#delivered();
    return !this.#gone;
  }

  /** What went wrong, in sentences. */
  get troubles(): string[] {
    const { name, lost, lostDown } = this.#tap;
    return [
      ...(this.#gone ? [`${name} was deleted while the guest ran`] : []),
      ...(lostDown === 0
        ? []
        : [`${name} was down: ${frames(lostDown)} lost (ip link set ${name} up)`]),
      ...(lost === 0 ? [] : [`${name} did not take ${frames(lost)}`]),
    ];
  }
}

function frames(count: number): string {
  return count === 1 ? '1 frame' : `${count} frames`;
}
