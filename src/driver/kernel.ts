import type { FirmwareView } from './firmware/view.ts';
import { InterruptHub } from './interrupts.ts';
import type { KernelLog } from './kernel-log.ts';
import type { GuestPlatform, KernelModel, MmioAccess } from './platform.ts';
import type { Ram } from './ram.ts';

/** Turns of interrupts and devices that one wait may take: two that feed each other would not end. */
const TURNS_MAX = 1_000_000;

/** What every driver of the guest uses. */
export class Kernel {
  readonly platform: GuestPlatform;
  readonly firmware: FirmwareView;
  readonly ram: Ram;
  readonly log: KernelLog;
  readonly model: KernelModel;
  readonly hub: InterruptHub = new InterruptHub();

  constructor(parts: {
    readonly platform: GuestPlatform;
    readonly firmware: FirmwareView;
    readonly ram: Ram;
    readonly log: KernelLog;
    readonly model: KernelModel;
  }) {
    this.platform = parts.platform;
    this.firmware = parts.firmware;
    this.ram = parts.ram;
    this.log = parts.log;
    this.model = parts.model;
  }

  get bus(): MmioAccess {
    return this.platform.bus;
  }

  /** Takes interrupts and lets devices go on; false when neither had anything. */
  turn(): boolean {
    const interrupts = this.platform.takeInterrupts();
    for (const interrupt of interrupts) this.hub.dispatch(interrupt);
    const more = this.platform.run();
    return more || interrupts.length > 0;
  }

  /** Waits until it is so; false when nothing happens any more and it is not. */
  waitFor(done: () => boolean): boolean {
    for (let count = 0; count < TURNS_MAX; count++) {
      if (done()) return true;
      if (!this.turn()) return done();
    }
    return false;
  }

  /** As long as anything happens by itself. */
  idle(): void {
    this.waitFor(() => false);
  }

  /** Whether the imitated kernel is at least that version. */
  atLeast(major: number, minor: number): boolean {
    return this.model.major > major || (this.model.major === major && this.model.minor >= minor);
  }
}
